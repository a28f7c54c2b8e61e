# SPDX-License-Identifier: GPL-2.0
"""Guests that sleep while their ID changes: who wakes up must know at once.

Two programs that never rest (qemu/guest/awake.c) tell which generation user
space sees first, without having asked for it by a system call.
"""

from __future__ import annotations

import errno
import time
from dataclasses import replace
from pathlib import Path

import firmware
import ids
import overlay
import pytest
from conftest import Booted
from firmware import RESERVED, Device, Memory
from testmodules import Source

import modules
from vm import HERE, Machine, Snapshot, Spec

MODES = {"observer": "", "bound": modules.BOUND}
OBSERVERS = range(2)
SLEEP_TIME = 60.0 * HERE.slowness
# A guest that is told to sleep has answered before it does.
NOT_YET = f"sleep {0.2 * HERE.slowness}"
DISK_SIZE = 512 << 20


def start(vm: Machine) -> None:
    """Loads the modules and starts those who tell what they see."""
    modules.load(vm)
    for number in OBSERVERS:
        vm.sh(f"/guest/awake >awake{number} 2>&1 &")
        vm.wait_for(f"cat awake{number}", "^ready generation=0$")


def seen(vm: Machine) -> list[list[str]]:
    """What they have seen since."""
    return [vm.sh(f"cat awake{number}").splitlines()[1:] for number in OBSERVERS]


def wait_for_status(vm: Machine, status: str) -> None:
    """Waits until QEMU says that of the guest."""
    deadline = time.monotonic() + SLEEP_TIME
    while (now := vm.status()) != status:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{vm.name} is {now}, not {status}\n{vm.tail()}")
        time.sleep(0.05)


def suspend(vm: Machine) -> None:
    """Sends the guest to sleep, its memory kept. QEMU's next time ends at once."""
    vm.sh(f"({NOT_YET}; echo mem >/sys/power/state) &")
    wait_for_status(vm, "suspended")


def wait_for_log(vm: Machine, line: str, start: int = 0) -> None:
    """Waits for what the kernel says at last. Before that, it may lose what it is sent."""
    deadline = time.monotonic() + SLEEP_TIME
    while line.encode() not in vm.log.read_bytes()[start:]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{vm.name} has not said {line!r}\n{vm.tail()}")
        time.sleep(0.05)


def wake(vm: Machine) -> None:
    """Wakes the guest, once its clocks will notice that it slept."""
    wait_for_status(vm, "suspended")
    time.sleep(2)
    start = vm.log.stat().st_size
    vm.qmp("system_wakeup")
    wait_for_log(vm, "PM: suspend exit", start)


def snapshot_asleep(vm: Machine, path: Path) -> Snapshot:
    """As Machine.snapshot(), which wants to talk to the guest."""
    vm.qmp("stop")
    vm.qmp("migrate", uri=f"file:{path}")
    while vm.qmp("query-migrate")["status"] != "completed":
        time.sleep(0.02)
    vm.quit()
    return Snapshot(path, vm.spec, vm.name)


@pytest.mark.parametrize("mode", MODES)
def test_a_clone_of_a_suspended_guest(mode: str, booted: Booted, tmp_path: Path) -> None:
    with booted.guest(Spec(guid=ids.A, append=MODES[mode]), f"suspend-{mode}") as vm:
        start(vm)
        suspend(vm)
        snapshot = snapshot_asleep(vm, tmp_path / "snapshot")
    for guid, generation in ((ids.A, 0), (ids.B, 1)):
        with snapshot.restore(guid) as vm:
            wake(vm)
            assert seen(vm) == [[f"woke generation={generation}"]] * len(OBSERVERS)
            assert modules.status(vm).generation == generation


def test_an_id_that_changes_in_a_suspended_guest(tmp_path: Path) -> None:
    """Nobody notifies the guest: it has to look by itself."""
    device, memory = Device("TEST0001", RESERVED), Memory(tmp_path)
    with Machine.boot(firmware.spec([device], memory, tmp_path, modules.BOUND), "silent") as vm:
        start(vm)
        suspend(vm)
        memory.set_id(vm, device.address, ids.B)
        wake(vm)
        assert seen(vm) == [["woke generation=1"]] * len(OBSERVERS)


SYS_IOCTL = 16
WAIT = 0xE402


def test_a_suspend_ends_wait_watchers(booted: Booted) -> None:
    """As it ends any system call that waits and is not made to go on, see signal(7)."""
    with booted.guest(Spec(), "wait") as vm:
        modules.load(vm, source=False)
        source = Source(vm, ids.A)
        source.attach()
        watcher = modules.Watcher.start(vm, "read")
        control = modules.Watcher.start(vm, "control")
        source.set_id(ids.B)
        source.set(notify=1)
        control.wait(vm, "changed generation=1 outdated=1")
        vm.wait_for(f"cat /proc/{control.pid}/syscall", f"^{SYS_IOCTL} 0x[0-9a-f]+ {WAIT:#x} ")
        suspend(vm)
        wake(vm)
        assert control.wait(vm, "interrupted") == {"errno": errno.EINTR}
        # The watcher, which was waited for, has slept through all of it.
        assert modules.status(vm) == modules.Status(generation=1, outdated=1)
        watcher.acknowledge(vm, 1)
        assert modules.status(vm).outdated == 0


def disk(folder: Path) -> tuple[str, ...]:
    """QEMU's arguments for an initramfs with the driver of a disk, and for the disk."""
    files = folder / "files"
    overlay.add_module(files, "virtio_blk")
    image = folder / "disk"
    with image.open("wb") as file:
        file.truncate(DISK_SIZE)
    drive = f"file={image},if=none,id=disk,format=raw"
    return (*overlay.arguments(files), "-device", "virtio-blk-pci,drive=disk", "-drive", drive)


CLONES = {"observer": {ids.B: 1}, "bound": {ids.A: 0, ids.B: 1}}


@pytest.mark.parametrize("mode", MODES)
def test_a_clone_of_a_hibernated_guest(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The image wants to be read beside all that is there already.
    spec = Spec(guid=ids.A, append=MODES[mode], memory="512M", extra=disk(tmp_path))
    with Machine.boot(spec, f"hibernate-{mode}") as vm:
        vm.sh("insmod /modules/virtio_blk.ko && mkswap /dev/vda && swapon /dev/vda")
        start(vm)
        vm.sh(f"({NOT_YET}; echo disk >/sys/power/state) &")
        wait_for_status(vm, "gone")
    # What is written to the disk goes elsewhere: a resume uses up what it resumes from.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    *others, drive = spec.extra
    spec = replace(spec, extra=(*others, f"{drive},snapshot=on"))
    for guid, generation in CLONES[mode].items():
        with Machine.boot(replace(spec, guid=guid), f"resume-{mode}") as vm:
            vm.sh("insmod /modules/virtio_blk.ko")
            vm.sh(f"({NOT_YET}; cat /sys/block/vda/dev >/sys/power/resume) &")
            wait_for_log(vm, "PM: hibernation: hibernation exit")
            assert seen(vm) == [[f"woke generation={generation}"]] * len(OBSERVERS)
            assert modules.status(vm).generation == generation
