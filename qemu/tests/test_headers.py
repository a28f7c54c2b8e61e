# SPDX-License-Identifier: GPL-2.0
"""The headers for programs, as compilers of C and C++ see them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADERS = ("linux/sysgenid.h", "sysgenid.h")

WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Werror")
# Strict C hides what POSIX has beyond it, unless it is asked for.
POSIX = "-D_POSIX_C_SOURCE=200809L"
C = [("gcc-14", f"-std={name}", POSIX) for name in ("c90", "c99", "c11", "c17", "c23")]
GNU_C = [("gcc-14", f"-std={name}") for name in ("gnu90", "gnu11", "gnu23")]
CPP = [("g++-14", f"-std={name}") for name in ("c++11", "c++14", "c++17", "c++20", "c++23")]
LANGUAGES = [*C, *GNU_C, *CPP]

# All that a program can do with the headers, in both languages.
PROGRAM = """
#include <linux/sysgenid.h>
#include <sysgenid.h>
#include <sysgenid.h>
#include <linux/sysgenid.h>

static struct sysgenid sg;

int use(void);
int use(void)
{
    struct sysgenid_page page = { 0, SYSGENID_PAGE_HWID, 0, 0, { 0 } };
    enum sysgenid_state state;
    __u32 generation;

    if (sysgenid_open(&sg) || sysgenid_current(&sg, &generation))
        return 1;
    state = sysgenid_check(&sg, generation);
    if (sg.live && sg.live[0] == 0)
        state = SYSGENID_PENDING;
    ioctl(sg.fd, SYSGENID_SET_WATCHER_TRACKING, 1UL);
    ioctl(sg.fd, SYSGENID_WAIT_WATCHERS, 0UL);
    ioctl(sg.fd, SYSGENID_TRIGGER_GEN_UPDATE, 0UL);
    ioctl(sg.fd, SYSGENID_FORCE_GEN_UPDATE, 0UL);
    ioctl(sg.fd, SYSGENID_GET_OUTDATED_WATCHERS);
    sysgenid_close(&sg);
    return state == SYSGENID_CURRENT && page.hwid[SYSGENID_HWID_SIZE - 1] == 0;
}
"""


def name(language: tuple[str, ...]) -> str:
    """Of the variant of a test."""
    return language[1].removeprefix("-std=")


def compile_text(text: str, language: tuple[str, ...], bits: str) -> None:
    """Compiles a program from scratch; a warning is an error."""
    dialect = "c++" if language[0].startswith("g++") else "c"
    command = [*language, *WARNINGS, bits, "-O2", "-c", "-x", dialect, "-o", "/dev/null", "-"]
    command[1:1] = [f"-I{ROOT}/lib", f"-I{ROOT}/include/uapi"]
    done = subprocess.run(command, input=text, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.mark.parametrize("bits", ("-m64", "-m32"))
@pytest.mark.parametrize("language", LANGUAGES, ids=name)
def test_a_program_compiles(language: tuple[str, ...], bits: str) -> None:
    compile_text(PROGRAM, language, bits)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("language", LANGUAGES, ids=name)
def test_a_header_needs_no_other(language: tuple[str, ...], header: str) -> None:
    compile_text(f"#include <{header}>\ntypedef int nothing_else;\n", language, "-m64")


def test_strict_c_is_told_what_is_missing() -> None:
    with pytest.raises(AssertionError, match="define _POSIX_C_SOURCE as 200809L"):
        compile_text(PROGRAM, ("gcc-14", "-std=c11"), "-m64")


def test_the_page_is_the_same_for_32_and_64_bits() -> None:
    """Offsets are ABI: existing programs read the first word."""
    fields = {"generation": 0, "flags": 4, "hwid_offset": 8, "reserved": 12, "hwid": 16}
    checks = [f"offsetof(struct sysgenid_page, {f}) == {o}" for f, o in fields.items()]
    checks.append("sizeof(struct sysgenid_page) == 32")
    text = "#include <stddef.h>\n#include <linux/sysgenid.h>\n"
    text += "".join(f'_Static_assert({check}, "{check}");\n' for check in checks)
    for bits in ("-m64", "-m32"):
        compile_text(text, ("gcc-14", "-std=c11"), bits)
