#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints how many random numbers pairs of clones share, with and without the modules.

usage: clones.py [PAIRS]

Ends with status 1 if two clones share a number that a system call or page 1
said was fit for use, or if a system call told of the old generation.
"""

from __future__ import annotations

import statistics
import sys
import time

import race
from race import Pair, Setting

TITLES = {
    "getrandom": "no check",
    "word": "first word of page 0",
    "page": "page 0 against page 1",
    "call": "system call",
}
MODES = {
    "kernel": "kernel's own driver alone",
    "observer": "observing beside it",
    "bound": "bound instead of it",
}
PROMISED = ("page", "call")


def line(setting: Setting, pairs: list[Pair]) -> str:
    """A row of the table."""
    shared = [pair.shared for pair in pairs]
    numbers = f"{min(shared):7,} {statistics.median(shared):9,.0f} {max(shared):8,}"
    hit = f"{sum(count > 0 for count in shared)}/{len(pairs)}"
    stale = sum(pair.stale for pair in pairs) if setting.way in PROMISED else "-"
    kept = min(pair.kept for pair in pairs)
    return (
        f"{MODES[setting.mode]:26} {TITLES[setting.way]:22} {numbers} {hit:>8} {stale:>7} {kept:9,}"
    )


def is_broken(setting: Setting, pairs: list[Pair]) -> bool:
    """Whether something has happened that we promise will not."""
    return setting.way in PROMISED and any(pair.shared or pair.stale for pair in pairs)


def main() -> None:
    """Runs all settings, prints each row as it comes."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(f"Values that both clones of a pair keep; {count} pairs each, 2 busy processors.\n")
    print(
        f"{'':26} {'':22} {'---- shared values ----':>26} {'pairs':>8} {'stale':>7} {'kept by':>9}"
    )
    print(
        f"{'who watches the ID':26} {'what is checked':22}"
        f" {'least':>7} {'median':>9} {'most':>8} {'sharing':>8} {'answers':>7} {'each':>9}"
    )
    broken = []
    for setting in race.SETTINGS:
        start = time.monotonic()
        pairs = list(race.pairs(setting, count))
        print(line(setting, pairs), f"  ({time.monotonic() - start:.0f} s)", flush=True)
        if is_broken(setting, pairs):
            broken.append(f"{MODES[setting.mode]}, {TITLES[setting.way]}")
    if broken:
        sys.exit("BROKEN: " + "; ".join(broken))


if __name__ == "__main__":
    main()
