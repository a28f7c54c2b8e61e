# SPDX-License-Identifier: GPL-2.0
"""What operators, udev and the rest of the kernel get to know of a generation."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import firmware
import ids
import overlay
import pytest
from conftest import Booted
from firmware import RESERVED, Device, Memory
from kselftest import PROGRAM_TIME

import modules
from vm import CommandFailed, Machine, Spec

ROOT = Path(__file__).parents[2]
MODES = {"observer": "", "bound": modules.BOUND}
MISC = "/sys/class/misc/sysgenid"
SUBSCRIBER = "/sys/module/sysgenid_subscriber/parameters"
EXPORT = "/sys/module/vmfork_export/parameters"


@pytest.fixture(scope="module")
def udev(folders: Callable[[str], Path]) -> tuple[str, ...]:
    """QEMU's arguments for a guest that has udev, with the rule of the samples."""
    folder = folders("udev") / "udev"
    overlay.add_program(folder, "/usr/lib/systemd/systemd-udevd")
    overlay.add_program(folder, "/usr/bin/udevadm")
    rules = folder / "etc/udev/rules.d"
    rules.mkdir(parents=True)
    shutil.copy(ROOT / "samples/udev/90-sysgenid.rules", rules)
    program = folder / "usr/local/sbin/system-cloned"
    program.parent.mkdir(parents=True)
    program.write_text(
        "#!/bin/sh\n"
        "PATH=/bin\n"
        'echo "$1 $SYSGENID $DEVNAME $(cat /sys$DEVPATH/generation)" >>/tmp/cloned\n'
    )
    program.chmod(0o755)
    return overlay.arguments(folder)


def test_udev_runs_a_program_in_each_generation(udev: tuple[str, ...], tmp_path: Path) -> None:
    with Machine.boot(Spec(guid=ids.A, extra=udev), "udev") as vm:
        vm.sh("mkdir -p /run && /usr/lib/systemd/systemd-udevd --daemon", timeout=60)
        modules.load(vm)
        # What somebody asks udev to do again is not a generation.
        vm.sh("/usr/bin/udevadm trigger && /usr/bin/udevadm settle", timeout=60)
        vm.sh("test ! -e /tmp/cloned")
        snapshot = vm.snapshot(tmp_path / "snapshot-0")
    expected = []
    for generation, guid in enumerate((ids.B, ids.C), 1):
        expected.append(f"{generation} {generation} /dev/sysgenid {generation}")
        with snapshot.restore(guid) as vm:
            vm.wait_for("cat /tmp/cloned", f"^{generation} ")
            vm.sh("/usr/bin/udevadm settle")
            assert vm.sh("cat /tmp/cloned").splitlines() == expected
            snapshot = vm.snapshot(tmp_path / f"snapshot-{generation}")


def test_the_device_says_how_many_watch(booted: Booted, tmp_path: Path) -> None:
    with booted.guest(Spec(guid=ids.A), "attributes") as vm:
        modules.load(vm)
        names = ("generation", "watchers", "outdated_watchers")
        for name in names:
            assert vm.sh(f"stat -c %a {MISC}/{name}") == "444\n"
        assert attributes(vm) == [0, 0, 0]
        vm.sh("sleep 1000 8</dev/sysgenid & sleep 1000 8<>/dev/sysgenid &")
        watcher = modules.Watcher.start(vm, "read")
        vm.wait_for(f"cat {MISC}/watchers", "^2$")
        assert attributes(vm) == [0, 2, 0]
        snapshot = vm.snapshot(tmp_path / "snapshot")
    with snapshot.restore(ids.B) as vm:
        assert attributes(vm) == [1, 2, 2]
        watcher.acknowledge(vm, 1)
        assert attributes(vm) == [1, 2, 1]
        vm.sh(f"kill {watcher.pid}")
        vm.wait_for(f"cat {MISC}/watchers", "^1$")
        assert attributes(vm) == [1, 1, 1]


@pytest.mark.parametrize("mode", MODES)
def test_the_device_says_whose_id_it_follows(mode: str, booted: Booted) -> None:
    with booted.guest(Spec(guid=ids.A, append=MODES[mode]), f"source-{mode}") as vm:
        modules.load(vm, source=False)
        assert vm.sh(f"stat -c %a {MISC}/source; cat {MISC}/source") == "444\nnone\n"
        for _ in range(2):
            modules.load_source(vm)
            assert vm.sh(f"cat {MISC}/source") == f"{modules.NAME}\n"
            modules.unload_source(vm)
            assert vm.sh(f"cat {MISC}/source") == "none\n"
        if mode == "bound":
            modules.load_source(vm)
            modules.unbind(vm)
            assert vm.sh(f"cat {MISC}/source") == "none\n"
            modules.bind(vm)
            assert vm.sh(f"cat {MISC}/source") == f"{modules.NAME}\n"


def test_the_device_says_that_it_follows_no_id(booted: Booted) -> None:
    with booted.guest(Spec(), "source-none") as vm:
        modules.load(vm)
        assert vm.sh(f"cat {MISC}/source") == "none\n"


def attributes(vm: Machine) -> list[int]:
    """The generation, how many are tracked, and how many of those are outdated."""
    return [
        int(n) for n in vm.sh(f"cd {MISC} && cat generation watchers outdated_watchers").split()
    ]


@pytest.mark.parametrize("mode", MODES)
def test_the_id_is_shown_as_the_host_names_it(mode: str, booted: Booted, tmp_path: Path) -> None:
    with booted.guest(Spec(guid=ids.A, append=MODES[mode]), f"guid-{mode}") as vm:
        modules.load(vm)
        assert vm.sh(f"stat -c %a {modules.DEVICE}/guid {modules.DEVICE}/paddr") == "444\n400\n"
        assert vm.sh(f"cat {modules.DEVICE}/guid") == f"{ids.A}\n"
        # QEMU, or virt.py, puts the ID 40 bytes into a page of its own.
        assert re.fullmatch("0x[0-9a-f]+028\n", vm.sh(f"cat {modules.DEVICE}/paddr"))
        snapshot = vm.snapshot(tmp_path / "snapshot")
    with snapshot.restore(ids.B) as vm:
        assert vm.sh(f"cat {modules.DEVICE}/guid") == f"{ids.B}\n"


SAMPLE = (ROOT / "samples/outdated").read_text()
FDINFO = "sysgenid_generation:\t{}\nsysgenid_acked:\t{}\nsysgenid_tracked:\t{}\n"


def fdinfo(vm: Machine, pid: int, fd: int) -> str:
    """The lines of /proc/PID/fdinfo/FD that are ours."""
    return vm.sh(f"grep ^sysgenid /proc/{pid}/fdinfo/{fd}")


def test_an_operator_finds_who_is_outdated(booted: Booted, tmp_path: Path) -> None:
    with booted.guest(Spec(guid=ids.A), "fdinfo") as vm:
        modules.load(vm)
        vm.sh(f"cat >outdated <<'END'\n{SAMPLE}\nEND\n")
        watcher = modules.Watcher.start(vm, "read")
        writer = int(vm.sh("sleep 1000 8<>/dev/sysgenid & echo $!"))
        reader = int(vm.sh("sleep 1000 9</dev/sysgenid & echo $!"))
        vm.wait_for("pidof sleep", r"\d+ \d+")
        assert fdinfo(vm, writer, 8) == FDINFO.format(0, 0, 1)
        assert fdinfo(vm, reader, 9) == FDINFO.format(0, 0, 0)
        assert vm.sh("sh outdated") == ""
        snapshot = vm.snapshot(tmp_path / "snapshot")
    with snapshot.restore(ids.B) as vm:
        found = sorted(vm.sh("sh outdated").splitlines())
        assert found == sorted([f"{watcher.pid} 3 watcher", f"{writer} 8 sleep"])
        assert fdinfo(vm, writer, 8) == FDINFO.format(1, 0, 1)
        assert fdinfo(vm, reader, 9) == FDINFO.format(1, 0, 0)
        watcher.acknowledge(vm, 1)
        assert fdinfo(vm, watcher.pid, 3) == FDINFO.format(1, 1, 1)
        assert vm.sh("sh outdated") == f"{writer} 8 sleep\n"


SILENT = Device("TEST0001", RESERVED + 40)
LOOKS = {
    "generation": (f"cat {MISC}/generation", "0\n", "1\n"),
    "watchers": (f"cat {MISC}/watchers {MISC}/generation", "1\n0\n", "1\n1\n"),
    "outdated_watchers": (f"cat {MISC}/outdated_watchers", "0\n", "1\n"),
    "guid": (f"cat {SILENT.path}/guid", f"{ids.A}\n", f"{ids.B}\n"),
    "fdinfo": (
        "grep ^sysgenid /proc/$(pidof sleep)/fdinfo/8",
        FDINFO.format(0, 0, 1),
        FDINFO.format(1, 0, 1),
    ),
}


@pytest.fixture(scope="module")
def silent(folders: Callable[[str], Path]) -> tuple[Spec, Memory]:
    """A machine whose firmware never notifies, and its memory."""
    folder = folders("silent")
    memory = Memory(folder)
    return firmware.spec([SILENT], memory, folder, modules.BOUND), memory


@pytest.mark.parametrize("what", LOOKS)
def test_who_looks_first_sees_what_nobody_was_told(
    what: str, silent: tuple[Spec, Memory], booted: Booted
) -> None:
    (spec, memory), (command, before, after) = silent, LOOKS[what]
    with booted.guest(spec, f"look-{what}") as vm:
        memory.set_id(vm, SILENT.address, ids.A)
        modules.load(vm)
        modules.wait_line_moved(vm)
        vm.sh("sleep 1000 8<>/dev/sysgenid &")
        vm.wait_for(f"cat {MISC}/watchers", "^1$")
        assert vm.sh(command) == before
        memory.set_id(vm, SILENT.address, ids.B)
        assert vm.sh(command) == after


def seen(vm: Machine, module: str) -> dict[str, str]:
    """What a module of tests/module has to tell."""
    lines = vm.sh(f"cd /sys/module/{module}/parameters && grep . *").splitlines()
    return dict(line.split(":", 1) for line in lines)


@pytest.mark.parametrize("mode", MODES)
def test_kernel_code_is_called_once_in_each_generation(
    mode: str, booted: Booted, tmp_path: Path
) -> None:
    """On one processor, where clones that are not reseeded draw the same."""
    with booted.guest(Spec(guid=ids.A, append=MODES[mode], smp=1), f"kernel-{mode}") as vm:
        modules.load(vm)
        vm.sh("insmod /modules/sysgenid_subscriber.ko")
        with pytest.raises(CommandFailed):
            vm.sh("rmmod sysgenid")
        snapshot = vm.snapshot(tmp_path / "snapshot-0")
    drawn = set()
    for guid in (ids.B, ids.C):
        with snapshot.restore(guid) as vm:
            vm.wait_for(f"cat {SUBSCRIBER}/calls", "^1$")
            told = seen(vm, "sysgenid_subscriber")
            drawn.add(told["drawn"])
            assert (told["generation"], told["wrong"]) == ("1", "0")
            assert told["forks"] == str(modules.forks(mode))
            last = vm.snapshot(tmp_path / f"snapshot-{guid}")
    assert len(drawn) == 2
    with last.restore(ids.A) as vm:
        vm.wait_for(f"cat {SUBSCRIBER}/calls", "^2$")
        assert seen(vm, "sysgenid_subscriber")["generation"] == "2"
        vm.sh("rmmod sysgenid_subscriber && rmmod sysgenid_vmgenid && rmmod sysgenid")


def test_kernel_code_is_called_in_order(booted: Booted) -> None:
    with booted.guest(Spec(guid=ids.A), "order") as vm:
        modules.load(vm)
        vm.sh("insmod /modules/sysgenid_subscriber.ko")
        vm.sh("/kselftest/concurrency", timeout=PROGRAM_TIME)
        told = seen(vm, "sysgenid_subscriber")
        assert told["wrong"] == "0"
        assert int(told["calls"]) > 100
        assert int(told["generation"]) == modules.status(vm).generation
        vm.sh("rmmod sysgenid_subscriber")


def test_the_kernels_own_subscribers_are_told_where_it_can_be_done(
    booted: Booted, tmp_path: Path
) -> None:
    """A module stands in for a kernel that exports add_vmfork_randomness()."""
    with booted.guest(Spec(guid=ids.A, append=modules.BOUND), "vmfork") as vm:
        vm.sh("insmod /modules/vmfork_export.ko")
        modules.load(vm)
        snapshot = vm.snapshot(tmp_path / "snapshot")
    with snapshot.restore(ids.B) as vm:
        assert modules.status(vm).generation == 1
        vm.wait_for(f"cat {EXPORT}/calls", "^1$")
        assert seen(vm, "vmfork_export")["id"] == uuid.UUID(ids.B).bytes_le.hex()


def test_the_kernels_own_subscribers_may_use_the_device(
    silent: tuple[Spec, Memory], booted: Booted
) -> None:
    """Whoever is told last sees the generation that everybody has, and waits for nobody."""
    (spec, memory), parameters = silent, "path=/dev/sysgenid"
    with booted.guest(spec, "vmfork-open") as vm:
        memory.set_id(vm, SILENT.address, ids.A)
        vm.sh(f"insmod /modules/vmfork_export.ko {parameters}")
        modules.load(vm)
        for generation, guid in enumerate((ids.B, ids.C), 1):
            memory.set_id(vm, SILENT.address, guid)
            vm.sh(f"(: </dev/sysgenid; echo {generation} >opened) &")
            vm.wait_for("cat opened", f"^{generation}$")
            vm.wait_for(f"cat {EXPORT}/calls", f"^{generation}$")
            told = seen(vm, "vmfork_export")
            assert (told["failed"], told["shown"]) == ("0", str(generation))


def test_the_kernels_own_subscribers_are_not_told_by_an_observer(
    booted: Booted, tmp_path: Path
) -> None:
    """The kernel's driver does that, and calls the observer while it is at it."""
    with booted.guest(Spec(guid=ids.A), "vmfork-observer") as vm:
        vm.sh("insmod /modules/vmfork_export.ko")
        modules.load(vm)
        vm.sh("insmod /modules/sysgenid_subscriber.ko")
        snapshot = vm.snapshot(tmp_path / "snapshot")
    with snapshot.restore(ids.B) as vm:
        assert modules.status(vm).generation == 1
        vm.wait_for(f"cat {SUBSCRIBER}/forks", "^1$")
        assert seen(vm, "vmfork_export")["calls"] == "0"


TRIGGER = "/sys/bus/acpi/devices/TEST0002:00/status"
NOTIFICATIONS = 1000


@pytest.mark.parametrize("mode", MODES)
def test_notifications_without_another_id_do_nothing(mode: str, tmp_path: Path) -> None:
    """A device whose status it is to notify VMGENID, and that is read in sysfs."""
    notifier = firmware.compile_table(
        """External (\\_SB.VGEN, DeviceObj)
        Device (\\_SB.NTFY) {
            Name (_HID, "TEST0002")
            Method (_STA) { Notify (\\_SB.VGEN, 0x80) Return (0x0F) }
        }""",
        tmp_path,
    )
    memory = Memory(tmp_path)
    spec = Spec(guid=ids.A, append=MODES[mode], extra=(*notifier, *memory.arguments))
    with Machine.boot(spec, f"spurious-{mode}") as vm:
        modules.load(vm)
        modules.wait_line_moved(vm)
        vm.sh("insmod /modules/sysgenid_subscriber.ko")
        vm.sh("dmesg -c >/dev/null")
        notify = f"for i in $(seq {NOTIFICATIONS}); do read status <{TRIGGER}; done"
        vm.sh(notify, timeout=60)
        # Not by asking the device, which would process a change.
        assert seen(vm, "sysgenid_subscriber")["calls"] == "0"
        # Others may speak: a busy host makes clocks complain.
        assert not re.search("sysgenid|vmgenid|crng", vm.sh("dmesg"))

        # That they arrive is shown by one that has something to tell.
        paddr = int(vm.sh(f"cat {modules.DEVICE}/paddr"), 16)
        memory.set_id(vm, paddr, ids.B)
        assert seen(vm, "sysgenid_subscriber")["calls"] == "0"
        vm.sh(f"cat {TRIGGER}")
        vm.wait_for(f"cat {SUBSCRIBER}/calls", "^1$")
        vm.sh(notify, timeout=60)
        assert modules.status(vm).generation == 1
        vm.wait_for("dmesg | grep -c 'hardware ID changed, crng reseeded'", "^1$")
        assert modules.reseeds(vm) == 1 + modules.forks(mode)
