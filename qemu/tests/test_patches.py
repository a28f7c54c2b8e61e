# SPDX-License-Identifier: GPL-2.0
"""The drivers as a series of patches: each is in form, and all of them apply."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import series

ROOT = Path(__file__).parents[2]
AUTHOR = "Some One <someone@example.org>"


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The letter, and the patches."""
    return series.write(tmp_path_factory.mktemp("series") / "patches", AUTHOR)


def test_each_patch_is_in_form(patches: list[Path]) -> None:
    checkpatch = series.SOURCE / "scripts/checkpatch.pl"
    for patch in patches[1:]:
        said = subprocess.run(
            [checkpatch, "--no-tree", "--strict", "--quiet", patch], capture_output=True, text=True
        )
        assert (said.stdout, said.returncode) == ("", 0), patch.name


@pytest.fixture(scope="module")
def tree(patches: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernel's own files that the series changes, and those that it adds."""
    folder = tmp_path_factory.mktemp("tree")
    for name in series.CHANGED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text((series.SOURCE / name).read_text())
    for patch in patches[1:]:
        subprocess.run(["git", "apply", "-p1", patch], cwd=folder, check=True)
    return folder


def test_the_patches_give_what_is_in_the_drivers_folders_here(tree: Path) -> None:
    for name in ("src/vmgenid/lines.rs", "rust/kernel/rng.rs", "Kconfig"):
        assert (tree / series.DRIVERS / name).read_text() == (ROOT / name).read_text()
    for path in sorted((ROOT / "src").rglob("*.rs")) + sorted((ROOT / "rust").rglob("*.[chrs]*")):
        is_there = (tree / series.DRIVERS / path.relative_to(ROOT)).exists()
        assert is_there == (path.name != "compat.rs"), path


def test_the_rust_files_are_formatted(tree: Path) -> None:
    config = series.SOURCE / ".rustfmt.toml"
    command = ["rustfmt", "--check", "--edition", "2021", "--config-path", config]
    files = sorted((tree / series.DRIVERS).rglob("*.rs"))
    said = subprocess.run([*command, *files], capture_output=True, text=True)
    assert (said.stdout, said.returncode) == ("", 0)


def test_the_pages_are_in_form(tree: Path, tmp_path: Path) -> None:
    """No table is broken, and no reference leads out of the tree."""
    for name in ("Documentation", series.SAMPLES, "include"):
        shutil.copytree(tree / name, tmp_path / name)
    pages = tmp_path / "Documentation"
    shutil.copy(ROOT / "Documentation/conf.py", pages)
    for index in pages.rglob("index.rst"):
        index.unlink()
    (pages / "userspace-api/ioctl/ioctl-number.rst").unlink()
    (pages / "index.rst").write_text("x\n=\n\n.. toctree::\n   :glob:\n\n   */*\n")
    command = ["sphinx-build", "-q", "-n", "-W", "--keep-going", pages, tmp_path / "html"]
    # The configuration looks for the kernel's own extension in the source.
    environment = os.environ | {"RELEASE": series.SOURCE.parent.name}
    said = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (said.stderr, said.returncode) == ("", 0)


def test_every_new_file_has_a_maintainer(patches: list[Path]) -> None:
    added = re.findall(r"(?m)^\+F:\t(.*)$", "".join(patch.read_text() for patch in patches))
    files = re.findall(r"(?m)^ create mode \d+ (.*)$", "".join(p.read_text() for p in patches[1:]))
    assert files
    for file in files:
        assert any(
            file.startswith(pattern) if pattern.endswith("/") else Path(file).match(pattern)
            for pattern in added
        ), file


# Of other kernels, of external modules, and of what is beside the drivers here.
ABSENT = (
    *("LINUX_7_3", "compat.rs", "KBUILD_EXTMOD", "KBUILD_EXTRA_SYMBOLS", "KSRC", "trixie"),
    *("``make ", "sysgenid-model", "tests/model", "tests/kselftest"),
    *("qemu/", "crate/", "packaging", "lib/sysgenid.h", "samples/module", "cargo"),
)


@pytest.mark.parametrize("word", ABSENT)
def test_the_tree_has_nothing_that_is_out_of_it(word: str, patches: list[Path]) -> None:
    assert word not in "".join(patch.read_text() for patch in patches[1:])


def test_the_letter_is_written(patches: list[Path]) -> None:
    text = patches[0].read_text()
    assert "***" not in text
    assert f"From: {AUTHOR}" in text
    for question in ("vmclock?", "vmgenid.c?", "series of 2020 and 2021?", "measured?"):
        assert question in text


def test_the_author_must_be_known() -> None:
    tried = subprocess.run(
        [sys.executable, ROOT / "packaging/kernel/series.py", "/tmp/none"],
        env={"SYSGENID_AUTHOR": ""},
        capture_output=True,
        text=True,
    )
    assert tried.returncode == 1
    assert tried.stderr.count("\n") == 1 and "git config user.name" in tried.stderr
