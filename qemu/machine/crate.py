# SPDX-License-Identifier: GPL-2.0
"""The command, and the examples and a test of the crate, for the guests that want them."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import overlay
from vm import CACHE

SOURCE = Path(__file__).resolve().parents[2] / "crate"
TARGET = CACHE / "build/crate"
PROGRAMS = TARGET / "x86_64-unknown-linux-gnu"


def make(target: str) -> str:
    """Makes something of the crate. The first time needs a network."""
    done = subprocess.run(
        ["make", "-s", "-C", str(SOURCE), target],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"make {target} has failed:\n{done.stdout}")
    return done.stdout


@functools.cache
def command() -> Path:
    """The program sysgenid."""
    make("command")
    return PROGRAMS / "release/sysgenid"


def arguments(folder: Path) -> tuple[str, ...]:
    """QEMU's, for guests with the command in /bin, and the others in /crate."""
    make("guest")
    files = folder / "files"
    programs = files / "crate"
    programs.mkdir(parents=True)
    for source in SOURCE.glob("examples/*.rs"):
        shutil.copy(PROGRAMS / "guest/examples" / source.stem, programs)
    shutil.copy(PROGRAMS / "guest/device", programs)
    (files / "bin").mkdir()
    shutil.copy(command(), files / "bin")
    return overlay.arguments(files)
