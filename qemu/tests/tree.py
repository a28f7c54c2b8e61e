# SPDX-License-Identifier: GPL-2.0
"""The tree of a kernel of our own, for tests that change it and build it again."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from vm import ARM64, KERNEL

BUILD = KERNEL.parent / "build"
IMAGE = BUILD / ("arch/arm64/boot/Image" if ARM64 else "arch/x86/boot/bzImage")

# The drivers that are in it. Without this file the next `make guest` puts the tree in order.
DRIVERS = KERNEL.parent / "drivers"


def run(*command: str | Path) -> str:
    """Runs a command in the tree; gives what it has said."""
    done = subprocess.run(
        command,
        cwd=BUILD,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}:\n{done.stdout[-5000:]}", pytrace=False)
    return done.stdout


def make(*arguments: str) -> str:
    """Runs make, which says nothing if all is well."""
    return run("make", "-s", f"-j{os.cpu_count()}", *arguments)


@contextlib.contextmanager
def borrowed() -> Iterator[None]:
    """To change the tree. Whoever does that without an error leaves it as it was."""
    drivers = DRIVERS.read_text()
    DRIVERS.unlink()
    yield
    DRIVERS.write_text(drivers)
