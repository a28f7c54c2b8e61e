# SPDX-License-Identifier: GPL-2.0
"""Clones that are told by a Generic Event Device, as those of Firecracker are.

Their host writes the ID, raises the line, and lets the clone run; here the
line is raised at other times as well, or not at all.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

import ged
import ids
import pytest
from conftest import Booted

import modules
from modules import Status, Watcher
from vm import Machine, Snapshot

MODES = {"observer": "", "bound": modules.BOUND}
DRIVERS = {"observer": "vmgenid", "bound": "sysgenid_vmgenid"}
EBUSY = 16

# How long nothing must happen in a guest in which nothing should.
QUIET = 1.0


@dataclass(frozen=True)
class Case:
    """A machine, and which driver has the VMGENID device."""

    kind: str
    exclusive: bool
    mode: str

    def __str__(self) -> str:
        return f"{self.kind}-{'exclusive' if self.exclusive else 'shared'}-{self.mode}"


CASES = [
    Case("firecracker", True, "observer"),
    Case("firecracker", True, "bound"),
    Case("firecracker", False, "observer"),
    Case("cloud-hypervisor", True, "bound"),
    Case("pc", True, "observer"),
    Case("pc", True, "bound"),
]


@dataclass(frozen=True)
class Watched:
    """A snapshot of a guest in which somebody looks at the mapped counter."""

    case: Case
    snapshot: Snapshot
    mapper: Watcher

    def restore(self) -> Machine:
        """A clone that does not run yet. Its ID is still the old one, 0."""
        return self.snapshot.restore(None, run=False, name=f"ged-{self.case}")


@pytest.fixture(scope="module", params=CASES, ids=str)
def watched(
    request: pytest.FixtureRequest, booted: Booted, tmp_path_factory: pytest.TempPathFactory
) -> Watched:
    """Taken once for each case, restored by each test."""
    case, folder = request.param, tmp_path_factory.mktemp("ged")
    spec = ged.spec(folder, case.kind, case.exclusive, MODES[case.mode])
    with booted.guest(spec, f"ged-{case}") as vm:
        modules.load(vm)
        mapper = Watcher.start(vm, "mmap")
        if case.kind == "pc":
            modules.wait_line_moved(vm)
        return Watched(case, vm.snapshot(folder / "snapshot"), mapper)


def test_the_line_is_as_firmware_says(watched: Watched) -> None:
    with watched.restore() as vm:
        vm.cont()
        driver = vm.sh(f"basename $(readlink {ged.device(vm.spec.machine).path}/driver)")
        assert driver.strip() == DRIVERS[watched.case.mode]

        line = ged.line(vm)
        assert (line.trigger, line.count) == ("edge", 0)
        assert line.handlers.split(", ")[0] == "ACPI:Ged"
        vm.sh(f"insmod /modules/irq_second.ko irq={line.irq}")
        error = int(vm.sh("cat /sys/module/irq_second/parameters/error"))
        assert error == (-EBUSY if watched.case.exclusive else 0)
        assert ged.line(vm) == line
        way = "traced" if watched.case.exclusive else "shared"
        assert f"; interrupt {line.irq}, {way}" in vm.sh("dmesg")

        # A microvm has no interrupt of ACPI's own that could be mistaken for it.
        has_sci = re.search(r" acpi\b", vm.sh("cat /proc/interrupts"))
        assert bool(has_sci) == (watched.case.kind == "pc")


def test_a_change_and_an_interrupt_are_one_generation(watched: Watched, tmp_path: Path) -> None:
    """Told before it runs, or later, and nobody makes a system call on the device."""
    snapshot = watched.snapshot
    for generation, (guid, is_late) in enumerate(((ids.A, False), (ids.B, True)), 1):
        with snapshot.restore(None, run=False, name=f"ged-{watched.case}-change") as vm:
            ged.change_id(vm, guid)
            if not is_late:
                ged.notify(vm)
            vm.cont()
            if is_late:
                time.sleep(QUIET)
                assert len(watched.mapper.events(vm)) == generation
                ged.notify(vm)
            watched.mapper.wait(vm, f"changed generation={generation}")
            time.sleep(QUIET)
            assert len(watched.mapper.events(vm)) == 1 + generation
            assert ged.line(vm).count == generation
            assert modules.reseeds(vm) >= generation
            assert modules.status(vm) == Status(generation, outdated=0)
            snapshot = vm.snapshot(tmp_path / f"snapshot-{generation}")


def test_a_change_without_an_interrupt_is_noticed_by_a_system_call(watched: Watched) -> None:
    with watched.restore() as vm:
        ged.change_id(vm, ids.A)
        vm.cont()
        time.sleep(QUIET)
        assert watched.mapper.events(vm) == ["ready generation=0"]
        assert modules.status(vm).generation == 1
        watched.mapper.wait(vm, "changed generation=1")
        assert ged.line(vm).count == 0

        ged.notify(vm)
        time.sleep(QUIET)
        assert ged.line(vm).count == 1
        assert modules.status(vm).generation == 1


def wait_for_interrupts(vm: Machine, count: int) -> None:
    """Waits until the line has interrupted so often; another edge before that may be lost."""
    deadline = time.monotonic() + 30
    while (seen := ged.line(vm).count) != count:
        assert seen < count and time.monotonic() < deadline
        time.sleep(0.05)


def test_an_interrupt_without_a_change_is_somebody_elses(watched: Watched) -> None:
    with watched.restore() as vm:
        ged.notify(vm)
        vm.cont()
        wait_for_interrupts(vm, 1)
        for count in (2, 3):
            ged.notify(vm)
            wait_for_interrupts(vm, count)
        time.sleep(QUIET)
        assert modules.status(vm).generation == 0
        assert modules.reseeds(vm) == 0
        assert watched.mapper.events(vm) == ["ready generation=0"]


@pytest.mark.parametrize("watched", CASES[:1], ids=str, indirect=True)
def test_two_clones_are_told_by_lines_of_their_own(watched: Watched) -> None:
    with watched.restore() as one, watched.restore() as two:
        for vm, guid in ((one, ids.A), (two, ids.B)):
            ged.change_id(vm, guid)
            ged.notify(vm)
            vm.cont()
        for vm, guid in ((one, ids.A), (two, ids.B)):
            watched.mapper.wait(vm, "changed generation=1")
            path = ged.device(vm.spec.machine).path
            assert vm.sh(f"cat {path}/guid").strip() == guid
        assert not set(modules.draw(one, 200)) & set(modules.draw(two, 200))


TRACING = "/sys/kernel/tracing"


@pytest.mark.parametrize("watched", [CASES[0], CASES[-1]], ids=str, indirect=True)
def test_the_tracepoint_tells_of_the_line_in_the_interrupt_itself(watched: Watched) -> None:
    """The only way to hear of a line that cannot be shared."""
    with watched.restore() as vm:
        vm.cont()
        irq = ged.line(vm).irq
        vm.sh(f"mount -t tracefs tracefs {TRACING}")
        event = f"{TRACING}/events/irq/irq_handler_entry"
        vm.sh(f"echo irq=={irq} >{event}/filter && echo 1 >{event}/enable")
        ged.notify(vm)
        # Whether in a hard interrupt is the third of the flags: h or H.
        said = vm.wait_for(f"cat {TRACING}/trace", rf" \S\S[hH]\S+ .* irq={irq} name=(.*)$")
        assert said[1] == "ACPI:Ged"
