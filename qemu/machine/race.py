# SPDX-License-Identifier: GPL-2.0
"""How many random numbers two clones share: the race between a restore and who notices it.

A guest draws random numbers on all processors (qemu/guest/race.c), a snapshot
is taken in the middle of it, and two clones are restored under two IDs. What
each has drawn since is read out of its memory. The same values in both are
what an attacker, or an unlucky user, would call a catastrophe.
"""

from __future__ import annotations

import itertools
import struct
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import modules
from vm import Machine, Snapshot, Spec

RECORD_SIZE = 2 << 20
DRAW = struct.Struct("<QII")
DRAWS = RECORD_SIZE // DRAW.size - 1
KEPT = 1 << 31

# Turns of each thread after the restore: few enough for the record to hold them
# all. Where numbers are shared, enough to see the end of that by far; where none
# may be, the first ones matter.
TURNS = {"getrandom": 40_000, "word": 40_000, "page": 15_000, "call": 15_000}
RUN_TIME = 60.0
ATTEMPTS = 5


@dataclass(frozen=True)
class Setting:
    """Who watches the hardware ID, and by which way a drawn number is judged."""

    mode: str
    way: str

    @property
    def append(self) -> str:
        """What the guest's kernel has to be told."""
        return "hugepages=4 " + (modules.BOUND if self.mode == "bound" else "")

    @property
    def has_modules(self) -> bool:
        """Whether our modules are loaded at all."""
        return self.mode != "kernel"


# What the experiment compares; the guarantee is about `call` and `page`.
SETTINGS = [
    Setting("kernel", "getrandom"),
    *(Setting(mode, way) for mode in ("observer", "bound") for way in ("word", "page", "call")),
]


@dataclass(frozen=True)
class Draw:
    """One turn of a thread."""

    value: int
    before: int
    after: int
    kept: bool


class RecordOverrun(Exception):
    """A thread has got so far ahead of the others that its first turns are lost."""


@dataclass(frozen=True)
class Record:
    """What one thread has left in its huge page."""

    turns: int
    data: bytes

    def draws(self, start: int) -> Iterator[Draw]:
        """The turns from number `start` on."""
        if self.turns - start > DRAWS:
            raise RecordOverrun(f"{self.turns - start} turns, but the record holds {DRAWS}")
        for turn in range(start, self.turns):
            value, before, after = DRAW.unpack_from(self.data, (1 + turn % DRAWS) * DRAW.size)
            yield Draw(value, before, after & ~KEPT, bool(after & KEPT))


@dataclass(frozen=True)
class Clone:
    """What a clone's threads did since the restore."""

    drawn: list[Draw]
    old_generation: int

    @property
    def kept(self) -> set[int]:
        """The values that the guest found fit for use."""
        return {draw.value for draw in self.drawn if draw.kept}

    @property
    def stale(self) -> int:
        """How many turns were told of the generation before the restore."""
        old = self.old_generation
        return sum((draw.before <= old) + (draw.after <= old) for draw in self.drawn)


@dataclass(frozen=True)
class Pair:
    """Two clones of one snapshot."""

    one: Clone
    two: Clone

    @property
    def shared(self) -> int:
        """How many values both found fit for use."""
        return len(self.one.kept & self.two.kept)

    @property
    def kept(self) -> int:
        """How many values the clone with fewer of them has kept."""
        return min(len(self.one.kept), len(self.two.kept))

    @property
    def stale(self) -> int:
        """How many answers of either clone came from before the restore."""
        return self.one.stale + self.two.stale


def read_records(vm: Machine, addresses: list[int]) -> list[Record]:
    """Reads the threads' records out of the guest's memory."""
    return [Record(*read_record(vm, address)) for address in addresses]


def read_record(vm: Machine, address: int, size: int = RECORD_SIZE) -> tuple[int, bytes]:
    """The number of turns of a thread, and its record or the beginning of that."""
    with tempfile.NamedTemporaryFile() as file:
        vm.qmp("pmemsave", val=address, size=size, filename=file.name)
        data = Path(file.name).read_bytes()
    return int.from_bytes(data[:8], "little"), data


def run_clone(vm: Machine, addresses: list[int], turns: int) -> Clone:
    """Lets a restored machine run until each thread has done its turns, and stops it again.

    A turn that was under way at the snapshot began before it, and may not be
    compared: it is the first that the record does not have yet.
    """
    before = read_records(vm, addresses)
    vm.cont()
    deadline = time.monotonic() + RUN_TIME
    for address, record in zip(addresses, before, strict=True):
        while read_record(vm, address, 8)[0] < record.turns + turns:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{vm.name}: the threads do not get on\n{vm.tail()}")
            time.sleep(0.02)
    vm.qmp("stop")
    after = read_records(vm, addresses)
    drawn = itertools.chain.from_iterable(
        new.draws(old.turns + 1) for old, new in zip(before, after, strict=True)
    )
    last = (list(record.draws(record.turns - 1))[0].after for record in before)
    return Clone(list(drawn), max(last))


def start(vm: Machine, setting: Setting) -> list[int]:
    """Starts the race; returns where the records are."""
    if setting.has_modules:
        modules.load(vm)
    vm.sh(f"/guest/race {setting.way} >/tmp/race 2>&1 &")
    vm.wait_for("cat /tmp/race", "^racing$")
    lines = vm.sh("cat /tmp/race").splitlines()
    return [int(line.split()[1], 16) for line in lines if line.startswith("record")]


def pairs(setting: Setting, count: int) -> Iterator[Pair]:
    """Takes so many snapshots in the middle of one race, and clones each twice.

    The second clone of a pair goes on, and gives the next snapshot.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "snapshot")
        spec = Spec(guid=str(uuid.uuid4()), append=setting.append)
        with Machine.boot(spec, f"race-{setting.mode}-{setting.way}") as vm:
            addresses = start(vm, setting)
            snapshot = vm.snapshot(path)
        for _ in range(count):
            pair, snapshot = _pair(setting, snapshot, addresses, path)
            yield pair


def _pair(
    setting: Setting, snapshot: Snapshot, addresses: list[int], path: Path
) -> tuple[Pair, Snapshot]:
    """Clones a snapshot twice; takes the next one.

    On a busy host one of the guest's processors may get far less time than the
    other. What is lost by that may be what clones share, so that the snapshot
    is cloned again.
    """
    for _ in range(ATTEMPTS):
        try:
            with _clone(setting, snapshot) as vm:
                one = run_clone(vm, addresses, TURNS[setting.way])
                vm.cont()
            with _clone(setting, snapshot) as vm:
                two = run_clone(vm, addresses, TURNS[setting.way])
                vm.cont()
                return Pair(one, two), vm.snapshot(path)
        except RecordOverrun as err:
            overrun = err
    raise overrun


def _clone(setting: Setting, snapshot: Snapshot) -> Machine:
    name = f"race-{setting.mode}-{setting.way}-clone"
    return snapshot.restore(str(uuid.uuid4()), run=False, name=name)
