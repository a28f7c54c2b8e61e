# SPDX-License-Identifier: GPL-2.0
"""The tree of a kernel of our own, for tests that change it and build it again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from test_configurations import run

from vm import ARM64, KERNEL

BUILD = KERNEL.parent / "build"
IMAGE = BUILD / ("arch/arm64/boot/Image" if ARM64 else "arch/x86/boot/bzImage")

# The drivers that are in it. Without this file the next `make guest` puts the tree in order.
DRIVERS = KERNEL.parent / "drivers"


def make(*arguments: str) -> str:
    """Runs make, which says nothing if all is well."""
    return run("make", "-s", f"-j{os.cpu_count()}", *arguments, folder=BUILD)


@contextlib.contextmanager
def borrowed() -> Iterator[None]:
    """To change the tree. Whoever does that without an error leaves it as it was."""
    drivers = DRIVERS.read_text()
    DRIVERS.unlink()
    yield
    DRIVERS.write_text(drivers)
