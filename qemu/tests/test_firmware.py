# SPDX-License-Identifier: GPL-2.0
"""Firmware that is not QEMU's, good and bad.

Only one source can be attached at a time, and devices that are refused must
not be in the way of one that is not, so that one guest has many of them.
"""

from __future__ import annotations

import base64
import fnmatch
import subprocess
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import firmware
import ids
import pytest
from firmware import RESERVED, Device, Memory, package

import modules
from vm import CACHE, RELEASE, CommandFailed, Machine

MODULE = CACHE / "build" / RELEASE / "sysgenid_vmgenid.ko"

PAGE = 0x1000
SPARE = RESERVED + 15 * PAGE

# Each with its ID in a page of its own.
GOOD = {
    "without _STA": Device("TEST0001", RESERVED + 40),
    "present by method": Device(
        "TEST0002", RESERVED + PAGE, more="Method (_STA) { Return (0x0F) }"
    ),
    "of Firecracker": Device("FCVMGID", RESERVED + 2 * PAGE),
    "of Hyper-V": Device("Hyper_V_Gen_Counter_V1", RESERVED + 3 * PAGE + 0xFF0),
    "without compatible ID": Device("VMGENCTR", RESERVED + 4 * PAGE + 8, cid=""),
    "with a method": Device(
        "TEST0003",
        RESERVED + 5 * PAGE,
        addr="",
        more=f"Method (ADDR) {{ Local0 = {package(RESERVED + 5 * PAGE)} Return (Local0) }}",
    ),
    "with named halves": Device(
        "TEST0004",
        RESERVED + 6 * PAGE,
        addr="Package () { LOWH, HIGH }",
        more=f"Name (LOWH, {RESERVED + 6 * PAGE:#x}) Name (HIGH, 0)",
    ),
    # The rest of the page is not everybody's business.
    "beside other data": Device("TEST0005", RESERVED + 7 * PAGE),
    # RAM that the kernel does not use.
    "in ordinary RAM": Device("TEST0006", 0x90000),
}
PRIVATE = ("beside other data", "in ordinary RAM")

# Where nothing answers.
HOLES = {
    "of the PCI host bridge": Device("TEST0007", 0x60000000),
    "of the memory map": Device("TEST0008", 0xF000000000),
}

AFTER_BAD = Device("TEST0009", RESERVED + 40)

CANNOT = "ADDR cannot be evaluated (ACPI status {:#x})"
NOT_TWO = "ADDR is not a package of two integers"
TOO_LARGE = "ADDR has a half of more than 32 bits"
LOST = "cannot follow the hardware ID at"

# What is wrong with ADDR; the object, or where the ID is; what is to be said.
BAD = {
    "missing": ("", CANNOT.format(0x5)),
    "buffer": (f"Buffer () {{ {', '.join(['8'] * 16)} }}", NOT_TWO),
    "string": (f'"{SPARE:#x}"', NOT_TWO),
    "integer": (f"{SPARE:#x}", NOT_TWO),
    "empty package": ("Package (0) {}", NOT_TWO),
    "package of one": (f"Package () {{ {SPARE:#x} }}", NOT_TWO),
    "package of three": (f"Package () {{ {SPARE:#x}, 0, 0 }}", NOT_TWO),
    "package of strings": (f'Package () {{ "{SPARE:#x}", "0" }}', NOT_TWO),
    "package of nothing": ("Package (2) {}", NOT_TWO),
    "low half too large": ("Package () { 0x100000000, 0 }", TOO_LARGE),
    "high half too large": (f"Package () {{ {SPARE:#x}, 0x100000000 }}", TOO_LARGE),
    "zero": (0, "ADDR is address 0"),
    "misaligned by 1": (SPARE + 1, f"ADDR is not 8-byte aligned: {SPARE + 1:#x}"),
    "misaligned by 4": (SPARE + 4, f"ADDR is not 8-byte aligned: {SPARE + 4:#x}"),
    "across pages": (SPARE + 0xFF8, f"ADDR crosses a page: {SPARE + 0xFF8:#x}"),
    "beyond the processor": (1 << 40, f"{LOST} {1 << 40:#x}: ENOMEM"),
    "at the very end": ((1 << 64) - 16, f"{LOST} {(1 << 64) - 16:#x}: ENOMEM"),
    "half in RAM": (0x9FBF8, f"{LOST} 0x9fbf8: ENOMEM"),
}


def bad_device(what: str) -> Device:
    """The device of an entry of BAD."""
    addr, hid = BAD[what][0], f"BAD{list(BAD).index(what):05}"
    return Device(hid, addr=addr) if isinstance(addr, str) else Device(hid, addr)


@dataclass(frozen=True)
class State:
    """What the kernel has said of a device, its driver, and which attributes of ours it has."""

    said: list[str]
    driver: str = ""
    attributes: tuple[str, ...] = ()


OURS = "sysgenid_vmgenid"
BOTH = ("guid", "paddr")


def attached(device: Device) -> str:
    """What is said of a device that is the source."""
    return f"{OURS}: {device.name}: hardware ID at {device.address:#x}; interrupt 9, shared"


def refused(device: Device, why: str) -> State:
    """What has become of a device that is not taken."""
    return State([f"{OURS}: {device.name}: {why}"])


@dataclass(frozen=True)
class Guest:
    """A guest with devices, and the host that changes their IDs."""

    vm: Machine
    memory: Memory

    def look(self, device: Device) -> State:
        """What has become of a device."""
        said, driver, attributes = self.vm.sh(
            f"dmesg | sed 's/^[^]]*] //' | grep -F {device.name}; echo ---; cd {device.path};"
            " [ -e driver ] && basename $(readlink driver); echo ---; ls | grep -xE 'guid|paddr'",
            check=False,
        ).split("---\n")
        return State(said.splitlines(), driver.strip(), tuple(attributes.split()))

    def forget(self) -> None:
        """Empties the kernel's log."""
        self.vm.sh("dmesg -c >/dev/null")

    def reload(self) -> None:
        """Loads our driver once more, which probes all devices."""
        modules.unload_source(self.vm)
        self.forget()
        modules.load_source(self.vm)

    def start_over(self) -> None:
        """Loads both, with no device bound: page 1 may be that of any device again."""
        modules.unload(self.vm)
        modules.load(self.vm)
        self.unbind_all()

    def bind(self, device: Device) -> None:
        """Gives a device to our driver."""
        self.vm.sh(f"echo {device.name} >{modules.DRIVER}/bind")

    def unbind_all(self) -> None:
        """Takes all devices away from our driver."""
        self.vm.sh(f"cd {modules.DRIVER}; for d in *:00; do [ ! -e $d ] || echo $d >unbind; done")
        self.forget()

    def read(self, device: Device, attribute: str) -> str:
        """What an attribute says."""
        return self.vm.sh(f"cat {device.path}/{attribute}").strip()

    def page(self) -> dict[str, str]:
        """What mappings of /dev/sysgenid show."""
        return dict(line.split("=") for line in self.vm.sh("/guest/page").splitlines())

    def generation(self) -> int:
        """The current one."""
        return modules.status(self.vm).generation


@contextmanager
def booted(
    devices: Iterable[Device],
    folder: Path,
    append: str = modules.BOUND,
    extra: tuple[str, ...] = (),
) -> Iterator[Guest]:
    """A guest with these devices and sysgenid.ko; each ID is that of the same clone."""
    memory = Memory(folder)
    spec = firmware.spec(devices, memory, folder, append, extra)
    with Machine.boot(spec, "firmware") as vm:
        guest = Guest(vm, memory)
        modules.load(vm, source=False)
        guest.forget()
        yield guest


@pytest.fixture(scope="module")
def good(folders: Callable[[str], Path]) -> Iterator[Guest]:
    """A guest with all good devices, whose IDs are the same."""
    with booted([*GOOD.values(), *HOLES.values()], folders("good")) as guest:
        for device in GOOD.values():
            guest.memory.set_id(guest.vm, device.address, ids.A)
        guest.memory.write(guest.vm, GOOD["beside other data"].address + 0x800, b"secret")
        modules.load_source(guest.vm)
        yield guest


def test_the_first_of_several_devices_is_the_source(good: Guest) -> None:
    good.reload()
    first, *others = GOOD.values()
    assert good.look(first).driver == OURS
    for device in others:
        assert good.look(device) == refused(device, f"{LOST} {device.address:#x}: EBUSY")


@pytest.mark.parametrize("what", GOOD)
def test_a_good_device_is_a_source(good: Guest, what: str) -> None:
    device = GOOD[what]
    good.start_over()
    # The ID that was processed last, or binding the device would be noticed as a clone.
    before = str(uuid.UUID(bytes_le=bytes.fromhex(good.page()["hwid"])))
    good.memory.set_id(good.vm, device.address, before)
    generation = good.generation()

    good.bind(device)
    assert good.look(device) == State([attached(device)], OURS, BOTH)
    assert good.read(device, "guid") == before
    assert good.read(device, "paddr") == f"{device.address:#x}"
    assert good.generation() == generation

    after = str(uuid.uuid4())
    good.memory.set_id(good.vm, device.address, after)
    assert good.generation() == generation + 1
    good.vm.wait_for("dmesg", "hardware ID changed")
    assert good.look(device).said[1:] == [
        f"{OURS}: {device.name}: hardware ID changed, crng reseeded"
    ]
    assert good.read(device, "guid") == after

    page = good.page()
    assert page["hwid"] == uuid.UUID(after).bytes_le.hex()
    if what in PRIVATE:
        assert (page["flags"], page["live"]) == ("0", "ENODEV")
    else:
        assert (page["flags"], page["live"]) == ("0x1", page["hwid"])

    good.unbind_all()
    assert good.look(device) == State([])
    assert good.page()["flags"] == "0"


@pytest.mark.parametrize("what", HOLES)
def test_a_hole_does_no_harm(good: Guest, what: str) -> None:
    """Nothing tells it from a page of zeros."""
    device = HOLES[what]
    good.start_over()
    good.bind(device)
    assert good.look(device).driver == OURS
    assert good.read(device, "guid") == str(uuid.UUID(int=0))
    page = good.page()
    assert page["live"] == page["hwid"] == bytes(16).hex()
    assert good.page() == page


@pytest.mark.parametrize("what", GOOD)
def test_a_good_device_loads_the_module(good: Guest, what: str) -> None:
    command = ["modinfo", "-F", "alias", str(MODULE)]
    aliases = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    modalias = good.read(GOOD[what], "modalias")
    assert any(fnmatch.fnmatchcase(modalias, alias) for alias in aliases)


@pytest.fixture(scope="module")
def bad(good: Guest, folders: Callable[[str], Path]) -> Iterator[Guest]:
    """A guest with all bad devices, and after them a good one."""
    folder = folders("bad")
    dsdt = base64.b64decode(good.vm.sh("base64 /sys/firmware/acpi/tables/DSDT"))
    devices = [*(bad_device(what) for what in BAD), AFTER_BAD]
    newer = firmware.with_64_bit_integers(dsdt, folder)
    with booted(devices, folder, extra=newer) as guest:
        modules.load_source(guest.vm)
        yield guest


def test_a_good_device_works_after_bad_ones(bad: Guest) -> None:
    bad.reload()
    for what, (_, why) in BAD.items():
        assert bad.look(bad_device(what)) == refused(bad_device(what), why)
    assert bad.look(AFTER_BAD) == State([attached(AFTER_BAD)], OURS, BOTH)

    generation = bad.generation()
    bad.memory.set_id(bad.vm, AFTER_BAD.address, str(uuid.uuid4()))
    assert bad.generation() == generation + 1


@pytest.mark.parametrize("what", BAD)
def test_a_bad_device_is_refused_with_one_line(bad: Guest, what: str) -> None:
    device, why = bad_device(what), BAD[what][1]
    bad.unbind_all()
    with pytest.raises(CommandFailed, match="No such device"):
        bad.bind(device)
    assert bad.look(device) == refused(device, why)


def test_the_counter_works_without_a_good_device(bad: Guest) -> None:
    bad.unbind_all()
    bad.vm.sh("/kselftest/trigger", timeout=60)


def test_nothing_is_left_of_bad_devices(bad: Guest) -> None:
    bad.vm.sh("rmmod sysgenid_vmgenid && rmmod sysgenid && test ! -e /dev/sysgenid")
    modules.load(bad.vm)


# What firmware does is up to it each time. The host chooses, by a byte in the guest's memory.
CHOICE = SPARE + 0x800
GOOD_AGAIN = 0

# What the method ADDR does, and what is to be said.
AT_RUN_TIME = {
    "divides by zero": ("Local0 = One / (MODE - MODE) Return (Local0)", CANNOT.format(0x300C)),
    "uses nothing": ("Return (Local0)", NOT_TWO),
    "calls itself for ever": ("Return (ADDR ())", CANNOT.format(0x3013)),
    "reads beyond a package": (
        "Local0 = Package () { 1, 2 } Local1 = 2 + MODE"
        " Return (DerefOf (Index (Local0, Local1)))",
        CANNOT.format(0x300B),
    ),
    "returns nothing": ("Noop", NOT_TWO),
    "returns a string": ('Return ("ADDR")', NOT_TWO),
    "returns a buffer": ("Return (Buffer (4096) {})", NOT_TWO),
    "returns two packages": ("Return (Package () { Package () {}, Package () {} })", NOT_TWO),
    "returns a reference": ("Return (RefOf (MODE))", CANNOT.format(0x8)),
    "returns an odd address": (f"Return ({package(SPARE + 1)})", BAD["misaligned by 1"][1]),
}


def moody() -> Device:
    """A device whose ADDR is a method that does each of these, and is good otherwise."""
    cases = "".join(
        f"If (MODE == {number}) {{ {statements} }} Else {{ "
        for number, (statements, _) in enumerate(AT_RUN_TIME.values(), 1)
    )
    good = f"Return ({package(RESERVED + 40)})"
    return Device(
        "MOOD0001",
        RESERVED + 40,
        addr="",
        more=f"OperationRegion (HOST, SystemMemory, {CHOICE:#x}, 1)"
        " Field (HOST, ByteAcc, NoLock, Preserve) { MODE, 8 }"
        f" Method (ADDR) {{ {cases} {good} {'}' * len(AT_RUN_TIME)} }}",
    )


@pytest.fixture(scope="module")
def changing(folders: Callable[[str], Path]) -> Iterator[tuple[Guest, Device]]:
    """A guest with such a device."""
    device = moody()
    with booted([device], folders("changing")) as guest:
        modules.load_source(guest.vm)
        yield guest, device


@pytest.mark.parametrize("what", AT_RUN_TIME)
def test_a_device_whose_method_fails_later_comes_back(
    changing: tuple[Guest, Device], what: str
) -> None:
    guest, device = changing
    guest.start_over()
    guest.memory.write(guest.vm, CHOICE, bytes([GOOD_AGAIN]))
    guest.bind(device)
    guest.unbind_all()

    generation = guest.generation()
    number = list(AT_RUN_TIME).index(what) + 1
    guest.memory.write(guest.vm, CHOICE, bytes([number]))
    for _ in range(2):
        guest.forget()
        with pytest.raises(CommandFailed, match="No such device"):
            guest.bind(device)
        assert guest.look(device) == refused(device, AT_RUN_TIME[what][1])
    assert guest.generation() == generation

    guest.memory.write(guest.vm, CHOICE, bytes([GOOD_AGAIN]))
    guest.forget()
    guest.bind(device)
    assert guest.look(device) == State([attached(device)], OURS, BOTH)
    guest.memory.set_id(guest.vm, device.address, str(uuid.uuid4()))
    assert guest.generation() == generation + 1


def test_beside_the_kernels_driver(tmp_path: Path) -> None:
    """That one takes what is misaligned, and more than one device."""
    taken, not_taken = bad_device("misaligned by 1"), bad_device("string")
    first, second = list(GOOD.values())[:2]
    with booted([taken, not_taken, first, second], tmp_path, append="") as guest:
        modules.load_source(guest.vm)
        why = refused(taken, BAD["misaligned by 1"][1]).said
        assert guest.look(taken) == State(why, "vmgenid")
        assert guest.look(not_taken) == refused(not_taken, NOT_TWO)
        observing = f"{OURS}: {first.name}: observing beside the kernel's driver"
        assert guest.look(first) == State([attached(first), observing], "vmgenid", BOTH)
        assert guest.look(second) == State([], "vmgenid")

        guest.memory.set_id(guest.vm, first.address, ids.B)
        assert guest.generation() == 1
        assert guest.read(first, "guid") == ids.B
        modules.unload_source(guest.vm)
        assert guest.look(first).attributes == ()
