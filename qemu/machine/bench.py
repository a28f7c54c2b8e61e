#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints what the device costs in instructions, and writes it to bench.csv in the cache folder.

usage: bench.py [RESTORES]

C is the device in C of tests/peer, which never looks at the hardware ID. It is measured in the
same guest as ours, right after it; a ratio is ours to it. The kernel's own calls, measured with
each of the two, show that nothing else has changed.
"""

from __future__ import annotations

import csv
import statistics
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

import counting
from vm import CACHE, RELEASE

CSV = CACHE / "bench.csv"

MODES = {
    "observer": "observing",
    "bound": "bound",
    "none": "no source",
}

WAYS = {
    "epoll": (1, 100, 1000, 10_000),
    "readers": (1, 10, 100, 1000),
}

RESTORES = {
    "call": "first system call answers",
    "page": "mapped counter changes by itself",
    "program": "ordinary program goes on, and sees it",
    "watchers": "last of 1,000 readers has acknowledged",
}


class Table:
    """Rows of figures, printed and written as they come."""

    def __init__(self, file: TextIO, title: str, columns: Iterable[str]) -> None:
        self._writer = csv.writer(file)
        self._title = title
        columns = list(columns)
        print(f"\n{title:46}" + "".join(f"{column:>18}" for column in columns), flush=True)
        self._writer.writerow([title, *columns])

    def row(self, name: str, *figures: float | str | None) -> None:
        """A row; None where there is no figure, and text as it is."""
        print(f"{name:46}" + "".join(f"{_text(f, ',.0f', '-'):>18}" for f in figures), flush=True)
        self._writer.writerow([name, *(_text(f, ".0f", "") for f in figures)])


def _text(figure: float | str | None, form: str, nothing: str) -> str:
    if isinstance(figure, str):
        return figure
    return nothing if figure is None else format(figure, form)


def ratio(ours: float | None, peer: float | None) -> str | None:
    """What ours takes of what the device in C takes."""
    return None if ours is None or peer is None else f"{ours / peer:.3f}"


def uses(file: TextIO) -> None:
    """What each use of the device costs."""
    results = {}
    for mode in MODES:
        with counting.boot(mode, "bench") as vm:
            results[mode] = counting.uses(vm)
            if mode == "observer":
                counting.replace_by_peer(vm)
                peer = counting.uses(vm)
                # It sends none.
                del peer["trigger, and its uevent"]
                counting.replace_by_peer(vm, "looks_first=1")
                looks_first = counting.polls(vm)

    table = Table(file, "one use", [*MODES.values(), "C", "observing / C"])
    for name, ours in results["observer"].items():
        figures = [result.get(name) for result in results.values()]
        table.row(name, *figures, peer.get(name), ratio(ours, peer.get(name)))

    table = Table(file, "poll in C", ["registers always", "looks first"])
    for name, figure in looks_first.items():
        table.row(name, peer[name], figure)


def wakes(file: TextIO) -> None:
    """What it takes to wake many, and for how long they keep the processor from others."""
    cases = [(way, count) for way, counts in WAYS.items() for count in counts]
    with counting.boot("observer", "wake") as vm:
        ours = dict(zip(cases, counting.wakes(vm, cases), strict=True))
        counting.replace_by_peer(vm)
        peer = dict(zip(cases, counting.wakes(vm, cases), strict=True))

    for way, counts in WAYS.items():
        columns = ("trigger", "all settled", "delay of others", "delay in idle")
        table = Table(file, f"waking by {way}", columns)
        for count in counts:
            pair = [list(figures[way, count].values()) for figures in (ours, peer)]
            _compared(table, f"{count:,}", *pair)
        pair = [_growth(figures, way, counts[0], counts[-1]) for figures in (ours, peer)]
        _compared(table, "each more", *pair)


def _growth(
    figures: dict[tuple[str, int], dict[str, int]], way: str, few: int, many: int
) -> list[float | None]:
    least, most = figures[way, few], figures[way, many]
    growth = [(most[name] - least[name]) / (many - few) for name in ("trigger", "settled")]
    return [*growth, None, None]


def _compared(
    table: Table, name: str, ours: Sequence[float | None], peer: Sequence[float | None]
) -> None:
    table.row(name, *ours)
    table.row(f"{name}, C", *peer)
    table.row(f"{name}, ours / C", *map(ratio, ours, peer))


def restores(file: TextIO, count: int) -> None:
    """How long after a restore something has happened."""
    table = Table(file, f"after a restore, {count} times", ("least", "median", "most"))
    table.row("kernel's own driver has reseeded", *_spread("kernel", "kernel", count))
    for mode in ("observer", "bound"):
        for what, name in RESTORES.items():
            table.row(f"{name}, {MODES[mode]}", *_spread(mode, what, count))


def _spread(mode: str, what: str, count: int) -> tuple[float, float, float]:
    figures = list(counting.restores(mode, what, count))
    return min(figures), statistics.median(figures), max(figures)


def interrupts(file: TextIO) -> None:
    """What listening adds to an interrupt that announces no clone."""
    table = Table(file, "hard interrupt of somebody else", ["with", "without", "more"])
    for traced, line in ((False, "SCI, shared"), (True, "line of a GED, traced")):
        for mode in ("observer", "bound"):
            listening, alone = counting.foreign_interrupt(mode, traced)
            table.row(f"{line}, {MODES[mode]}", listening, alone, listening - alone)


def sizes(file: TextIO) -> None:
    """What the modules and an open descriptor take in memory."""
    modules = {module: counting.module_sizes(module) for module in counting.MODULES}
    modules["C"] = counting.module_sizes(counting.PEER)
    table = Table(file, "bytes of the modules", modules)
    for kind in (".text", ".rodata", ".data"):
        table.row(kind, *(size[kind] for size in modules.values()))

    slabs = {
        "/dev/sysgenid": counting.descriptor_size("none", "/dev/sysgenid"),
        "C": counting.descriptor_size("peer", "/dev/sysgenid"),
        "/dev/null": counting.descriptor_size("none", "/dev/null"),
    }
    table = Table(file, "bytes of an open descriptor, by slab cache", slabs)
    for name in slabs["/dev/sysgenid"]:
        table.row(name, *(slab.get(name) for slab in slabs.values()))


def main() -> None:
    """Measures everything."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"Instructions in a guest with Linux {RELEASE} under QEMU's TCG.")
    with CSV.open("w", newline="") as file:
        uses(file)
        wakes(file)
        restores(file, count)
        interrupts(file)
        sizes(file)


if __name__ == "__main__":
    main()
