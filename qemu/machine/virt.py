# SPDX-License-Identifier: GPL-2.0
"""QEMU's machine for arm64, "virt", with a VMGENID in its device tree, as Firecracker has it.

QEMU has such a device for PCs alone. So the tree that QEMU makes for the
machine gets a node more, whose ID lies in memory that the kernel does not
use, and whose interrupt is a line that no device has. The host does the rest
by QEMU's gdb stub: it writes the ID into a guest that does not run yet, and
then sets the line pending in the interrupt controller, which is one edge.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import gdb

if TYPE_CHECKING:
    from vm import Machine

MACHINE = "virt,gic-version=3"
CPU = "max,pauth-impdef=on"

# At the end of 256 MB of RAM, a page of whatever size a kernel has. The ID is
# where QEMU's device for PCs has it in its page.
RESERVED = 0x4FFF0000
RESERVED_SIZE = 0x10000
ID = RESERVED + 40

# A shared peripheral interrupt that is wired to nothing, and its number in the
# controller, whose registers are there.
SPI = 100
INTID = 32 + SPI
DISTRIBUTOR = 0x8000000
SET_PENDING = 0x200

EDGE_RISING = 1


def reg(address: int, size: int) -> str:
    """Memory as the nodes below the root name it."""
    return f"reg = <{address >> 32:#x} {address & 0xFFFFFFFF:#x} {size >> 32:#x} {size:#x}>;"


def interrupt(trigger: int = EDGE_RISING, spi: int = SPI) -> str:
    """A line of the interrupt controller's."""
    return f"interrupts = <0 {spi} {trigger}>;"


def node(
    address: int = ID, memory: str | None = None, line: str | None = None, more: str = ""
) -> str:
    """A VMGENID at an address; `memory` and `line` are what good firmware has otherwise."""
    memory = reg(address, 16) if memory is None else memory
    line = interrupt() if line is None else line
    return f'vmgenid@{address:x} {{ compatible = "microsoft,vmgenid"; {memory} {line} {more} }};'


# As Firecracker has it: a node without an address in its name. Firecracker leaves its ID's memory
# out of the tree, which QEMU does not let: it says itself in each tree what memory there is.
FIRECRACKER = f'vmgenid {{ compatible = "microsoft,vmgenid"; {reg(ID, 16)} {interrupt()} }};'


def name(address: int = ID) -> str:
    """The platform device of a node."""
    return f"{address:x}.vmgenid"


def arguments(nodes: str, guid: str | None, smp: int, memory: str) -> tuple[str, ...]:
    """QEMU's, for a machine with further nodes, and with an ID in its memory at boot."""
    words = uuid.UUID(guid).bytes_le if guid else b""
    loaded = [
        word
        for at in range(0, len(words), 8)
        for word in (
            "-device",
            f"loader,addr={ID + at:#x},data={int.from_bytes(words[at:at + 8], 'little'):#x},"
            "data-len=8,data-be=off",
        )
    ]
    return ("-dtb", str(_tree(nodes, smp, memory)), *loaded)


def _tree(nodes: str, smp: int, memory: str) -> Path:
    """QEMU's tree for the machine with these nodes more, in a file."""
    key = hashlib.sha256(f"{nodes} {smp} {memory}".encode()).hexdigest()
    path = Path(tempfile.gettempdir(), f"virt-{key[:16]}.dtb")
    if path.exists():
        return path
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        plain, new = Path(folder, "plain.dtb"), Path(folder, "new.dtb")
        # The tree has two serial ports if there are two.
        ports = ("-serial", "null", "-serial", "null")
        _run(
            *("qemu-system-aarch64", "-machine", f"{MACHINE},dumpdtb={plain}", "-cpu", CPU),
            *("-smp", str(smp), "-m", memory, "-nodefaults", "-display", "none", *ports),
        )
        source = _run("dtc", "-q", "-I", "dtb", "-O", "dts", str(plain)).rstrip()
        if not source.endswith("};"):
            raise RuntimeError("dtc: no tree")
        source = f"{source.removesuffix('};')} {_reserved()} {nodes} }};"
        _run("dtc", "-q", "-I", "dts", "-O", "dtb", "-o", str(new), stdin=source)
        new.rename(path)
    return path


def _reserved() -> str:
    """Memory that the kernel neither uses nor maps."""
    return f"""
        reserved-memory {{
            #address-cells = <2>;
            #size-cells = <2>;
            ranges;
            hwid@{RESERVED:x} {{ {reg(RESERVED, RESERVED_SIZE)} no-map; }};
        }};
    """


def _run(*command: str, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr}")
    return done.stdout


def hardware_id(vm: Machine, address: int = ID) -> str:
    """The ID that the host has given to a guest."""
    return str(uuid.UUID(bytes_le=gdb.read(vm, address, 16)))


def change_id(vm: Machine, guid: str, address: int = ID) -> None:
    """Gives a guest another ID, and does not tell it so; before a clone runs, or later."""
    gdb.write(vm, address, uuid.UUID(guid).bytes_le)


def notify(vm: Machine, spi: int = SPI) -> None:
    """Raises the line once, whether the guest runs or not."""
    number = 32 + spi
    register = DISTRIBUTOR + SET_PENDING + number // 32 * 4
    gdb.poke(vm, register, (1 << number % 32).to_bytes(4, "little"))
