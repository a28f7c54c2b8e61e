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

# A data race, with the stacks of those who take part in it. The kernel has many of its own, and the
# first functions of a stack say whose it is. On a console, lines end with "\r\n".
_RACE_BEGINS = r"^.*\bBUG: KCSAN: "
_RACE_ENDS = r"={50,}\r?$"
_RACE = re.compile(rf"{_RACE_BEGINS}(?:.*\n)+?(?:.*{_RACE_ENDS}|\Z)", re.MULTILINE)
_STACK_BEGINS = re.compile(r" on cpu \d+:\r?$", re.MULTILINE)
_OURS = re.compile(r" \[sysgenid\w*\]")
FIRST = 4


def _is_ours(race: str) -> bool:
    stacks = _STACK_BEGINS.split(race)[1:]
    return any(_OURS.search(line) for stack in stacks for line in stack.splitlines()[1 : 1 + FIRST])


def relevant(log: str) -> str:
    """A console log without the data races that are not ours."""
    return _RACE.sub(lambda race: race[0] if _is_ours(race[0]) else "", log)


def finished(log: str) -> str:
    """A console log up to a data race whose end is not there yet."""
    *_, last = [None, *re.finditer(_RACE_BEGINS, log, re.MULTILINE)]
    if last and not re.search(_RACE_ENDS, log[last.start() :], re.MULTILINE):
        return log[: last.start()]
    return log


def is_complaint(line: str) -> bool:
    """Whether a healthy kernel does not write this line."""
    return bool(_COMPLAINT.search(line))


def find(log: str) -> list[str]:
    """The lines of a console log that a healthy kernel does not write."""
    return [line.strip() for line in relevant(log).splitlines() if is_complaint(line)]
