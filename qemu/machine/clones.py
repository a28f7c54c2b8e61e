#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints how many random numbers pairs of clones share, with and without the modules.

usage: clones.py [PAIRS [ROW...]]

A ROW is a row's name, or some of its words: "word" stands for all rows that
check the first word, "kernel-1" for those of the kernel alone on one processor.
With V=1 in the environment there is a line for each pair as well.

Ends with status 1 if two clones share a number that a system call or page 1
said was fit for use, or if a system call told of the old generation. The other
goals are judged, too, but depend on the host.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import awslc
import race
from race import Clone, Pair, Setting
from vm import RELEASE

TITLES = {
    "getrandom": "getrandom() of programs that know nothing of clones",
    "word": "first word of page 0, looked at before and after getrandom()",
    "awslc": "RAND_bytes() of AWS-LC, which looks at the first word by itself",
    "page": "page 0 compared with page 1 before and after getrandom()",
    "call": "a system call before and after getrandom()",
}
LEGEND = """\
kernel    the kernel's own driver alone
observer  our modules, observing beside it
bound     our modules, bound instead of it
1, 2      processors of the guest, all busy
rdrand    with RDRAND, which AWS-LC adds to each draw unless it finds /dev/sysgenid;
          its other rows are without

drawn on  cpu 0 + cpu 1: where the shared values come from
told on   which processor took the interrupt, in every second clone
waited    the host ran something else for this part of the time in which the guest's
          processors wanted to run"""
HEADER = (
    f"{'':23} {'pairs that':>13}  {'- values shared in a pair -':^27} {'in all':>10}"
    f"  {'':19} {'':9} {'':>6}\n"
    f"{'':23} {'share nothing':>13}  {'least':>7} {'median':>9} {'most':>9} {'pairs':>10}"
    f"  {'drawn on':19} {'told on':9} {'waited':>6}"
)

PROMISED = ("page", "call")

# Of the pairs, of what the kernel alone lets through, and of the time, while
# which a host may be busy that is called quiet.
CLEAN = 0.9
REMNANT = 0.001
QUIET = 0.05


@dataclass(frozen=True)
class Outcome:
    """What remains to be known of a pair."""

    shared_on: list[int]
    stale: int
    discarded: int
    interrupts: list[int]
    ran: float
    waited: float

    @classmethod
    def of(cls, pair: Pair) -> Outcome:
        """The pair itself, with all that was drawn, takes a lot of memory."""
        times = (pair.one.times, pair.two.times)
        return cls(
            shared_on=pair.shared_on,
            stale=pair.stale,
            discarded=pair.discarded,
            interrupts=pair.interrupts,
            ran=sum(sum(time.ran) for time in times),
            waited=sum(sum(time.waited) for time in times),
        )


@dataclass(frozen=True)
class Row:
    """What the pairs of a setting have shared."""

    setting: Setting
    pairs: list[Outcome]
    seconds: float = 0.0

    @property
    def shared(self) -> list[int]:
        """By pair."""
        return [sum(pair.shared_on) for pair in self.pairs]

    @property
    def clean(self) -> int:
        """How many pairs share nothing."""
        return self.shared.count(0)

    @property
    def total(self) -> int:
        """What all pairs share."""
        return sum(self.shared)

    @property
    def median(self) -> float:
        """Half of the pairs share no more."""
        return statistics.median(self.shared)

    @property
    def stale(self) -> int:
        """The answers from before the restore."""
        return sum(pair.stale for pair in self.pairs)

    @property
    def waited(self) -> float:
        """The part of the time for which the guest's processors waited."""
        waited = sum(pair.waited for pair in self.pairs)
        return waited / (waited + sum(pair.ran for pair in self.pairs))

    def __str__(self) -> str:
        clean = f"{self.clean}/{len(self.pairs)}"
        least, most = min(self.shared), max(self.shared)
        return (
            f"{self.setting.name:23} {clean:>13}  {least:7,} {self.median:9,.0f} {most:9,}"
            f" {self.total:10,}  {plus(column(pair.shared_on for pair in self.pairs)):19}"
            f" {plus(column(pair.interrupts for pair in self.pairs)):9} {self.waited:6.0%}"
            f"  {self._remark()}({self.seconds:.0f} s)"
        )

    def _remark(self) -> str:
        if self.setting.way in PROMISED:
            return f"{self.stale:,} stale answers "
        if self.setting.way == "awslc":
            return f"{sum(pair.discarded for pair in self.pairs):,} draws aborted "
        return ""


def column(lists: Iterable[list[int]]) -> list[int]:
    """Sums, each of a processor."""
    return [sum(numbers) for numbers in zip(*lists, strict=True)]


def plus(numbers: Iterable[int]) -> str:
    """Numbers of the processors."""
    return " + ".join(f"{number:,}" for number in numbers)


@dataclass(frozen=True)
class Goal:
    """What a row should be like, and whether it is; None if that cannot be said."""

    row: Row
    text: str
    met: bool | None

    def __str__(self) -> str:
        met = {True: "met", False: "MISSED", None: "?"}[self.met]
        busy = self.met is False and self.row.setting.smp > 1 and self.row.waited > QUIET
        remark = f"; the host was busy, {self.row.waited:.0%} waited" if busy else ""
        return f"{self.row.setting.name:23} {met:7} {self.text}{remark}"


def goals(rows: list[Row]) -> Iterator[Goal]:
    """All goals that these rows can show."""
    by_name = {row.setting.name: row for row in rows}
    for row in rows:
        setting = row.setting
        if setting.way in PROMISED:
            text = f"nothing shared ({row.total:,}), no stale answer ({row.stale:,})"
            yield Goal(row, text, row.total == 0 and row.stale == 0)
        elif setting.mode == "kernel" or setting.rdrand:
            continue
        elif setting.smp == 1:
            yield Goal(row, f"nothing shared ({row.total:,})", row.total == 0)
        else:
            yield from busy_goals(row, by_name)


def busy_goals(row: Row, by_name: dict[str, Row]) -> Iterator[Goal]:
    """Those of two busy processors."""
    yield Goal(row, f"median 0 ({row.median:,.0f})", row.median == 0)
    clean = f"{row.clean}/{len(row.pairs)}"
    met = row.clean >= CLEAN * len(row.pairs)
    yield Goal(row, f"{CLEAN:.0%} of the pairs share nothing ({clean})", met)
    way = "awslc" if row.setting.way == "awslc" else "getrandom"
    name = Setting("kernel", way, row.setting.smp).name
    text = f"all share less than {REMNANT:.1%} of {name} ({row.total:,} of "
    if name in by_name:
        most = by_name[name].total
        yield Goal(row, f"{text}{most:,})", row.total == 0 or row.total < REMNANT * most)
    else:
        yield Goal(row, f"{text}what was not run)", None)


def chosen(names: list[str]) -> list[Setting]:
    """The settings that these names or words stand for; all if there are none."""
    for name in names:
        if not any(stands_for(name, setting) for setting in race.SETTINGS):
            known = " ".join(setting.name for setting in race.SETTINGS)
            sys.exit(f"no row is called {name}; there are {known}")
    return [
        setting
        for setting in race.SETTINGS
        if not names or any(stands_for(name, setting) for name in names)
    ]


def stands_for(name: str, setting: Setting) -> bool:
    """Whether this is the setting's name, or consists of some words of it and is no other's."""
    if any(name == other.name for other in race.SETTINGS):
        return name == setting.name
    return set(name.split("-")) <= set(setting.name.split("-"))


def report(number: int, pair: Pair) -> str:
    """A line for one pair."""
    return (
        f"  pair {number}: {plus(pair.shared_on)} shared, told on {plus(pair.interrupts)};"
        f" waited: {wait(pair.one)} and {wait(pair.two)}"
    )


def wait(clone: Clone) -> str:
    """How long the processors of a clone waited for the host."""
    first = " + ".join(f"{1000 * seconds:.1f}" for seconds in clone.first.waited)
    times = " + ".join(f"{1000 * seconds:.0f}" for seconds in clone.times.waited)
    return f"{first} ms in the beginning, {times} ms in all"


def run(setting: Setting, count: int) -> Row:
    """A row."""
    start = time.monotonic()
    outcomes = []
    for pair in race.pairs(setting, count):
        outcomes.append(Outcome.of(pair))
        if os.environ.get("V") == "1":
            print(report(len(outcomes), pair), flush=True)
    return Row(setting, outcomes, time.monotonic() - start)


def main() -> None:
    """Runs all settings, prints each row as it comes."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    settings = chosen(sys.argv[2:])
    if any(setting.way == "awslc" for setting in settings):
        print("==> build AWS-LC, if that is not done already", flush=True)
        awslc.build()
    load, *_ = os.getloadavg()
    print(f"Values that both clones of a pair keep; {count} pairs each, of each thread the first")
    print(f"{race.TURNS:,} turns after the restore. Guest: Linux {RELEASE}. Host:")
    print(f"{os.cpu_count()} processors, load average {load:.2f} before this began.\n")
    print(LEGEND)

    rows: list[Row] = []
    way = ""
    for setting in settings:
        if setting.way != way:
            way = setting.way
            print(f"\n{TITLES[way]}\n{HEADER}", flush=True)
        rows.append(run(setting, count))
        print(rows[-1], flush=True)

    print("\nGoals:")
    broken = False
    for goal in goals(rows):
        print(goal)
        broken |= goal.row.setting.way in PROMISED and not goal.met
    if broken:
        sys.exit("BROKEN: a promise was not kept")


if __name__ == "__main__":
    main()
