# SPDX-License-Identifier: GPL-2.0
"""The source's first and last moments: what happens in them must not be lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import firmware
import ids
import pytest
from conftest import Booted
from firmware import RESERVED, Device, Memory
from testmodules import digits, insmod, insmod_in_background, parameter
from tracing import events, mixed, trace

import modules
from vm import CommandFailed, Machine, Spec

MODES = {"observer": "", "bound": modules.BOUND}
OURS = "sysgenid_vmgenid"
# Its firmware never notifies.
SILENT = Device("TEST0001", RESERVED + 40)
TRIES = 10


class Guest:
    """A guest with such a device, and the host that changes its ID."""

    def __init__(self, vm: Machine, memory: Memory) -> None:
        self.vm = vm
        self._memory = memory
        self.set_id(ids.A)
        modules.load(vm, source=False)

    def set_id(self, guid: str) -> None:
        """Gives the guest another ID, and does not tell it so."""
        self._memory.set_id(self.vm, SILENT.address, guid)

    def said(self) -> list[str]:
        """What the driver has said of the device."""
        return self.vm.sh(f"dmesg | sed -n 's/.*{OURS}: {SILENT.name}: //p'").splitlines()


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Whether the kernel's own driver is there."""
    return str(request.param)


@pytest.fixture(scope="module")
def specs(folders: Callable[[str], Path]) -> dict[str, tuple[Spec, Memory]]:
    """The machine for each mode, and its memory."""
    found = {}
    for mode, append in MODES.items():
        folder = folders(mode)
        memory = Memory(folder)
        found[mode] = (firmware.spec([SILENT], memory, folder, append), memory)
    return found


@pytest.fixture
def guest(
    mode: str,
    specs: dict[str, tuple[Spec, Memory]],
    booted: Booted,
    request: pytest.FixtureRequest,
) -> Iterator[Guest]:
    """A guest with sysgenid.ko, and without the source."""
    spec, memory = specs[mode]
    with booted.guest(spec, request.node.name.replace("[", "-").strip("]")) as vm:
        yield Guest(vm, memory)


# What comes before the end of the source.


def leave(vm: Machine, way: str) -> None:
    """Takes the source away."""
    if way == "unbind":
        vm.sh(f"echo {SILENT.name} >{modules.DRIVER}/unbind")
    else:
        modules.unload_source(vm)


@pytest.mark.parametrize(
    ("mode", "way"),
    [("observer", "unload"), ("bound", "unload"), ("bound", "unbind")],
    indirect=["mode"],
)
def test_a_clone_is_noticed_by_taking_the_source_away(guest: Guest, mode: str, way: str) -> None:
    """That is the first that is done in it; nobody asks the device, or is notified."""
    watchers = [modules.Watcher.start(guest.vm, role) for role in ("mmap", "poll")]
    trace(guest.vm)
    modules.load_source(guest.vm)
    # Later on, the trace may not know any longer whose this was.
    assert events(guest.vm) == [mixed(ids.A)]
    guest.set_id(ids.B)
    leave(guest.vm, way)
    # The log is complete when the source has gone.
    assert guest.said()[-1] == "hardware ID changed, crng reseeded"
    # Where the kernel's function for that is exported, it does the same once more.
    times = 2 if mode == "bound" and modules.EXPORTS_FORKS else 1
    told = [mixed(ids.B), "reseed"] * times
    assert events(guest.vm) in (told, [mixed(ids.A), *told])
    for watcher in watchers:
        assert watcher.wait(guest.vm, "changed") == {"generation": 1}
    assert modules.status(guest.vm).generation == 1
    # Coming back, it finds nothing new.
    if way == "unbind":
        modules.unload_source(guest.vm)
    modules.load_source(guest.vm)
    assert modules.status(guest.vm).generation == 1


# What comes between its beginning and the first notification.

# What installs the handler. With another argument, the kernel installs one of its own for power
# management before that.
DEVICE_NOTIFY = 2
HANDLERS: dict[str, dict[str, object]] = {
    "observer": {"symbol": "register_random_vmfork_notifier"},
    "bound": {"symbol": "acpi_install_notify_handler", "second": DEVICE_NOTIFY},
}


def test_a_clone_before_notifications_arrive_is_noticed(guest: Guest, mode: str) -> None:
    """The host clones the guest just before the driver can hear of it."""
    # The first time, the driver sees to an interrupt, which would tell it as well.
    modules.load_source(guest.vm)
    modules.wait_line_moved(guest.vm)
    modules.unload_source(guest.vm)
    watchers = [modules.Watcher.start(guest.vm, role) for role in ("mmap", "poll")]
    place = {"paddr": hex(SILENT.address), "id": digits(ids.B)}
    insmod(guest.vm, "sysgenid_test_host", comm="insmod", **HANDLERS[mode], **place)
    modules.load_source(guest.vm)
    assert parameter(guest.vm, "sysgenid_test_host", "restores") == "0"
    for watcher in watchers:
        assert watcher.wait(guest.vm, "changed") == {"generation": 1}
    assert modules.status(guest.vm).generation == 1


# Where it does not come about at all.


def test_a_load_that_fails_leaves_nothing_behind(guest: Guest) -> None:
    """Another driver has the name."""
    insmod(guest.vm, "sysgenid_test_driver", name=OURS, match=0)
    for _ in range(TRIES):
        with pytest.raises(CommandFailed, match="[Bb]usy"):
            modules.load_source(guest.vm)
        # Takes the place of what was freed.
        guest.vm.sh("cat /proc/kallsyms >/dev/null; dmesg >/dev/null")
    guest.vm.sh("rmmod sysgenid_test_driver")
    modules.load_source(guest.vm)
    guest.set_id(ids.B)
    assert modules.status(guest.vm).generation == 1
    guest.vm.sh(f"rmmod {OURS} && rmmod sysgenid")


@pytest.mark.parametrize("mode", ["bound"], indirect=True)
def test_a_load_that_fails_with_the_device_bound_leaves_nothing_behind(guest: Guest) -> None:
    """What the driver has opened for the device is closed when the module has gone."""
    insmod(guest.vm, "sysgenid_test_refuse")
    for _ in range(TRIES):
        with pytest.raises(CommandFailed, match="[Mm]emory"):
            modules.load_source(guest.vm)
        # Takes the place of what was freed.
        guest.vm.sh("cat /proc/kallsyms >/dev/null; dmesg >/dev/null")
    # The device was bound each time. insmod tries twice itself.
    refused = int(parameter(guest.vm, "sysgenid_test_refuse", "refused"))
    found = [line for line in guest.said() if line.startswith("hardware ID at ")]
    assert TRIES <= refused == len(found)
    guest.vm.sh("rmmod sysgenid_test_refuse")
    modules.load_source(guest.vm)
    guest.set_id(ids.B)
    assert modules.status(guest.vm).generation == 1
    guest.vm.sh(f"rmmod {OURS} && rmmod sysgenid")


@pytest.mark.parametrize("mode", ["observer"], indirect=True)
def test_a_device_that_has_vanished_is_left_in_peace(guest: Guest) -> None:
    modules.load_source(guest.vm)
    insmod(guest.vm, "sysgenid_test_unplug", device=SILENT.name)
    guest.vm.sh(f"test ! -e {SILENT.path}")
    guest.set_id(ids.B)
    modules.unload_source(guest.vm)
    guest.vm.finish_log()
    assert modules.status(guest.vm).generation == 1
    guest.vm.sh("rmmod sysgenid")


@pytest.mark.parametrize("mode", ["bound"], indirect=True)
def test_a_device_that_vanishes_from_the_driver_is_let_go(guest: Guest) -> None:
    modules.load_source(guest.vm)
    guest.set_id(ids.B)
    insmod(guest.vm, "sysgenid_test_unplug", device=SILENT.name)
    modules.unload_source(guest.vm)
    guest.vm.finish_log()
    assert modules.status(guest.vm).generation == 1
    guest.vm.sh("rmmod sysgenid")


# Where another driver is in the way.

RIVAL = "sysgenid_test_driver"


def driver(vm: Machine) -> str:
    """The driver of the real device."""
    return vm.sh(f"basename $(readlink {modules.DEVICE}/driver)", check=False).strip()


def source(vm: Machine) -> str:
    """Whose ID the counter follows."""
    return vm.sh("cat /sys/class/misc/sysgenid/source").strip()


@pytest.fixture
def rivalry(booted: Booted, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A guest with a real device and no driver for it."""
    with booted.guest(Spec(guid=ids.A, append=modules.BOUND), request.node.name) as vm:
        modules.load(vm, source=False)
        yield vm


def test_a_driver_that_fails_slowly_is_not_observed(rivalry: Machine, tmp_path: Path) -> None:
    """It has the device while it tries, and then nobody would have it."""
    watcher = modules.Watcher.start(rivalry, "mmap")
    insmod_in_background(rivalry, RIVAL, probe_ms=3000, probe_error=-5)
    rivalry.wait_for(f"cat /sys/module/{RIVAL}/parameters/probing", "^Y$")
    modules.load_source(rivalry)
    rivalry.wait_for(f"cat /sys/module/{RIVAL}/parameters/probing", "^N$")
    assert (driver(rivalry), source(rivalry)) == (OURS, "QEMUVGID:00")
    with rivalry.snapshot(tmp_path / "snapshot").restore(ids.B) as vm:
        assert watcher.wait(vm, "changed") == {"generation": 1}


def test_a_driver_that_succeeds_slowly_is_observed(rivalry: Machine) -> None:
    insmod_in_background(rivalry, RIVAL, probe_ms=3000)
    rivalry.wait_for(f"cat /sys/module/{RIVAL}/parameters/probing", "^Y$")
    modules.load_source(rivalry)
    rivalry.wait_for(f"cat /sys/module/{RIVAL}/parameters/probing", "^N$")
    assert (driver(rivalry), source(rivalry)) == (RIVAL, "QEMUVGID:00")


def test_a_driver_that_is_faster_is_observed(rivalry: Machine) -> None:
    """It takes the device when the source has looked for one, and not yet registered itself."""
    insmod(rivalry, RIVAL, race=1)
    modules.load_source(rivalry)
    assert (driver(rivalry), source(rivalry)) == (RIVAL, "QEMUVGID:00")
    assert "observing beside the kernel's driver" in rivalry.sh("dmesg")
    modules.unload_source(rivalry)
    assert source(rivalry) == "none"
