# SPDX-License-Identifier: GPL-2.0
"""Kernels of our own: what their guests need, and what is in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

CONFIGURATIONS = Path(__file__).parents[1] / "kernels"
_GUESTS = re.compile(r"^# For the guests: (.*)$", re.MULTILINE)
_UNITS = {"M": 1, "G": 1024}


@dataclass(frozen=True)
class Kernel:
    """What the guests of a kernel need; the defaults are for stock kernels.

    `slowness` is how many times longer everything takes, `memory` the least, in MiB.
    """

    is_own: bool = False
    slowness: int = 1
    memory: int = 0
    cpu: str = "max"


def mebibytes(memory: str) -> int:
    """A size as QEMU has it."""
    return int(memory[:-1]) * _UNITS[memory[-1]]


def describe(release: str) -> Kernel:
    """What the kernel's configuration says of its guests, if it is one of our own."""
    configuration = CONFIGURATIONS / f"{release}.config"
    if not configuration.exists():
        return Kernel()
    found = _GUESTS.search(configuration.read_text())
    words = dict(word.split("=", 1) for word in found[1].split()) if found else {}
    return Kernel(
        is_own=True,
        slowness=int(words.pop("SLOWNESS", 1)),
        memory=mebibytes(words.pop("MEMORY", "0M")),
        cpu=words.pop("CPU", Kernel.cpu),
    )


def options(build: Path) -> dict[str, str]:
    """The configuration of the kernel whose tree this is, without "CONFIG_", if there is one."""
    file = build / ".config"
    text = file.read_text() if file.exists() else ""
    return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", text, re.MULTILINE))
