#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints what the device costs in instructions, and writes it to bench.csv in the cache folder.

usage: bench.py [RESTORES]

The last column is a C implementation of the same device that never looks at
the hardware ID, measured in the same way; with it the kernel's own calls, so
that one sees whether the two runs can be compared.
"""

from __future__ import annotations

import csv
import statistics
import sys
from collections.abc import Iterable
from typing import TextIO

import counting
from vm import CACHE, RELEASE

CSV = CACHE / "bench.csv"

C_RELEASE = "7.2.12+deb13-cloud-amd64"
C_FIGURES = {
    "getppid": 347,
    "write /dev/null": 632,
    "read /dev/zero": 673,
    "eventfd read, nothing new": 736,
    "eventfd write + read": 1551,
    "eventfd poll, nothing new": 779,
    "open + close /dev/null": 5277,
    "read, nothing new": 640,
    "read, outdated": 677,
    "acknowledge, once more": 712,
    "acknowledge, outdated": 712,
    "poll, nothing new": 782,
    "poll, outdated": 767,
    "WAIT_WATCHERS, none outdated": 658,
    "trigger, 1 tracked": 1006,
    "trigger, 10 tracked": 1006,
    "trigger, 100 tracked": 1006,
    "trigger, 1000 tracked": 1006,
    "trigger, 10000 tracked": 1006,
    "trigger + read + acknowledge": 2482,
    "open + close, tracked": 5641,
    "mmap + munmap": 12079,
    "check of the mapped counter": 4,
}
C_TEXT = 4006

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

    def row(self, name: str, *figures: float | None) -> None:
        """A row; None where there is no figure."""
        texts = ("-" if figure is None else f"{figure:,.0f}" for figure in figures)
        print(f"{name:46}" + "".join(f"{text:>18}" for text in texts), flush=True)
        self._writer.writerow([name, *("" if f is None else f"{f:.0f}" for f in figures)])


def uses(file: TextIO) -> None:
    """What each use of the device costs."""
    results = {mode: counting.uses(mode) for mode in MODES}
    table = Table(file, "one use", [*MODES.values(), "C, no check"])
    for name in results["observer"]:
        table.row(name, *(result.get(name) for result in results.values()), C_FIGURES.get(name))


def wakes(file: TextIO) -> None:
    """What it takes to wake many, and for how long they keep the processor from others."""
    results = counting.wakes("observer", [(way, n) for way, counts in WAYS.items() for n in counts])
    for way, counts in WAYS.items():
        columns = ("trigger", "all settled", "delay of others", "delay in idle")
        table = Table(file, f"waking by {way}", columns)
        rows = []
        for count in counts:
            rows.append(list(next(results).values()))
            table.row(f"{count:,}", *rows[-1])
        more = counts[-1] - counts[0]
        growth = ((last - first) / more for first, last in zip(rows[0], rows[-1], strict=True))
        table.row("each more", *list(growth)[:2], None, None)


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


def sizes(file: TextIO) -> None:
    """What the modules and an open descriptor take in memory."""
    modules = {module: counting.module_sizes(module) for module in counting.MODULES}
    table = Table(file, "bytes of the modules", [*modules, "C"])
    for kind in (".text", ".rodata", ".data"):
        c_size = C_TEXT if kind == ".text" else None
        table.row(kind, *(size[kind] for size in modules.values()), c_size)

    paths = ("/dev/sysgenid", "/dev/null")
    slabs = [counting.descriptor_size(path) for path in paths]
    table = Table(file, "bytes of an open descriptor, by slab cache", paths)
    for name in slabs[0]:
        table.row(name, *(slab.get(name) for slab in slabs))


def main() -> None:
    """Measures everything."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"Instructions in a guest with Linux {RELEASE} under QEMU's TCG; C on {C_RELEASE}.")
    with CSV.open("w", newline="") as file:
        uses(file)
        wakes(file)
        restores(file, count)
        sizes(file)


if __name__ == "__main__":
    main()
