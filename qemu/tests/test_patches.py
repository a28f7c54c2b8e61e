# SPDX-License-Identifier: GPL-2.0
"""The drivers as a series of patches: each is in form, and all of them apply."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "packaging/kernel"))

import series  # noqa: E402

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


def test_the_patches_apply_one_after_the_other(patches: list[Path], tmp_path: Path) -> None:
    """To the kernel's own files, and give what is in the drivers' folders here."""
    for name in series.CHANGED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((series.SOURCE / name).read_text())
    for patch in patches[1:]:
        subprocess.run(["git", "apply", "-p1", patch], cwd=tmp_path, check=True)
    for name in ("src/vmgenid/lines.rs", "rust/kernel/wait_queue.rs", "Kconfig"):
        assert (tmp_path / series.DRIVERS / name).read_text() == (ROOT / name).read_text()
    for path in sorted((ROOT / "src").rglob("*.rs")) + sorted((ROOT / "rust").rglob("*.[chrs]*")):
        assert (tmp_path / series.DRIVERS / path.relative_to(ROOT)).exists()


def test_every_new_file_has_a_maintainer(patches: list[Path]) -> None:
    added = re.findall(r"(?m)^\+F:\t(.*)$", "".join(patch.read_text() for patch in patches))
    files = re.findall(r"(?m)^ create mode \d+ (.*)$", "".join(p.read_text() for p in patches[1:]))
    assert files
    for file in files:
        assert any(
            file.startswith(pattern) if pattern.endswith("/") else Path(file).match(pattern)
            for pattern in added
        ), file


def test_the_tree_has_nothing_of_other_kernels(patches: list[Path]) -> None:
    text = "".join(patch.read_text() for patch in patches[1:])
    for word in ("LINUX_7_3", "KBUILD_EXTMOD", "trixie", "make kdir", "sysgenid-model"):
        assert word not in text


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
