# SPDX-License-Identifier: GPL-2.0
"""A kernel that has both drivers built in, by the series of patches, and no modules.

That is the shape of Firecracker's kernels, so that machines as it describes
them are here as well: its ACPI tables, or its device tree.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import ged
import ids
import pytest
import tree
from conftest import Booted

import modules
import virt
from modules import Status, Watcher
from vm import ARM64, KERNEL, Machine, Snapshot, Spec

ROOT = Path(__file__).parents[2]
MISC = "/sys/class/misc/sysgenid"
ROLES = ("read", "poll", "mmap", "control")

# How long nothing must happen in a guest in which nothing should.
QUIET = 1.0

THEIRS, OURS = "vmgenid", "sysgenid_vmgenid"
FIRMWARE = ("qemu", "firecracker")


@dataclass(frozen=True)
class Order:
    """Which driver comes first, and so has the device, and how."""

    has_device: str
    append: str = ""
    relinked: bool = False


ORDERS = {
    "theirs first": Order(THEIRS),
    "ours first": Order(OURS, relinked=True),
    "ours alone": Order(OURS, append=modules.BOUND),
}


@pytest.fixture(scope="module")
def relinked() -> Path:
    """The kernel once more, with our driver linked before the kernel's own."""
    image = KERNEL.with_name("ours-first")
    if image.exists() and image.stat().st_mtime > KERNEL.stat().st_mtime:
        return image
    makefile = tree.BUILD / "drivers/virt/Makefile"
    text = makefile.read_text()
    (theirs,) = re.findall(r"(?m)^obj-\$\(CONFIG_VMGENID\).*\n", text)
    (ours,) = re.findall(r"(?m)^obj-\$\(CONFIG_SYSGENID\).*\n", text)
    assert text.index(theirs) < text.index(ours)
    with tree.borrowed():
        makefile.write_text(text.replace(ours, "").replace(theirs, ours + theirs))
        tree.make(tree.IMAGE.name)
        shutil.copy(tree.IMAGE, image)
        makefile.write_text(text)
    return image


@dataclass(frozen=True)
class Watched:
    """A snapshot of a guest in which somebody uses the device in every way."""

    firmware: str
    order: Order
    device: str
    snapshot: Snapshot
    watchers: dict[str, Watcher]

    def clone(self, guid: str, snapshot: Snapshot | None = None) -> Machine:
        """A clone under another ID, which is told of it before it runs."""
        snapshot = snapshot or self.snapshot
        if self.firmware == "qemu":
            return snapshot.restore(guid)
        vm = snapshot.restore(None, run=False)
        host = virt if ARM64 else ged
        host.change_id(vm, guid)
        host.notify(vm)
        vm.cont()
        return vm


@pytest.fixture(
    scope="module", params=[(f, o) for f in FIRMWARE for o in ORDERS], ids=lambda p: "-".join(p)
)
def watched(
    request: pytest.FixtureRequest, booted: Booted, folders: Callable[[str], Path]
) -> Watched:
    """Taken once for each firmware and order, restored by each test."""
    firmware, order = request.param[0], ORDERS[request.param[1]]
    folder = folders("built-in")
    if firmware == "qemu":
        spec, device = Spec(guid=ids.A, append=order.append), modules.DEVICE
    elif ARM64:
        spec, device = Spec(append=order.append, nodes=virt.FIRECRACKER), modules.DEVICE
    else:
        spec = ged.spec(folder, append=order.append)
        device = ged.device(spec.machine).path
    if order.relinked:
        image = request.getfixturevalue("relinked")
        spec = replace(spec, extra=(*spec.extra, "-kernel", str(image)))
    with booted.guest(spec, "-".join(request.param).replace(" ", "-")) as vm:
        watchers = {role: Watcher.start(vm, role) for role in ROLES}
        if firmware == "qemu":
            modules.wait_line_moved(vm)
        snapshot = vm.snapshot(folder / "snapshot")
    return Watched(firmware, order, device, snapshot, watchers)


def reports(vm: Machine) -> tuple[int, int]:
    """How many changes of the ID our driver has reported, and the kernel to its subscribers."""
    texts = ("hardware ID changed, crng reseeded", "crng reseeded due to virtual machine fork")
    ours, theirs = (int(vm.sh(f"dmesg | grep -c '{text}'", check=False)) for text in texts)
    return ours, theirs


def test_the_device_has_the_driver_that_came_first(watched: Watched) -> None:
    with watched.snapshot.restore(watched.snapshot.spec.guid) as vm:
        driver = vm.sh(f"basename $(readlink {watched.device}/driver)").strip()
        assert driver == watched.order.has_device
        assert vm.sh(f"basename {watched.device}") == vm.sh(f"cat {MISC}/source")
        assert modules.status(vm) == Status(generation=0, outdated=0)
        said = vm.sh("dmesg")
        assert ("observing beside the kernel's driver" in said) == (driver == THEIRS)
        is_traced = watched.firmware == "firecracker" and not ARM64
        assert re.search(rf"; interrupt \d+, {'traced' if is_traced else 'shared'}\n", said)
        vm.sh("test ! -e /proc/modules")


def test_each_clone_is_one_generation(watched: Watched, tmp_path: Path) -> None:
    with watched.clone(ids.B) as one, watched.clone(ids.C) as two:
        for vm, guid in ((one, ids.B), (two, ids.C)):
            for role in ("read", "poll", "mmap"):
                assert watched.watchers[role].wait(vm, "changed") == {"generation": 1}, role
            seen = watched.watchers["control"].wait(vm, "changed")
            assert seen == {"generation": 1, "outdated": 2}
            assert modules.status(vm) == Status(generation=1, outdated=2)
            assert vm.sh(f"cat {watched.device}/guid").strip() == guid
            for role in ("read", "poll"):
                watched.watchers[role].acknowledge(vm, 1)
            seen = watched.watchers["control"].wait(vm, "adjusted")
            assert seen == {"generation": 1, "outdated": 0}
        assert not set(modules.draw(one, 200)) & set(modules.draw(two, 200))
        # Whatever comes by other ways finds nothing left to do.
        time.sleep(QUIET)
        for vm in (one, two):
            assert (modules.status(vm).generation, reports(vm)) == (1, (1, 1))
            assert len(watched.watchers["mmap"].events(vm)) == 2
        snapshot = one.snapshot(tmp_path / "snapshot")
    with watched.clone(ids.D, snapshot) as vm:
        watched.watchers["mmap"].wait(vm, "changed generation=2")
        time.sleep(QUIET)
        assert (modules.status(vm).generation, reports(vm)) == (2, (2, 2))


def test_a_clone_that_nobody_tells_is_noticed_by_the_first_call(watched: Watched) -> None:
    if watched.firmware == "qemu" and not ARM64:
        pytest.skip("QEMU's device tells of each new ID; test_first_call.py has one that does not")
    with watched.snapshot.restore(None, run=False) as vm:
        (virt if ARM64 else ged).change_id(vm, ids.D)
        vm.cont()
        assert modules.status(vm).generation == 1


# KUnit

KUNIT = "kunit.enable=1 kunit.autorun=1 kunit.filter_glob=sysgenid*"
_SUITE = re.compile(r"kunit_tests\((\w+)\)\]\nmod tests \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)


def suites() -> dict[str, list[str]]:
    """The suites in the drivers' files, and what they consist of."""
    return {
        suite: re.findall(r"#\[test\]\n +fn (\w+)\(", body)
        for path in sorted((ROOT / "src").rglob("*.rs")) + sorted((ROOT / "rust").rglob("*.rs"))
        for suite, body in _SUITE.findall(path.read_text())
    }


def test_there_are_kunit_tests() -> None:
    assert {"sysgenid_watchers", "sysgenid_guid", "sysgenid_firmware"} <= set(suites())


@pytest.mark.parametrize("suite", suites())
def test_kunit_at_boot(suite: str, fresh: Callable[[Spec], Machine]) -> None:
    with fresh(Spec(append=KUNIT)) as vm:
        said = re.sub(r"(?m)^\[.{12}\] ", "", vm.sh("dmesg"))
    (report,) = re.findall(rf"(?ms)^ +# Subtest: {suite}\n(.*?)^((?:not )?ok \d+ {suite})$", said)
    names = re.findall(r"(?m)^ +ok \d+ (\w+)$", report[0])
    assert sorted(names) == sorted(suites()[suite]), report[0]
    count = len(names)
    assert f"# {suite}: pass:{count} fail:0 skip:0 total:{count}\n" in report[0]
    assert report[1].startswith("ok ")


# What a module gets as a parameter is on the kernel's command line.


@pytest.mark.parametrize(("append", "watchers"), [("", 0), ("sysgenid.track=2", 1)])
def test_who_is_tracked_is_said_on_the_command_line(
    append: str, watchers: int, fresh: Callable[[Spec], Machine]
) -> None:
    with fresh(Spec(append=append)) as vm:
        vm.sh("sleep 1000 8</dev/sysgenid &")
        vm.wait_for("ls -l /proc/[0-9]*/fd/8", "/dev/sysgenid$")
        assert vm.sh(f"cat {MISC}/watchers") == f"{watchers}\n"


@pytest.mark.parametrize("append", ["", modules.BOUND], ids=["observer", "bound"])
def test_a_source_without_the_counter_does_no_harm(append: str, tmp_path: Path) -> None:
    """A module would not be loaded then. Built in, it is there."""
    spec = Spec(guid=ids.A, append=f"sysgenid.track=7 {append}")
    with Machine.boot(spec, "no-counter") as vm:
        vm.sh("test ! -e /dev/sysgenid")
        said = vm.sh("dmesg")
        assert "sysgenid: track=7 is none of 0, 1, 2\n" in said
        assert f"{modules.NAME}: cannot follow the hardware ID at " in said
        vm.sh(f"test ! -e {modules.DEVICE}/guid")
        snapshot = vm.snapshot(tmp_path / "snapshot")
    with snapshot.restore(ids.B) as vm:
        assert modules.hardware_id(vm) == ids.B
        if not append:
            vm.wait_for("dmesg", "crng reseeded due to virtual machine fork")
