# SPDX-License-Identifier: GPL-2.0
"""Firmware of the tests' own making, and a host that writes to a guest's memory.

QEMU's VMGENID device is a good one. What other hypervisors and bad firmware
describe is told by tables that iasl compiles; who changes the ID is then the
test, through the file that the guest's memory lies in.
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import overlay
from vm import Machine, Spec

# Pages in the middle of the RAM that the guest's kernel is told to leave alone.
RESERVED = 0x8000000
KEEP_OFF = f"memmap=64K${RESERVED:#x}"

# iasl does not like the IDs that hypervisors use.
TOLERATED = ("6002", "6033", "6035")


def package(address: int) -> str:
    """An address as good firmware gives it."""
    return f"Package () {{ {address & 0xFFFFFFFF:#x}, {address >> 32:#x} }}"


@dataclass(frozen=True)
class Device:
    """A device in the ACPI namespace with its ID at `address`.

    `hid` and `cid` are what it is and what it is compatible with. `addr` is
    the ADDR object in ASL where good firmware has another one, empty where
    there is none, and `more` are further objects.
    """

    hid: str
    address: int = 0
    addr: str | None = None
    cid: str = "VM_Gen_Counter"
    more: str = ""

    @property
    def name(self) -> str:
        """Of the platform device, if there is only one of its kind."""
        return f"{self.hid.upper()}:00"

    @property
    def path(self) -> str:
        """Of the platform device in sysfs."""
        return f"/sys/bus/platform/devices/{self.name}"

    def asl(self, number: int) -> str:
        """The device as the ASL compiler wants it."""
        addr = package(self.address) if self.addr is None else self.addr
        named = {"_HID": f'"{self.hid}"', "_CID": self.cid and f'"{self.cid}"', "ADDR": addr}
        objects = [f"Name ({name}, {value})" for name, value in named.items() if value]
        return f"Device (V{number:03X}) {{ {' '.join([*objects, self.more])} }}"


def compile_asl(block: str, body: str, folder: Path) -> Path:
    """Compiles a table; `block` is the first argument of its DefinitionBlock that is not empty,
    and those after it."""
    source = folder / "table.asl"
    source.write_text(f'DefinitionBlock ("", {block}) {{ {body} }}\n')
    options = [word for number in TOLERATED for word in ("-vw", number)]
    command = ["iasl", "-vs", *options, "-p", str(folder / "table"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"iasl: {done.stderr}")
    return folder / "table.aml"


def compile_table(body: str, folder: Path) -> tuple[str, ...]:
    """Compiles a secondary table; returns QEMU's arguments for it."""
    table = compile_asl('"SSDT", 2, "SYSGEN", "SYSGENID", 1', body, folder)
    return ("-acpitable", f"file={table}")


def devices_table(devices: Iterable[Device], folder: Path) -> tuple[str, ...]:
    """QEMU's arguments for firmware that describes these devices."""
    scope = "\n".join(device.asl(number) for number, device in enumerate(devices))
    return compile_table(f"Scope (\\_SB) {{\n{scope}\n}}", folder)


class Memory:
    """The memory of a guest, which the host shares."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "memory"

    @property
    def arguments(self) -> tuple[str, ...]:
        """QEMU's, to put there the memory of a guest that has as much as any."""
        size = f"{Spec().mebibytes}M"
        backend = f"memory-backend-file,id=ram,size={size},mem-path={self._file},share=on"
        return ("-object", backend, "-machine", "memory-backend=ram")

    def write(self, vm: Machine, address: int, data: bytes) -> None:
        """Writes while the guest stands still, as hypervisors do."""
        vm.qmp("stop")
        with self._file.open("r+b") as file:
            file.seek(address)
            file.write(data)
        vm.cont()

    def set_id(self, vm: Machine, address: int, guid: str) -> None:
        """Gives the guest another ID, and does not tell it so."""
        self.write(vm, address, uuid.UUID(guid).bytes_le)


def spec(
    devices: Iterable[Device],
    memory: Memory,
    folder: Path,
    append: str = "",
    extra: tuple[str, ...] = (),
) -> Spec:
    """A machine with these devices instead of QEMU's own."""
    return Spec(
        append=f"{KEEP_OFF} {append}",
        extra=(*devices_table(devices, folder), *memory.arguments, *extra),
    )


def with_64_bit_integers(dsdt: bytes, folder: Path) -> tuple[str, ...]:
    """QEMU's arguments for a guest whose ACPI counts with 64 bits.

    The revision of the DSDT decides on that, and QEMU's means 32.
    """
    revision, checksum, oem_revision = 8, 9, 24
    table = bytearray(dsdt)
    table[revision] = 2
    table[oem_revision] += 1
    table[checksum] = 0
    table[checksum] = -sum(table) & 0xFF
    return newer_dsdt(table, folder)


def newer_dsdt(table: bytes, folder: Path) -> tuple[str, ...]:
    """QEMU's arguments for a guest that takes this DSDT instead of QEMU's.

    The kernel looks into its initramfs for a table of the same name and of a
    later revision.
    """
    tables = folder / "newer/kernel/firmware/acpi"
    tables.mkdir(parents=True)
    (tables / "dsdt.aml").write_bytes(table)
    return overlay.arguments(folder / "newer")
