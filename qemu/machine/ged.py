# SPDX-License-Identifier: GPL-2.0
"""Machines whose firmware tells of a clone through a Generic Event Device, ACPI0013.

Firecracker and Cloud Hypervisor have one, with a line that their firmware
marks edge-triggered and exclusive, and nothing like an SCI. QEMU's machine of
that kind, microvm, has no VMGENID, but a line that the host can pulse, and so
it gets a DSDT that says what theirs say. A PC, which has an SCI too, gets a
serial port of its own, whose interrupt goes to such a device.

Documentation/virt/sysgenid-interrupt-lines.rst tells where that is known from.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path

import firmware
import gdb
from firmware import KEEP_OFF, RESERVED, Device
from vm import Machine, Spec

KINDS = ("firecracker", "cloud-hypervisor", "pc")

# Not wired to anything else; those of QEMU's that are free on the PC are 6 and 7.
MICROVM_GSI = 9
PC_GSI = 6

# At the end of a page between the RAM of the kernel and the firmware, where
# Firecracker has it. On a PC there is ROM.
MICROVM_ID = 0xDFFF0
PC_ID = RESERVED + 40

# The machine's own serial port is the console's; vm.py wants another one.
MICROVM = "microvm,acpi=on,isa-serial=on"
SECOND_PORT = ("-device", "isa-serial,chardev=channel,index=1")

# Events of QEMU's device, and the one that is raised when the host asks for a power button.
EVENTS = 0xFEA00000
POWER_BUTTON = 2

# A serial port at nobody's address. A break on its line is a byte received.
PORT = 0x240
PORT_NAME = "ged"
PORT_DEVICE = r"\_SB.PCI0.SF8.COM3"


def _interrupt(gsi: int, exclusive: bool) -> str:
    share = "Exclusive" if exclusive else "Shared"
    return f"Interrupt (ResourceConsumer, Edge, ActiveHigh, {share}) {{ {gsi} }}"


def _firecracker(exclusive: bool) -> str:
    """As of 1.16, which has a line for its clock as well."""
    lines = " ".join(_interrupt(gsi, exclusive) for gsi in (MICROVM_GSI, MICROVM_GSI + 1))
    return f"""
        {device(MICROVM).asl(0)}
        Device (GED) {{
            Name (_HID, "ACPI0013")
            Name (_CRS, ResourceTemplate () {{ {lines} }})
            Method (_EVT, 1, Serialized) {{
                If ((Arg0 == {MICROVM_GSI})) {{ Notify (\\_SB.V000, 0x80) }}
            }}
        }}
    """


def _cloud_hypervisor(exclusive: bool) -> str:
    """One line for all events. A register, cleared by reading it, tells which."""
    return f"""
        {device(MICROVM).asl(0)}
        Device (GEC) {{
            Name (_HID, EisaId ("PNP0A06"))
            Name (_UID, "Generic Event Controller")
            OperationRegion (GDST, SystemMemory, {EVENTS:#x}, 4)
            Field (GDST, DWordAcc, NoLock, WriteAsZeros) {{ GDAT, 32 }}
            Method (ESCN, 0, Serialized) {{
                Local0 = GDAT
                Local1 = Local0 & {POWER_BUTTON}
                If ((Local1 == {POWER_BUTTON})) {{ Notify (\\_SB.V000, 0x80) }}
            }}
        }}
        Device (GED) {{
            Name (_HID, "ACPI0013")
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate () {{ {_interrupt(MICROVM_GSI, exclusive)} }})
            Method (_EVT, 1, Serialized) {{ \\_SB.GEC.ESCN () }}
        }}
    """


def _pc(exclusive: bool) -> str:
    """The port is hidden from the kernel's driver, which would switch its interrupt off."""
    return f"""
        {device(Spec.machine).asl(0)}
        Device (GED) {{
            Name (_HID, "ACPI0013")
            OperationRegion (PORT, SystemIO, {PORT:#x}, 2)
            Field (PORT, ByteAcc, NoLock, Preserve) {{ DATA, 8, ENBL, 8 }}
            Method (_INI) {{
                ENBL = 1
                {PORT_DEVICE}._STA = 0
            }}
            Name (_CRS, ResourceTemplate () {{ {_interrupt(PC_GSI, exclusive)} }})
            Method (_EVT, 1, Serialized) {{
                Local0 = DATA
                If ((Arg0 == {PC_GSI})) {{ Notify (\\_SB.V000, 0x80) }}
            }}
        }}
    """


def _serial_port(number: int, address: int, irq: int) -> str:
    return f"""
        Device (COM{number}) {{
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, {number})
            Name (_CRS, ResourceTemplate () {{
                IO (Decode16, {address:#x}, {address:#x}, 0, 8)
                IRQNoFlags () {{ {irq} }}
            }})
        }}
    """


def _dsdt(devices: str, folder: Path) -> tuple[str, ...]:
    """QEMU's arguments for a microvm with these devices, and its serial ports."""
    ports = _serial_port(1, 0x3F8, 4) + _serial_port(2, 0x2F8, 3)
    body = f"Scope (\\_SB) {{ {devices} {ports} }}"
    table = firmware.compile_asl('"DSDT", 2, "BOCHS ", "BXPC    ", 2', body, folder)
    return firmware.newer_dsdt(table.read_bytes(), folder)


def _clock() -> str:
    """What tells the kernel the frequency of its cycle counter, about that of the host's.

    It has nothing else to find it out by than QEMU's old timer, which is of no
    use on a busy host. Nothing but its idea of time depends on it.
    """
    found = re.search(r"^cpu MHz\s*: (\d+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"tsc=reliable tsc_early_khz={found[1]}000" if found else ""


def spec(folder: Path, kind: str = "firecracker", exclusive: bool = True, append: str = "") -> Spec:
    """A machine of a kind, with the ID 0. Its files are in the folder."""
    if kind == "pc":
        body = f"External ({PORT_DEVICE}._STA, IntObj) Scope (\\_SB) {{ {_pc(exclusive)} }}"
        port = f"isa-serial,chardev={PORT_NAME},index=2,iobase={PORT:#x},irq={PC_GSI}"
        table = firmware.compile_table(body, folder)
        extra = (*table, "-chardev", f"null,id={PORT_NAME}", "-device", port)
        return Spec(append=f"{KEEP_OFF} {append}", extra=extra)
    devices = {"firecracker": _firecracker, "cloud-hypervisor": _cloud_hypervisor}[kind]
    extra = (*_dsdt(devices(exclusive), folder), *SECOND_PORT)
    return Spec(append=f"{_clock()} {append}", machine=MICROVM, extra=extra)


def device(machine: str) -> Device:
    """The VMGENID device of such a machine."""
    address = MICROVM_ID if machine == MICROVM else PC_ID
    return Device("FCVMGID", address, more='Name (_DDN, "VM_Gen_Counter")')


def change_id(vm: Machine, guid: str) -> None:
    """Gives the guest another ID, and does not tell it so; before a clone runs, or later."""
    gdb.write(vm, device(vm.spec.machine).address, uuid.UUID(guid).bytes_le)


def notify(vm: Machine) -> None:
    """Raises the line, whether the guest runs or not: one edge, for one call of _EVT."""
    if vm.spec.machine == MICROVM:
        vm.qmp_until("POWERDOWN", "system_powerdown")
    else:
        vm.qmp("chardev-send-break", id=PORT_NAME)


@dataclass(frozen=True)
class Line:
    """The line as /proc/interrupts has it; `counts` are those of each processor."""

    irq: int
    counts: tuple[int, ...]
    gsi: int
    trigger: str
    handlers: str

    @property
    def count(self) -> int:
        """How often it was raised."""
        return sum(self.counts)


def line(vm: Machine) -> Line:
    """The line by which a clone is told."""
    gsi = MICROVM_GSI if vm.spec.machine == MICROVM else PC_GSI
    pattern = rf"^ *(\d+):([ \d]+) IO-APIC +{gsi}-(\w+) +(.*)$"
    found = re.search(pattern, vm.sh("cat /proc/interrupts"), re.MULTILINE)
    if not found:
        raise RuntimeError(f"{vm.name}: nobody has GSI {gsi}")
    counts = tuple(int(count) for count in found[2].split())
    return Line(int(found[1]), counts, gsi, found[3], found[4])


def choose_processor(vm: Machine, cpu: int) -> None:
    """Lets the line interrupt that processor, which the kernel does from the second time on."""
    number = line(vm).irq
    vm.sh(f"echo {cpu} >/proc/irq/{number}/smp_affinity_list")
    notify(vm)
    vm.wait_for(f"cat /proc/irq/{number}/effective_affinity_list", f"^{cpu}$")
