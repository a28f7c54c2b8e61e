# SPDX-License-Identifier: GPL-2.0
"""The packages in a clean Debian: they come, work, are upgraded, and go.

Run by "make test-packages".
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import ids
import pytest
from conftest import Systems

import debian
from vm import RELEASE, Spec

pytestmark = pytest.mark.packages

MODALIAS = "acpi:QEMUVGID:VM_GEN_COUNTER:"
OURS = ("sysgenid", "libsysgenid-dev", f"sysgenid-modules-{RELEASE}")


@pytest.fixture(scope="module")
def installed(systems: Systems) -> debian.System:
    """A system with a kernel, the modules for it, the command, and the headers."""
    return systems.installed()


@pytest.fixture(scope="module")
def machine(installed: debian.System) -> Spec:
    """A machine that boots it."""
    return installed.machine(RELEASE, ids.A)


def test_the_modules_are_found_for_the_device(installed: debian.System) -> None:
    shown = installed.sh(f"modprobe --show-depends --set-version {RELEASE} {MODALIAS}")
    names = [Path(line.split()[1]).name for line in shown.splitlines()]
    assert names == ["sysgenid.ko.xz", "sysgenid_vmgenid.ko.xz"]


def test_the_modules_are_small(installed: debian.System) -> None:
    folder = installed.path(f"/usr/lib/modules/{RELEASE}/updates")
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    assert {*sizes} == {"sysgenid.ko.xz", "sysgenid_vmgenid.ko.xz"}
    assert max(sizes.values()) < 100_000


def test_there_is_a_group_for_watchers(installed: debian.System) -> None:
    assert installed.sh("getent group sysgenid").startswith("sysgenid:")


def test_the_command_needs_no_library(installed: debian.System) -> None:
    headers = subprocess.run(
        ["readelf", "-ld", installed.path("/usr/bin/sysgenid")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "INTERP" not in headers and "NEEDED" not in headers
    assert "no /dev/sysgenid" in installed.sh("! sysgenid status 2>&1")


def test_a_library_is_built_with_the_headers(installed: debian.System, tmp_path: Path) -> None:
    said = dict(
        line.split(": ", 1) if ": " in line else line.split("=", 1)
        for line in installed.path("/usr/share/pkgconfig/sysgenid.pc").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert said["Version"] == installed.sh("dpkg-query -W -f '${Version}' libsysgenid-dev")
    includes = installed.path(said["prefix"]) / "include"
    sample = debian.SOURCE / "samples/library.c"
    debian.run("gcc-14", "-Werror", "-I", includes, "-pthread", "-o", tmp_path / "library", sample)


@pytest.mark.parametrize(
    "file",
    [
        "/usr/share/man/man1/sysgenid.1.gz",
        "/usr/share/man/man4/sysgenid.4.gz",
        "/usr/share/man/man4/sysgenid_vmgenid.4.gz",
        "/usr/share/bash-completion/completions/sysgenid",
        "/usr/share/fish/vendor_completions.d/sysgenid.fish",
        "/usr/share/zsh/vendor-completions/_sysgenid",
    ],
)
def test_what_helps_with_the_command_is_there(installed: debian.System, file: str) -> None:
    assert installed.path(file).stat().st_size > 500


def test_the_modules_load_by_themselves(machine: Spec) -> None:
    with debian.boot(machine, "packages") as vm:
        assert vm.sh("uname -r") == f"{RELEASE}\n"
        vm.wait_for("cat /sys/class/misc/sysgenid/source", "QEMUVGID:00")
        vm.wait_for("stat -c '%A %G' /dev/sysgenid", "^crw-rw-r-- sysgenid$")
        assert "sysgenid_vmgenid" in vm.sh("cat /proc/modules")


def test_nothing_loads_without_the_device(machine: Spec) -> None:
    with debian.boot(replace(machine, guid=None), "packages-none") as vm:
        assert "sysgenid" not in vm.sh("cat /proc/modules")
        assert vm.sh("systemctl is-system-running", check=False) == "running\n"


def test_an_upgrade_keeps_all(installed: debian.System) -> None:
    system = installed.copy("upgraded")
    hook = system.path("/etc/sysgenid/after-restore.d/60-mine")
    hook.write_text("#!/bin/sh\n")
    before = system.contents()
    for package in OURS:
        system.sh(
            f"cd /root/packages && dpkg-deb -R {package}_*.deb new &&"
            " sed -i 's/^Version: .*/Version: 99/' new/DEBIAN/control &&"
            f" dpkg-deb -b new {package}_99.deb && rm -r new"
        )
    system.sh(f"{debian.INSTALL} " + " ".join(f"/root/packages/{name}_99.deb" for name in OURS))
    assert system.sh("dpkg-query -W -f '${Version} ' " + " ".join(OURS)) == "99 " * len(OURS)
    assert system.contents() == before
    system.remove()


def test_nothing_is_left_behind(installed: debian.System, systems: Systems) -> None:
    system = installed.copy("purged")
    names = " ".join(OURS)
    system.sh(f"apt-get -q -y remove {names}")
    # What is left for the device is the driver in the kernel, and that has not come with us.
    shown = system.sh(f"modprobe --show-depends --set-version {RELEASE} {MODALIAS}")
    assert "sysgenid" not in shown
    system.sh(f"dpkg --purge {names}")
    left, was = system.contents(), systems.before
    assert {name for name in {**left, **was} if left.get(name) != was.get(name)} == set()
    system.remove()
