# SPDX-License-Identifier: GPL-2.0
"""The modules as files, and their coming and going in a guest."""

from __future__ import annotations

import fnmatch
import subprocess
from collections.abc import Callable, Iterator

import ids
import pytest

import modules
from vm import CACHE, RELEASE, CommandFailed, Machine, Spec

BUILT = CACHE / "build" / RELEASE


def modinfo(module: str, field: str) -> list[str]:
    """A field of a module as it was built."""
    command = ["modinfo", "-F", field, str(BUILT / f"{module}.ko")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.fixture
def guest(fresh: Callable[[Spec], Machine]) -> Iterator[Machine]:
    """A guest without the kernel's own VMGENID driver, and with neither module loaded."""
    with fresh(Spec(guid=ids.A, append=modules.BOUND)) as machine:
        yield machine


def assert_busy(guest: Machine) -> None:
    """Unloading is refused, and all stays as it is."""
    with pytest.raises(CommandFailed, match="Resource temporarily unavailable"):
        guest.sh("rmmod sysgenid")
    guest.sh("test -c /dev/sysgenid")


@pytest.mark.parametrize("module", ["sysgenid", "sysgenid_vmgenid"])
def test_the_license_is_gpl(module: str) -> None:
    assert modinfo(module, "license") in (["GPL"], ["GPL v2"])


def test_the_source_needs_the_counter() -> None:
    assert modinfo("sysgenid", "depends") == [""]
    assert modinfo("sysgenid_vmgenid", "depends") == ["sysgenid"]


@pytest.mark.parametrize("name", ["VM_GEN_COUNTER", "VMGENCTR"])
def test_the_source_is_found_by_compatible_id(name: str) -> None:
    assert f"acpi*:{name}:*" in modinfo("sysgenid_vmgenid", "alias")


def test_the_source_is_found_in_a_device_tree() -> None:
    assert "of:N*T*Cmicrosoft,vmgenid" in modinfo("sysgenid_vmgenid", "alias")


def test_the_source_is_found_for_the_device_of_a_guest(guest: Machine) -> None:
    wanted = guest.sh(f"cat {modules.DEVICE}/modalias").strip()
    aliases = modinfo("sysgenid_vmgenid", "alias")
    assert any(fnmatch.fnmatchcase(wanted, alias) for alias in aliases)


def test_the_counter_works_without_a_source(guest: Machine) -> None:
    modules.load(guest, source=False)
    assert guest.sh("stat -c '%A %F' /dev/sysgenid") == "crw-r--r-- character special file\n"
    assert modules.status(guest) == modules.Status(generation=0, outdated=0)


def test_the_source_binds_and_says_where_the_id_is(guest: Machine) -> None:
    guest.sh("dmesg -c >/dev/null")
    modules.load(guest)
    assert guest.sh(f"readlink -f {modules.DEVICE}/driver").strip() == modules.DRIVER
    assert modules.status(guest) == modules.Status(generation=0, outdated=0)
    assert f"{modules.NAME}: hardware ID at 0x" in guest.sh("dmesg")


def test_both_come_and_go_again_and_again(guest: Machine) -> None:
    for _ in range(8):
        modules.load(guest)
        guest.sh("test -c /dev/sysgenid")
        guest.sh("rmmod sysgenid_vmgenid && rmmod sysgenid")
        guest.sh(f"test ! -e /dev/sysgenid && test ! -e {modules.DEVICE}/driver")


def test_the_counter_stays_while_the_source_needs_it(guest: Machine) -> None:
    modules.load(guest)
    assert_busy(guest)


@pytest.mark.parametrize("mode", ["<", ">", "<>"])
def test_the_counter_stays_while_the_device_is_open(guest: Machine, mode: str) -> None:
    modules.load(guest, source=False)
    pid = int(guest.sh(f"sleep 1000 8{mode}/dev/sysgenid & echo $!"))
    guest.wait_for(f"readlink /proc/{pid}/fd/8", "/dev/sysgenid")
    assert_busy(guest)
    assert modules.status(guest).generation == 0
    guest.sh(f"kill {pid}")
    guest.wait_for("rmmod sysgenid && echo unloaded", "unloaded")


def test_the_source_leaves_while_its_users_wait(guest: Machine) -> None:
    modules.load(guest)
    watchers = [modules.Watcher.start(guest, role) for role in ("read", "poll", "mmap", "control")]
    for _ in range(5):
        modules.unload_source(guest)
        assert modules.status(guest).generation == 0
        modules.load_source(guest)
    for watcher in watchers:
        assert len(watcher.events(guest)) == 1
        guest.sh(f"kill {watcher.pid}")
    guest.wait_for("rmmod sysgenid_vmgenid sysgenid && echo unloaded", "unloaded")


@pytest.mark.parametrize("track", ["-1", "3", "x", ""])
def test_a_wrong_parameter_is_refused(guest: Machine, track: str) -> None:
    with pytest.raises(CommandFailed, match="[Ii]nvalid"):
        guest.sh(f"insmod /modules/sysgenid.ko track={track}")
    guest.sh("test ! -e /dev/sysgenid")


def test_the_source_observes_beside_the_kernels_own_driver(
    fresh: Callable[[Spec], Machine],
) -> None:
    with fresh(Spec(guid=ids.A)) as machine:
        for _ in range(3):
            modules.load(machine)
            assert machine.sh(f"basename $(readlink {modules.DEVICE}/driver)") == "vmgenid\n"
            machine.sh("rmmod sysgenid_vmgenid && rmmod sysgenid")
        assert f"{modules.NAME}: observing beside the kernel's driver" in machine.sh("dmesg")


def test_the_source_loads_without_a_device(fresh: Callable[[Spec], Machine]) -> None:
    with fresh(Spec()) as machine:
        modules.load(machine)
        assert modules.status(machine) == modules.Status(generation=0, outdated=0)
        machine.sh("rmmod sysgenid_vmgenid && rmmod sysgenid")


def test_a_device_can_be_unbound_and_bound(guest: Machine) -> None:
    modules.load(guest)
    for _ in range(5):
        modules.unbind(guest)
        guest.sh(f"test ! -e {modules.DEVICE}/driver")
        modules.bind(guest)
        guest.sh(f"test -e {modules.DEVICE}/driver")
    assert modules.status(guest).generation == 0
