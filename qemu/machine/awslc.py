# SPDX-License-Identifier: GPL-2.0
"""AWS-LC for the guests: a crate of crates.io, as it is, and only if somebody wants it."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

from vm import CACHE, RELEASE

SOURCE = Path(__file__).resolve().parents[2]
PROGRAM = CACHE / "build/awslc/race-awslc"


@functools.cache
def build() -> Path:
    """Builds qemu/guest/race.c with AWS-LC; the first time needs a network, and half a minute."""
    done = subprocess.run(
        ["make", "-f", "qemu/guest/Makefile", f"RELEASE={RELEASE}", "awslc"],
        cwd=SOURCE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"AWS-LC cannot be built:\n{done.stdout}")
    return PROGRAM
