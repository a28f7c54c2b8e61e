# SPDX-License-Identifier: GPL-2.0
"""The manual pages: how man shows them, and that they name all there is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "Documentation/man").glob("*.[1-9]"))

# As man-pages(7) of Linux has them.
SECTIONS = (
    *("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "RETURN VALUE", "ERRORS"),
    *("ENVIRONMENT", "FILES", "DIAGNOSTICS", "VERSIONS", "HISTORY", "NOTES", "CAVEATS", "BUGS"),
    *("EXAMPLES", "SEE ALSO"),
)
MANUALS = {".1": "General Commands Manual", ".4": "Kernel Interfaces Manual"}


def man(page: Path, width: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs man on a page."""
    command = ["man", "--warnings", *options, "-E", "UTF-8", "-l", str(page)]
    return subprocess.run(
        ["env", f"MANWIDTH={width}", *command], check=True, capture_output=True, text=True
    )


def text(page: Path) -> str:
    """A page as man shows it, without the breaks of its lines."""
    shown = man(page, 1000, "--no-hyphenation", "--no-justification").stdout
    return " ".join(shown.split())


@pytest.fixture(scope="module")
def all_text() -> str:
    """What all pages have to say."""
    assert PAGES
    return " ".join(text(page) for page in PAGES)


def find(pattern: str, *files: str) -> list[str]:
    """What a pattern finds in some files. Nothing at all is an error."""
    paths = [path for name in files for path in sorted(ROOT.glob(name))]
    found = [match for path in paths for match in re.findall(pattern, path.read_text(), re.M)]
    assert found
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_man_heads_a_page(page: Path) -> None:
    title = f"{page.stem.upper()}({page.suffix[1:]})"
    shown = man(page, 80)
    assert shown.stderr == ""
    lines = shown.stdout.splitlines()
    assert re.split("  +", lines[0]) == [title, MANUALS[page.suffix], title]
    assert re.fullmatch(rf"sysgenid +\d{{4}}-\d\d-\d\d +{re.escape(title)}", lines[-1])
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_whatis_finds_a_page(page: Path) -> None:
    found = subprocess.run(["lexgrog", page], check=True, capture_output=True, text=True).stdout
    assert re.fullmatch(rf'{page}: "{page.stem} - \w.*"\n', found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_sections_are_in_the_usual_order(page: Path) -> None:
    sections = re.findall(r"^\.SH (.*)$", page.read_text(), re.M)
    assert sections == [name for name in SECTIONS if name in sections]
    assert {"NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"} <= {*sections}
    assert ("EXIT STATUS" if page.suffix == ".1" else "VERSIONS") in sections


def test_all_of_the_interface_is_described(all_text: str) -> None:
    names = find(r"^#define (SYSGENID_\w+)", "include/uapi/linux/sysgenid.h")
    names += find(r"^\t__u\d+ +(\w+)", "include/uapi/linux/sysgenid.h")
    names += find(r"\b(sysgenid_\w+)\(", "lib/sysgenid.h")
    names += find(r"^\t(SYSGENID_\w+),?$", "lib/sysgenid.h")
    names += find(r'name: c"(\w+)"', "src/**/*.rs")
    names += find(r'"(sysgenid_\w+:)', "src/**/*.rs")
    internal = {"SYSGENID_IOCTL"}
    assert [name for name in names if name not in all_text and name not in internal] == []


def test_all_messages_are_described(all_text: str) -> None:
    messages = find(
        r'(?:pr_(?:err|warn|info)!\(|write!\(f,)\s*"([^"]*)"', "src/**/*.rs", "rust/**/*.rs"
    )
    for message in messages:
        # Without what stands for a value, which may be the name of the device in front.
        fixed = re.sub(r"\{.*?\}|\\n", "{}", message).removeprefix("{}: ").split("{}")
        assert [part for part in fixed if part.strip(" :()") not in all_text] == [], message
