# SPDX-License-Identifier: GPL-2.0
"""Each patch of the series builds, and what all of them build are modules that work.

They are applied to the tree of the stock kernel, which was only prepared for
building modules: no kernel has to be built. It takes some minutes, so that only
`make test T='-m intree'` does it. test_builtin.py has the drivers built in.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import ids
import overlay
import pytest
from test_configurations import COMPAT, PREPARED, copy, run
from test_patches import AUTHOR

import modules
import series
from modules import Status, Watcher
from vm import ARM64, Machine, Spec

pytestmark = pytest.mark.intree

TREE = PREPARED / "series"
QUIET = 1.0

# Options that come with a patch of this number.
DRIVERS = {3: "SYSGENID", 4: "SYSGENID_VMGENID"}
SAMPLES = (
    *("-e", "SAMPLES", "-e", "HEADERS_INSTALL", "-e", "SAMPLE_SYSGENID"),
    *("-m", "SAMPLE_SYSGENID_NOTIFIER"),
)
# What the makefile of the kselftests says of each program, even with -s
COMPILED = re.compile(r"^  CC .*\n", re.M)
# What is there from a patch on.
BUILT = {
    f"{series.DRIVERS}/sysgenid.o": 3,
    f"{series.DRIVERS}/sysgenid_vmgenid.o": 4,
    f"{series.SELFTESTS}/ioctl": 5,
    f"{series.SAMPLES}/notifier.o": 6,
    f"{series.SAMPLES}/reader": 6,
}


def make(*arguments: str) -> str:
    """Runs make in the tree; gives what the compilers have to say."""
    return run("make", "-s", f"-j{os.cpu_count()}", COMPAT, *arguments, folder=TREE)


def configure(number: int) -> None:
    """Sets the options of so many patches."""
    drivers = [option for patch, option in DRIVERS.items() if patch <= number]
    words = [word for option in drivers for word in ("-m", option)]
    run("scripts/config", "-e", "RUST", *words, *(SAMPLES if number >= 6 else ()), folder=TREE)
    make("olddefconfig")
    config = (TREE / ".config").read_text()
    assert [option for option in DRIVERS.values() if f"\nCONFIG_{option}=m\n" in config] == drivers
    assert ("\nCONFIG_SAMPLE_SYSGENID=y\n" in config) == (number >= 6)


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The series without its letter."""
    return series.write(tmp_path_factory.mktemp("series") / "patches", AUTHOR)[1:]


@pytest.fixture(scope="module")
def steps(patches: list[Path]) -> Iterator[dict[str, tuple[str, list[str]]]]:
    """What was said when a patch had been applied, and what was there then."""
    shutil.rmtree(TREE, ignore_errors=True)
    PREPARED.mkdir(exist_ok=True)
    copy(TREE)
    done = {}
    for number, patch in enumerate(patches, 1):
        run("git", "apply", patch, folder=TREE)
        configure(number)
        make("prepare", "modules_prepare", "headers")
        said = make("drivers/virt/")
        if number >= 5 and not ARM64:
            said += COMPILED.sub("", make("-C", "tools/testing/selftests", "TARGETS=sysgenid"))
        if number >= 6 and not ARM64:
            said += make("samples/sysgenid/")
        done[patch.name] = said, [path for path in BUILT if (TREE / path).exists()]
    yield done
    shutil.rmtree(TREE)


def test_each_patch_builds(patches: list[Path], steps: dict[str, tuple[str, list[str]]]) -> None:
    for number, patch in enumerate(patches, 1):
        said, there = steps[patch.name]
        assert said == "", patch.name
        expected = [path for path, since in BUILT.items() if since <= number]
        if ARM64:
            expected = [path for path in expected if path.startswith(series.DRIVERS)]
        assert there == expected, patch.name


def test_the_modules_work(steps: dict[str, tuple[str, list[str]]], tmp_path: Path) -> None:
    """As modules that are not of the kernel itself: to link those takes the kernel."""
    assert steps
    make(f"M={series.DRIVERS}", "modules")
    folder = tmp_path / "files" / "tree"
    folder.mkdir(parents=True)
    for name in ("sysgenid.ko", "sysgenid_vmgenid.ko"):
        shutil.copy(TREE / series.DRIVERS / name, folder)
    extra = overlay.arguments(tmp_path / "files")
    with Machine.boot(Spec(guid=ids.A, extra=extra), "intree") as vm:
        vm.sh("insmod /tree/sysgenid.ko && insmod /tree/sysgenid_vmgenid.ko")
        watcher = Watcher.start(vm, "mmap")
        modules.wait_line_moved(vm)
        snapshot = vm.snapshot(tmp_path / "snapshot")
    with snapshot.restore(ids.B) as one, snapshot.restore(ids.C) as two:
        for vm in (one, two):
            assert watcher.wait(vm, "changed") == {"generation": 1}
        time.sleep(QUIET)
        for vm in (one, two):
            assert modules.status(vm) == Status(generation=1, outdated=0)
            assert modules.reseeds(vm) >= 1
        assert not set(modules.draw(one, 200)) & set(modules.draw(two, 200))
