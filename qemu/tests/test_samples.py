# SPDX-License-Identifier: GPL-2.0
"""The programs in samples/, which the README quotes, in a guest that is cloned."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import ids
import overlay
import pytest

import modules
from vm import CommandFailed, Machine, Spec

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(path.stem for path in (ROOT / "samples").glob("*.c"))
ADJUSTED = "all watchers have adjusted\n"


def test_the_readme_quotes_the_samples() -> None:
    samples = [path.read_text() for path in (ROOT / "samples").glob("*.c")]
    quotes = re.findall(r"^```c\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert quotes
    for quote in quotes:
        assert any(quote in sample for sample in samples), quote


def compile_line(sample: str) -> str:
    """How to compile a sample, as its first comment says."""
    comment = (ROOT / "samples" / f"{sample}.c").read_text().partition("*/")[0]
    (line,) = re.findall(r"^ \*\t(cc .*)$", comment, re.M)
    return line


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_compiles_as_it_says(sample: str, tmp_path: Path) -> None:
    for folder in ("include", "lib", "samples"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    done = subprocess.run(
        compile_line(sample), shell=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert (tmp_path / sample).stat().st_mode & 0o100


def test_the_manual_page_compiles_them_the_same_way() -> None:
    page = (ROOT / "Documentation/man/sysgenid.4").read_text().splitlines()
    assert [line for line in page if line.startswith("cc ")] == [
        compile_line(sample) for sample in SAMPLES
    ]


def test_there_is_one_udev_rule() -> None:
    sample = (ROOT / "samples/udev/90-sysgenid.rules").read_text()
    (rule,) = re.findall(r"^ACTION.*?[^\\]\n", sample, re.M | re.S)
    page = (ROOT / "Documentation/man/sysgenid.4").read_text().replace("\\e", "\\")
    assert re.findall(r"^ACTION.*?[^\\]\n", page, re.M | re.S) == [rule]
    for document in (ROOT / "README.md", *ROOT.glob("Documentation/**/*.rst")):
        assert "ACTION==" not in document.read_text(), f"{document}: include the sample instead"


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


def test_clones_take_names_of_their_own(fresh: Callable[[Spec], Machine], tmp_path: Path) -> None:
    with fresh(Spec(guid=ids.A)) as machine:
        modules.load(machine)
        prefix = start(machine)
        snapshot = machine.snapshot(tmp_path / "snapshot")

    with snapshot.restore(ids.B) as one, snapshot.restore(ids.C) as two:
        for vm in (one, two):
            assert vm.sh("/samples/control") == ADJUSTED
        assert len(names(one, prefix) | names(two, prefix)) == 6


def test_the_control_plane_says_who_has_not_adjusted(
    fresh: Callable[[Spec], Machine], tmp_path: Path
) -> None:
    with fresh(Spec(guid=ids.A)) as machine:
        modules.load(machine)
        machine.sh("sleep 1000 8<>/dev/sysgenid &")
        snapshot = machine.snapshot(tmp_path / "snapshot")

    with snapshot.restore(ids.B) as vm:
        with pytest.raises(CommandFailed, match="1 watchers are outdated"):
            vm.sh("/samples/control")


def test_a_library_holds_up_nobody(fresh: Callable[[Spec], Machine], tmp_path: Path) -> None:
    """Also where everybody who opens the device is a watcher."""
    with fresh(Spec(guid=ids.A)) as machine:
        modules.load(machine, parameters="track=2")
        machine.sh("/samples/library >library 2>&1 & sleep 1000 8</dev/sysgenid &")
        machine.wait_for("cat library", "^[0-9a-f]{16}-")
        machine.wait_for("cat /sys/class/misc/sysgenid/watchers", "^1$")
        snapshot = machine.snapshot(tmp_path / "snapshot")

    with snapshot.restore(ids.B) as vm:
        with pytest.raises(CommandFailed, match="1 watchers are outdated"):
            vm.sh("/samples/control")
        vm.sh("kill $(pidof sleep)")
        # Nobody else, though the library may not have seen the clone yet.
        assert vm.sh("/samples/control") == ADJUSTED


def test_a_library_in_cpp(tmp_path: Path) -> None:
    """The sample is C++ as well, and works the same."""
    folder = tmp_path / "cpp"
    folder.mkdir()
    command = ["g++-14", "-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    command += ["-static", "-Ilib", "-Iinclude/uapi", "-o", str(folder / "library")]
    subprocess.run([*command, "samples/library.c"], cwd=ROOT, check=True)

    with Machine.boot(Spec(guid=ids.A, extra=overlay.arguments(folder)), "cpp") as machine:
        modules.load(machine)
        machine.sh("/library >ids 2>&1 &")
        prefix = machine.wait_for("cat ids", "^([0-9a-f]{16})-").group(1)
        snapshot = machine.snapshot(tmp_path / "snapshot")

    with snapshot.restore(ids.B) as one, snapshot.restore(ids.C) as two:
        pattern = f"^(?!{prefix})([0-9a-f]{{16}})-"
        prefixes = {vm.wait_for("tail -n 1 ids", pattern).group(1) for vm in (one, two)}
    assert len(prefixes) == 2


def test_the_module_hears_of_the_clone(fresh: Callable[[Spec], Machine], tmp_path: Path) -> None:
    with fresh(Spec(guid=ids.A)) as machine:
        modules.load(machine)
        machine.sh("insmod /modules/notifier.ko")
        said = machine.wait_for("dmesg", r"notifier: session (\w{16})").group(1)
        snapshot = machine.snapshot(tmp_path / "snapshot")

    with snapshot.restore(ids.B) as vm:
        # The kernel may have something to say in between.
        pattern = r"notifier: generation 1\n(?:.*\n)*?.*notifier: session (\w{16})"
        assert vm.wait_for("dmesg", pattern).group(1) != said
        vm.sh("rmmod notifier")
        vm.sh("/samples/control")
