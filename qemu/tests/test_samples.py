# SPDX-License-Identifier: GPL-2.0
"""The programs in samples/, which the README quotes, in a guest that is cloned."""

from __future__ import annotations

import re
from pathlib import Path

import ids
import pytest

import modules
from vm import CommandFailed, Machine, Spec

ROOT = Path(__file__).parents[2]


def test_the_readme_quotes_the_samples() -> None:
    samples = [path.read_text() for path in (ROOT / "samples").glob("*.c")]
    quotes = re.findall(r"^```c\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert quotes
    for quote in quotes:
        assert any(quote in sample for sample in samples), quote


def start(vm: Machine) -> str:
    """Starts the programs that live through a clone; returns how the library's IDs begin."""
    vm.sh("/samples/reader >reader 2>&1 &")
    vm.sh("mkfifo requests && /samples/poller <>requests >poller 2>&1 &")
    vm.sh("/samples/library >library 2>&1 &")
    vm.wait_for("cat reader", "I am [0-9a-f]{16}")
    return vm.wait_for("cat library", "^([0-9a-f]{16})-").group(1)


def names(vm: Machine, prefix: str) -> set[str]:
    """What the reader and the poller are called now, and how the library's IDs begin."""
    vm.sh("echo >requests")
    return {
        vm.wait_for("cat poller", "I am ([0-9a-f]{16})").group(1),
        vm.wait_for("sed 1d reader", "I am ([0-9a-f]{16})").group(1),
        vm.wait_for("tail -n 1 library", f"^(?!{prefix})([0-9a-f]{{16}})-").group(1),
    }


def test_clones_take_names_of_their_own(tmp_path: Path) -> None:
    with Machine.boot(Spec(guid=ids.A), "samples") as machine:
        modules.load(machine)
        prefix = start(machine)
        snapshot = machine.snapshot(tmp_path / "snapshot")

    with snapshot.restore(ids.B) as one, snapshot.restore(ids.C) as two:
        for vm in (one, two):
            assert vm.sh("/samples/control") == "all watchers have adjusted\n"
        assert len(names(one, prefix) | names(two, prefix)) == 6


def test_the_control_plane_says_who_has_not_adjusted(tmp_path: Path) -> None:
    with Machine.boot(Spec(guid=ids.A), "outdated") as machine:
        modules.load(machine)
        machine.sh("sleep 1000 8<>/dev/sysgenid &")
        snapshot = machine.snapshot(tmp_path / "snapshot")

    with snapshot.restore(ids.B) as vm:
        with pytest.raises(CommandFailed, match="1 watchers are outdated"):
            vm.sh("/samples/control")


def test_the_module_hears_of_the_clone(tmp_path: Path) -> None:
    with Machine.boot(Spec(guid=ids.A), "notifier") as machine:
        modules.load(machine)
        machine.sh("insmod /modules/notifier.ko")
        said = machine.wait_for("dmesg", r"notifier: session (\w{16})").group(1)
        snapshot = machine.snapshot(tmp_path / "snapshot")

    with snapshot.restore(ids.B) as vm:
        pattern = r"notifier: generation 1\n.*notifier: session (\w{16})"
        assert vm.wait_for("dmesg", pattern).group(1) != said
        vm.sh("rmmod notifier")
        vm.sh("/samples/control")
