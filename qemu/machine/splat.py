# SPDX-License-Identifier: GPL-2.0
"""What a kernel says when something is wrong with it."""

from __future__ import annotations

import re

# Anchored where the word alone is harmless: "RETBleed: WARNING: ..." tells of
# the processor, and a test may well be named after an oops.
_COMPLAINTS = (
    r"\bBUG[: ]",
    r"\] WARNING: ",
    r"\bOops\b[: ]",
    r"Kernel panic",
    r"Call Trace:",
    r"cut here",
    r"general protection fault",
    r"unable to handle",
    r"rust_kernel: panicked",
    r"Unknown symbol",
    r"disagrees about version of symbol",
    r"version magic .* should be",
    r"possible (circular|recursive|irq lock inversion|deadlock)",
    r"suspicious RCU usage",
    r"inconsistent lock state",
    r"INFO: task .* blocked for more than",
    r"rcu: INFO: .*(stall|kthread starved)",
    r"soft lockup|hard LOCKUP",
    r"KASAN|KCSAN|KFENCE|KMSAN|UBSAN",
    r"CFI failure at ",
    r"refcount_t: ",
    r"list_(add|del) corruption",
    r"scheduling while atomic|sleeping function called",
    r"Bad page (state|map)",
    r"cannot create duplicate filename",
    r"kobject.* (tried to|does not have)",
    r"kmemleak: [1-9]",
    r"\[sysgenid\w*\].*\bdeprecated\b",
)
_COMPLAINT = re.compile("|".join(_COMPLAINTS))


def find(log: str) -> list[str]:
    """The lines of a console log that a healthy kernel does not write."""
    return [line.strip() for line in log.splitlines() if _COMPLAINT.search(line)]
