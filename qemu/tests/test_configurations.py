# SPDX-License-Identifier: GPL-2.0
"""Kernels that are not Debian's: the modules build for whatever Kconfig allows.

Such a kernel need not be built for that, only prepared, once for each of them,
which takes as long as preparing the stock one.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from vm import ARM64, CACHE, RELEASE

ROOT = Path(__file__).parents[2]
STOCK = CACHE / "kernel" / RELEASE / "build"
PREPARED = CACHE / "kernel" / RELEASE / "configurations"
STAMP = ".prepared"
# See qemu/buildroot/kernel/prepare.
COMPAT = "CC_COMPAT=arm-linux-gnueabihf-gcc-14"


@dataclass(frozen=True)
class Configuration:
    """A kernel without some settings, and so without some exports; what is built for it."""

    off: tuple[str, ...]
    absent: str
    built: tuple[str, ...]


CONFIGURATIONS = {
    # What selects PM goes with it.
    "no-vmgenid-no-pm": Configuration(
        off=("VMGENID", "PM", "SUSPEND", "HIBERNATION", "XEN"),
        absent="vmfork|dev_pm_domain",
        built=("sysgenid.ko", "sysgenid_vmgenid.ko"),
    ),
    # What is left then is the device tree, which Debian's x86-64 has not got.
    "no-acpi": Configuration(
        off=("ACPI",),
        absent="acpi",
        built=("sysgenid.ko", "sysgenid_vmgenid.ko") if ARM64 else ("sysgenid.ko",),
    ),
}
if ARM64:
    # Its power management cannot be left out.
    del CONFIGURATIONS["no-vmgenid-no-pm"]


def run(*command: str | Path, folder: Path = ROOT) -> str:
    """Runs a command, whose output is shown if it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}:\n{done.stdout[-5000:]}", pytrace=False)
    return done.stdout


def copy(folder: Path) -> None:
    """Copies the stock kernel's tree. Source files, which nothing writes to, are but linked."""
    unpacked = (STOCK / "Makefile").stat().st_mtime

    def link(source: str, target: str) -> str:
        if os.lstat(source).st_mtime > unpacked:
            return str(shutil.copy2(source, target, follow_symlinks=False))
        os.link(source, target, follow_symlinks=False)
        return target

    shutil.copytree(STOCK, folder, symlinks=True, copy_function=link)


def prepare(name: str) -> Path:
    """A tree that is prepared for building modules, made unless it is there already."""
    configuration, folder = CONFIGURATIONS[name], PREPARED / name
    stock = (STOCK / ".config").read_bytes()
    key = hashlib.sha256(stock + repr(configuration).encode()).hexdigest()
    if (folder / STAMP).exists() and (folder / STAMP).read_text() == key:
        return folder

    shutil.rmtree(folder, ignore_errors=True)
    PREPARED.mkdir(exist_ok=True)
    copy(folder)
    options = [word for option in configuration.off for word in ("-d", option)]
    run("scripts/config", *options, folder=folder)
    run("make", "olddefconfig", folder=folder)
    config = (folder / ".config").read_text()
    still = re.findall(rf"^CONFIG_(?:{'|'.join(configuration.off)})=.*", config, re.MULTILINE)
    assert not still and "\nCONFIG_RUST=y\n" in config

    run("make", f"-j{os.cpu_count()}", COMPAT, "prepare", "modules_prepare", folder=folder)
    write_exports(folder, configuration.absent)
    (folder / STAMP).write_text(key)
    return folder


def write_exports(folder: Path, absent: str) -> None:
    """Lists what an image of such a kernel exports.

    Of C that is what the stock image does, but for what is absent. What there is
    of Rust, and its names, depend on the configuration.
    """
    stock = [line.split("\t")[1] for line in (STOCK / "Module.symvers").read_text().splitlines()]
    names = {name for name in stock if not re.search(f"^_R|^rust_|{absent}", name)}
    for header in (folder / "rust").glob("exports_*_generated.h"):
        names |= set(re.findall(r"EXPORT_SYMBOL_RUST_GPL\((\w+)\)", header.read_text()))
    lines = [f"0x00000000\t{name}\tvmlinux\tEXPORT_SYMBOL_GPL\t\n" for name in sorted(names)]
    (folder / "Module.symvers").write_text("".join(lines))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_modules_build(name: str, tmp_path: Path) -> None:
    makefile = ("make", "-k", "-f", "qemu/guest/Makefile", f"RELEASE={RELEASE}")
    run(*makefile, f"kdir={prepare(name)}", f"MODULES={tmp_path}", "modules")
    built = sorted(path.name for path in tmp_path.glob("*.ko"))
    assert built == sorted(CONFIGURATIONS[name].built)


# Those that have Rust, and what Kconfig calls them.
ARCHITECTURES = ("ARM", "ARM64", "LOONGARCH", "PPC64", "RISCV", "S390", "UML", "X86_64")
KCONFIG = """
config MODULES
    def_bool y
    modules
config {architecture}
    def_bool y
config 64BIT
    def_bool y
config MMU
    def_bool y
config PAGE_SIZE_{pages}KB
    def_bool y
config RUST
    def_bool y
config ACPI
    def_bool y
source "{root}/Kconfig"
"""


def is_allowed(architecture: str, pages: int, folder: Path) -> bool:
    """Whether Kconfig allows the modules on an architecture with pages of so many KiB."""
    kconfig, config = folder / "Kconfig", folder / "config"
    kconfig.write_text(KCONFIG.format(architecture=architecture, pages=pages, root=ROOT))
    conf = STOCK / "scripts/kconfig/conf"
    run("env", f"KCONFIG_CONFIG={config}", conf, "--allyesconfig", kconfig, folder=STOCK)
    return "\nCONFIG_SYSGENID=y\n" in config.read_text()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kconfig_allows_what_kbuild_can_build(architecture: str, tmp_path: Path) -> None:
    can_be_built = f"bindgen_target-$(CONFIG_{architecture})" in (ROOT / "Kbuild").read_text()
    assert is_allowed(architecture, 4, tmp_path) == can_be_built


@pytest.mark.parametrize("pages", [16, 64])
def test_larger_pages_are_refused(pages: int, tmp_path: Path) -> None:
    assert not is_allowed("ARM64", pages, tmp_path)
    build = ("make", "-C", STOCK, f"M={ROOT}", f"MO={tmp_path}", "modules")
    without = subprocess.run([*build, "CONFIG_PAGE_SIZE_4KB="], capture_output=True, text=True)
    assert without.returncode != 0
    assert "sysgenid is for pages of 4 KiB" in without.stderr
