# SPDX-License-Identifier: GPL-2.0
"""What programs draw and see in clones that a Generic Event Device tells of.

The host raises the line before a clone runs, as Firecracker does. All
processors are busy, and the programs on them have a higher priority than the
kernel's workers. On the processor that takes the interrupt no program may go
on before the change, whatever it checks.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import ged
import pytest

import modules
import race
from race import Clone, RecordOverrun, Setting
from vm import Machine, Snapshot

SNAPSHOTS = 1

# The first turns are those that matter.
TURNS = 10_000

NICE = -5

# Long enough for the guest to have nothing else to do than to race when it is stopped.
QUIET = 0.5


@dataclass(frozen=True)
class Case:
    """A machine that is cloned in the middle of a race, and who takes the interrupt."""

    way: str
    mode: str = "bound"
    smp: int = 2
    kind: str = "firecracker"
    exclusive: bool = True
    cpu: int = 0

    def __str__(self) -> str:
        share = "exclusive" if self.exclusive else "shared"
        return f"{self.kind}-{share}-{self.mode}-{self.way}-{self.cpu}-of-{self.smp}"


@dataclass(frozen=True)
class Clones:
    """Two clones that were told, and one that was not, and has the old ID.

    That one goes on as if nothing had happened: its numbers are those that nobody else may have.
    """

    told: tuple[Clone, Clone]
    untold: Clone


class Race:
    """A guest that is cloned again and again."""

    def __init__(self, case: Case, folder: Path) -> None:
        self._case = case
        self._name = f"ged-race-{case}"
        self._path = folder / "snapshot"
        setting = Setting(case.mode, case.way, case.smp)
        spec = ged.spec(folder, case.kind, case.exclusive, setting.append)
        with Machine.boot(replace(spec, smp=case.smp), self._name) as vm:
            if case.cpu:
                ged.choose_processor(vm, case.cpu)
            modules.load(vm)
            self._addresses = race.start_threads(vm, setting)
            # Or the workers, of ordinary priority, would often be there first.
            vm.sh(f"cd /proc/$(pidof race)/task && renice -n {NICE} -p *")
            self._take_snapshot(vm)

    def _take_snapshot(self, vm: Machine) -> None:
        self._counts = ged.line(vm).counts
        self._snapshot: Snapshot = vm.snapshot(self._path, QUIET)

    def clones(self) -> Iterator[Clones]:
        """Clones each snapshot. The last clone goes on, and gives the next snapshot.

        What is lost because one of the processors was far behind the others is tried again.
        """
        found, attempts = 0, iter(range(SNAPSHOTS * race.ATTEMPTS))
        while found < SNAPSHOTS:
            next(attempts)
            try:
                with self._clone() as vm:
                    untold = race.run_clone(vm, self._addresses, TURNS)
                with self._clone() as vm:
                    one = self._run_told(vm)
                with self._clone() as vm:
                    two = self._run_told(vm)
                    self._take_snapshot(vm)
            except RecordOverrun:
                continue
            found += 1
            yield Clones((one, two), untold)

    def _clone(self) -> Machine:
        return self._snapshot.restore(None, run=False, name=f"{self._name}-clone")

    def _run_told(self, vm: Machine) -> Clone:
        ged.change_id(vm, str(uuid.uuid4()))
        ged.notify(vm)
        clone = race.run_clone(vm, self._addresses, TURNS)
        vm.cont()
        counts = ged.line(vm).counts
        new = [now - old for old, now in zip(self._counts, counts, strict=True)]
        assert new == [int(cpu == self._case.cpu) for cpu in range(self._case.smp)]
        return clone


def stale(clone: Clone, cpu: int) -> int:
    """How many turns of a processor saw the counter of before the restore."""
    old = clone.old_generation
    return sum(draw.before <= old or draw.after <= old for draw in clone.drawn[cpu])


CASES = [
    Case("word", "observer"),
    Case("getrandom", "bound"),
    Case("word", "bound", smp=1),
    Case("getrandom", "observer", smp=1),
    Case("word", exclusive=False),
    Case("word", kind="cloud-hypervisor"),
    Case("word", kind="pc"),
    # Somebody has chosen the second processor for the line before our driver came.
    Case("word", cpu=1),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_interrupted_processor_goes_on_with_nothing_old(case: Case, tmp_path: Path) -> None:
    for clones in Race(case, tmp_path).clones():
        assert len(clones.untold.all_kept()) == case.smp * TURNS
        for told, other in (clones.told, reversed(clones.told)):
            kept = told.kept(case.cpu)
            assert len(kept) == TURNS
            assert case.way == "getrandom" or stale(told, case.cpu) == 0
            assert len(kept & clones.untold.all_kept()) == 0
            assert len(kept & other.all_kept()) == 0
