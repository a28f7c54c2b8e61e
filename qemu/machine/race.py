# SPDX-License-Identifier: GPL-2.0
"""How many random numbers two clones share: the race between a restore and who notices it.

A guest draws random numbers on all processors (qemu/guest/race.c), a snapshot
is taken in the middle of it, and two clones are restored under two IDs. What
each has drawn since is read out of its memory. The same values in both are
what an attacker, or an unlucky user, would call a catastrophe.

How many there are depends on the host as well: a processor of the guest that
has to wait while another one runs hears of the clone later. How long they have
waited is therefore part of the result.
"""

from __future__ import annotations

import functools
import itertools
import shutil
import struct
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import awslc
import modules
import overlay
from vm import KVM, Boot, Machine, Snapshot, Spec, accelerator

RECORD_SIZE = 2 << 20
DRAW = struct.Struct("<QII")
DRAWS = RECORD_SIZE // DRAW.size - 1
KEPT = 1 << 31

# Turns of each thread after the restore that are compared, the same everywhere:
# few enough for the record to hold them all, and enough to see the end of what
# is shared by far.
TURNS = 40_000
RUN_TIME = 60.0
ATTEMPTS = 5

# How often a running clone is looked at. Each look takes time of the host that
# the guest may want, at the beginning above all.
LOOK_TIME = 0.05


@dataclass(frozen=True)
class Setting:
    """Who watches the hardware ID, and by which way a drawn number is judged.

    `rdrand` is for AWS-LC: whether the guest's processors have that. Where they
    do, AWS-LC adds to each draw what it gives, unless there is /dev/sysgenid.
    """

    mode: str
    way: str
    smp: int = 2
    rdrand: bool = False

    @property
    def name(self) -> str:
        """What `make clones` calls it, word by word."""
        return f"{self.way}{'-rdrand' * self.rdrand}-{self.mode}-{self.smp}"

    @property
    def append(self) -> str:
        """What the guest's kernel has to be told."""
        return "hugepages=4 " + (modules.BOUND if self.mode == "bound" else "")

    @property
    def has_modules(self) -> bool:
        """Whether our modules are loaded at all."""
        return self.mode != "kernel"

    @property
    def program(self) -> str:
        """What draws the numbers, in the guest."""
        return "/guest/race-awslc" if self.way == "awslc" else "/guest/race"

    def spec(self) -> Spec:
        """A machine for it."""
        spec = Spec(guid=modules.ORIGINAL, append=self.append, smp=self.smp)
        if self.way != "awslc":
            return spec
        _, extra = _files(self.program)
        return replace(spec, extra=extra, accel=self._accel())

    def _accel(self) -> tuple[str, ...]:
        """The accelerator with the processor that is wanted.

        On AMD's processors AWS-LC trusts RDRAND of the last years' only, and
        QEMU's own pretends to be an older one.
        """
        *accel, cpu = accelerator()
        if not self.rdrand:
            cpu += ",-rdrand"
        elif accelerator() != KVM:
            cpu += ",vendor=GenuineIntel"
        return (*accel, cpu)


@functools.cache
def _files(program: str) -> tuple[tempfile.TemporaryDirectory[str], tuple[str, ...]]:
    """QEMU's arguments for a guest with AWS-LC's program, and what they name, as long as we run."""
    folder = tempfile.TemporaryDirectory()
    files = Path(folder.name, "files")
    target = files / program.lstrip("/")
    target.parent.mkdir(parents=True)
    shutil.copy(awslc.build(), target)
    return folder, overlay.arguments(files)


def _settings() -> Iterator[Setting]:
    modes = ("kernel", "observer", "bound")
    for smp in (1, 2):
        yield from (Setting(mode, "getrandom", smp) for mode in modes)
    for smp in (1, 2):
        yield from (Setting(mode, "word", smp) for mode in modes[1:])
    for smp in (1, 2):
        yield from (Setting(mode, "awslc", smp) for mode in modes)
    yield from (Setting(mode, "awslc", rdrand=True) for mode in modes[:2])
    for way in ("page", "call"):
        yield from (Setting(mode, way) for mode in modes[1:])


# What the experiment compares; the guarantee is about `call` and `page`.
SETTINGS = list(_settings())


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
class Times:
    """What the host gave the guest's processors, each in seconds."""

    ran: list[float]
    waited: list[float]

    def __sub__(self, other: Times) -> Times:
        return Times(
            [new - old for new, old in zip(self.ran, other.ran, strict=True)],
            [new - old for new, old in zip(self.waited, other.waited, strict=True)],
        )

    @classmethod
    def of(cls, vm: Machine) -> Times:
        """So far. /proc/PID/schedstat has how long a thread ran, and waited for that."""
        threads = [cpu["thread-id"] for cpu in vm.qmp("query-cpus-fast")]
        stats = [Path(f"/proc/{vm.pid}/task/{tid}/schedstat").read_text() for tid in threads]
        ran, waited, _ = zip(*(map(int, stat.split()) for stat in stats), strict=True)
        return cls([ns / 1e9 for ns in ran], [ns / 1e9 for ns in waited])


@dataclass(frozen=True)
class Clone:
    """What a clone's threads did since the restore, one on each processor.

    `discarded` counts the turns that gave no number to keep, also among those
    that were under way at the snapshot. `first` is what the host gave at the
    very beginning, `times` altogether.
    """

    drawn: list[list[Draw]]
    old_generation: int
    discarded: int
    first: Times
    times: Times

    def kept(self, cpu: int) -> set[int]:
        """The values that the guest found fit for use on that processor."""
        return {draw.value for draw in self.drawn[cpu] if draw.kept}

    def all_kept(self) -> set[int]:
        """The values that the guest found fit for use."""
        return set().union(*(self.kept(cpu) for cpu in range(len(self.drawn))))

    @property
    def stale(self) -> int:
        """How many turns were told of the generation before the restore."""
        old = self.old_generation
        draws = itertools.chain.from_iterable(self.drawn)
        return sum((draw.before <= old) + (draw.after <= old) for draw in draws)


@dataclass(frozen=True)
class Pair:
    """Two clones of one snapshot.

    `interrupts`: how many each of the second clone's processors has taken that
    announced a clone.
    """

    one: Clone
    two: Clone
    interrupts: list[int]

    @functools.cached_property
    def shared_on(self) -> list[int]:
        """How many values both found fit for use, by the processor that drew them in `one`."""
        two = self.two.all_kept()
        return [len(self.one.kept(cpu) & two) for cpu in range(len(self.one.drawn))]

    @property
    def shared(self) -> int:
        """How many values both found fit for use."""
        return sum(self.shared_on)

    @property
    def stale(self) -> int:
        """How many answers of either clone came from before the restore."""
        return self.one.stale + self.two.stale

    @property
    def discarded(self) -> int:
        """How many turns of either clone gave no number to keep."""
        return self.one.discarded + self.two.discarded


def read_records(vm: Machine, addresses: list[int]) -> list[Record]:
    """Reads the threads' records out of the guest's memory."""
    return [Record(*read_record(vm, address)) for address in addresses]


def read_record(vm: Machine, address: int, size: int = RECORD_SIZE) -> tuple[int, bytes]:
    """The number of turns of a thread, and its record or the beginning of that."""
    with tempfile.NamedTemporaryFile() as file:
        vm.qmp("pmemsave", val=address, size=size, filename=file.name)
        data = Path(file.name).read_bytes()
    return int.from_bytes(data[:8], "little"), data


def wait_for_turns(vm: Machine, addresses: list[int], turns: list[int]) -> None:
    """Waits until each thread has done so many turns."""
    deadline = time.monotonic() + RUN_TIME
    for address, wanted in zip(addresses, turns, strict=True):
        while read_record(vm, address, 8)[0] < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{vm.name}: the threads do not get on\n{vm.tail()}")
            time.sleep(LOOK_TIME)


def run_clone(vm: Machine, addresses: list[int], turns: int) -> Clone:
    """Lets a restored machine run until each thread has done its turns, and stops it again.

    A turn that was under way at the snapshot began before it, and may not be
    compared: it is the first that the record does not have yet.
    """
    before = read_records(vm, addresses)
    start = Times.of(vm)
    vm.cont_alone(LOOK_TIME)
    first = Times.of(vm) - start
    wait_for_turns(vm, addresses, [record.turns + 1 + turns for record in before])
    vm.qmp("stop")
    times = Times.of(vm) - start
    after = read_records(vm, addresses)
    new = [
        list(itertools.islice(new.draws(old.turns), 1 + turns))
        for new, old in zip(after, before, strict=True)
    ]
    last = (list(record.draws(record.turns - 1))[0].after for record in before)
    return Clone(
        drawn=[draws[1:] for draws in new],
        old_generation=max(last),
        discarded=sum(not draw.kept for draws in new for draw in draws),
        first=first,
        times=times,
    )


def start(vm: Machine, setting: Setting) -> list[int]:
    """Starts the race; returns where the records are."""
    if setting.has_modules:
        modules.load(vm)
        modules.wait_line_moved(vm)
    return start_threads(vm, setting)


def start_threads(vm: Machine, setting: Setting) -> list[int]:
    """Starts the race in a guest that is as it shall be; returns where the records are."""
    vm.sh(f"{setting.program} {setting.way} >/tmp/race 2>&1 &")
    vm.wait_for("cat /tmp/race", "^racing$")
    lines = vm.sh("cat /tmp/race").splitlines()
    addresses = [int(line.split()[1], 16) for line in lines if line.startswith("record")]
    # AWS-LC gathers for a while what it seeds itself with.
    wait_for_turns(vm, addresses, [1] * len(addresses))
    return addresses


def read_interrupts(vm: Machine) -> list[int]:
    """How many interrupts of ACPI's each of the guest's processors has taken."""
    (line,) = vm.sh("grep -w acpi /proc/interrupts").splitlines()
    return [int(word) for word in line.split()[1:] if word.isdigit()][: vm.spec.smp]


def pairs(
    setting: Setting, count: int, turns: int = TURNS, guest: Boot = Machine.boot
) -> Iterator[Pair]:
    """Takes so many snapshots in the middle of one race, and clones each twice.

    The second clone of a pair goes on, and gives the next snapshot.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "snapshot")
        with guest(setting.spec(), f"race-{setting.name}") as vm:
            addresses = start(vm, setting)
            before = read_interrupts(vm)
            snapshot = vm.snapshot(path)
        for _ in range(count):
            one, two, after, snapshot = _pair(setting, snapshot, addresses, path, turns)
            yield Pair(one, two, [new - old for new, old in zip(after, before, strict=True)])
            before = after


def _pair(
    setting: Setting, snapshot: Snapshot, addresses: list[int], path: Path, turns: int
) -> tuple[Clone, Clone, list[int], Snapshot]:
    """Clones a snapshot twice; takes the next one, with the interrupts up to there.

    On a busy host one of the guest's processors may get far less time than the
    other. What is lost by that may be what clones share, so that the snapshot
    is cloned again.
    """
    for _ in range(ATTEMPTS):
        try:
            with _clone(setting, snapshot) as vm:
                one = run_clone(vm, addresses, turns)
                vm.cont()
            with _clone(setting, snapshot) as vm:
                two = run_clone(vm, addresses, turns)
                vm.cont()
                return one, two, read_interrupts(vm), vm.snapshot(path)
        except RecordOverrun as err:
            overrun = err
    raise overrun


def _clone(setting: Setting, snapshot: Snapshot) -> Machine:
    return snapshot.restore(str(uuid.uuid4()), run=False, name=f"race-{setting.name}-clone")
