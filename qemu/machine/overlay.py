# SPDX-License-Identifier: GPL-2.0
"""Further files for the initramfs of a guest, for what only a single test wants."""

from __future__ import annotations

import lzma
import shutil
import subprocess
from pathlib import Path

from vm import CACHE, INITRAMFS, RELEASE

MODULES = CACHE / "kernel" / RELEASE / "modules"


def arguments(folder: Path) -> tuple[str, ...]:
    """QEMU's, for an initramfs that begins with the files of a folder.

    They come in front, and not compressed, because the kernel looks there
    for ACPI tables.
    """
    files = "\n".join(str(file.relative_to(folder)) for file in sorted(folder.rglob("*")))
    archive = subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc", "-R", "+0:+0"],
        cwd=folder,
        check=True,
        capture_output=True,
        input=files.encode(),
    )
    initramfs = folder.with_suffix(".cpio")
    initramfs.write_bytes(archive.stdout + INITRAMFS.read_bytes())
    return ("-initrd", str(initramfs))


def add_module(folder: Path, name: str) -> None:
    """Adds a module of the kernel's, to be found in /modules of the guest."""
    (packed,) = MODULES.rglob(f"{name}.ko*")
    modules = folder / "modules"
    modules.mkdir(parents=True, exist_ok=True)
    data = packed.read_bytes()
    (modules / f"{name}.ko").write_bytes(lzma.decompress(data) if packed.suffix == ".xz" else data)


def add_program(folder: Path, program: str) -> None:
    """Adds a program of the build root, with the libraries that it wants."""
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    libraries = [word for word in listed.split() if word.startswith("/")]
    for file in (program, *libraries):
        target = folder / file.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
