# SPDX-License-Identifier: GPL-2.0
"""The two modules and the programs that use them, inside a guest."""

from __future__ import annotations

from dataclasses import dataclass

import virt
from vm import ARM64, OPTIONS, Machine

# The ID of a guest that is booted, where any would do.
ORIGINAL = "11111111-c0de-4a5e-8d15-0123456789ab"

# Keeps the kernel's own VMGENID driver away, so that ours can bind (the name
# of its init function is misspelt in the kernel).
BOUND = "initcall_blacklist=vmgenid_plaform_driver_init"

DRIVER = "/sys/bus/platform/drivers/sysgenid_vmgenid"
NAME = virt.name() if ARM64 else "QEMUVGID:00"
DEVICE = f"/sys/bus/platform/devices/{NAME}"

# Whether the guests' kernel has both drivers built in, as some of our own have.
BUILT_IN = OPTIONS.get("SYSGENID") == "y"

# Whether it lets modules tell those who have subscribed to forks, by add_vmfork_randomness().
EXPORTS_FORKS = OPTIONS.get("VMGENID") == "m"

# Takes the source away in the guest. Before the driver's folder has gone it cannot come back, and a
# kernel with DEBUG_KOBJECT_RELEASE removes that after seconds.
UNLOAD_SOURCE = f"rmmod sysgenid_vmgenid && while [ -e {DRIVER} ]; do sleep 0.1; done"


def load(vm: Machine, source: bool = True, parameters: str = "") -> None:
    """Loads sysgenid.ko and, if wanted, its VMGENID source. Built in, both have been there."""
    if BUILT_IN:
        vm.sh("test -c /dev/sysgenid")
        return
    vm.sh(f"insmod /modules/sysgenid.ko {parameters}")
    if source:
        load_source(vm)


def load_peer(vm: Machine, parameters: str = "") -> None:
    """Loads the device in C of tests/peer, as /dev/sysgenid, in place of sysgenid.ko."""
    vm.sh(f"insmod /modules/sysgenid_peer.ko node=sysgenid {parameters}")


def unload_peer(vm: Machine) -> None:
    """Takes the device in C away."""
    vm.sh("rmmod sysgenid_peer")


def wait_line_moved(vm: Machine) -> None:
    """Waits until the interrupt of ACPI is the first processor's.

    It moves with the next one, which the driver sees to. That one would notice a clone of which
    the test tells nobody, or be taken for the notification. Those of arm64 move at once; where
    there is one processor, there is nowhere to move.
    """
    if not ARM64 and "SMP" in OPTIONS:
        vm.wait_for("cat /proc/irq/9/effective_affinity", "^1$")


def load_source(vm: Machine) -> None:
    """Loads the VMGENID source."""
    vm.sh("insmod /modules/sysgenid_vmgenid.ko")


def unload_source(vm: Machine) -> None:
    """Takes the VMGENID source away; the counter stays."""
    vm.sh(UNLOAD_SOURCE)


def unload(vm: Machine) -> None:
    """Takes both away."""
    vm.sh(f"{UNLOAD_SOURCE} && rmmod sysgenid")


def forks(mode: str) -> int:
    """How often those who have subscribed to forks are told of one.

    Where it is bound, the kernel's own driver does that. Where it is not, a stock kernel lets
    nobody else.
    """
    return int(mode == "observer" or EXPORTS_FORKS)


def unbind(vm: Machine) -> None:
    """Takes the VMGENID device away from our driver."""
    vm.sh(f"basename {DEVICE} >{DRIVER}/unbind")


def bind(vm: Machine) -> None:
    """Gives the VMGENID device to our driver."""
    vm.sh(f"basename {DEVICE} >{DRIVER}/bind")


def host_id(vm: Machine) -> str:
    """The VMGENID that the host has given to the guest."""
    return virt.hardware_id(vm) if ARM64 else str(vm.qmp("query-vm-generation-id")["guid"])


def hardware_id(vm: Machine) -> str:
    """The VMGENID as it lies in the guest's memory, whatever the drivers say."""
    return vm.sh("/guest/hwid").strip()


def guid(vm: Machine) -> str:
    """The VMGENID as our driver shows it."""
    return vm.sh(f"cat {DEVICE}/guid").strip()


def reseeds(vm: Machine) -> int:
    """How often the guest's kernel has said that it reseeded its RNG because of a clone."""
    return int(vm.sh("dmesg | grep -c 'crng reseeded'", check=False))


def draw(vm: Machine, count: int) -> list[str]:
    """What so many calls of getrandom() give next in the guest."""
    return vm.sh(f"/guest/draw {count}").split()


@dataclass(frozen=True)
class Status:
    """The device's state as a new descriptor sees it."""

    generation: int
    outdated: int


def status(vm: Machine) -> Status:
    """Asks the device by SYSGENID_GET_GENERATION and SYSGENID_GET_OUTDATED_WATCHERS."""
    values = _values(vm.sh("/guest/watcher status"))
    return Status(values["generation"], values["outdated"])


@dataclass(frozen=True)
class Watcher:
    """A /guest/watcher in the background; it lives on in each clone of its guest."""

    role: str
    pid: int

    @classmethod
    def start(cls, vm: Machine, role: str) -> Watcher:
        """Starts a watcher and waits until it watches."""
        pid = int(vm.sh(f"/guest/watcher {role} >/tmp/{role} 2>&1 & echo $!"))
        watcher = cls(role, pid)
        watcher.wait(vm, "ready")
        return watcher

    def wait(self, vm: Machine, event: str) -> dict[str, int]:
        """Waits for an event, given as the start of its line; returns the line's values."""
        return _values(vm.wait_for(f"cat /tmp/{self.role}", f"^{event}\\b.*$").group())

    def events(self, vm: Machine) -> list[str]:
        """All that it has reported so far, a line each."""
        return vm.sh(f"cat /tmp/{self.role}").splitlines()

    def acknowledge(self, vm: Machine, generation: int) -> None:
        """Lets a tracked watcher acknowledge what it has seen."""
        vm.sh(f"kill -USR1 {self.pid}")
        self.wait(vm, f"acknowledged generation={generation}")


def _values(line: str) -> dict[str, int]:
    pairs = (word.partition("=") for word in line.split() if "=" in word)
    return {key: int(value) for key, _, value in pairs}
