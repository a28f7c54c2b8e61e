# SPDX-License-Identifier: GPL-2.0
"""The memory of a guest by its physical addresses, through QEMU's gdb stub.

So the host can write to a guest that was restored and does not run yet, and
to several clones of one snapshot, which could not share a file. Protocol: GDB
manual, "Remote Protocol"; physical memory: QEMU, docs/system/gdb.rst.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vm import Machine

STUB_TIME = 30.0


class StubError(Exception):
    """The stub does not do what it was asked for."""


class _Stub:
    """A connection to the stub."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(STUB_TIME)
        self._connection = connection
        self._received = b""

    def request(self, text: str) -> str:
        """Sends one packet, returns what the answer to it says."""
        self._connection.sendall(f"${text}#{sum(text.encode()) % 256:02x}".encode())
        # "+" acknowledges the request, "$ANSWER#CHECKSUM" has to be acknowledged.
        self._until(b"$")
        answer = self._until(b"#").decode()
        self._connection.sendall(b"+")
        return answer

    def command(self, text: str) -> None:
        """Sends a packet that wants no answer but OK."""
        if (answer := self.request(text)) != "OK":
            raise StubError(f"{text.split(':')[0]!r}: {answer!r}")

    def read(self, address: int, size: int) -> bytes:
        """What lies there."""
        answer = self.request(f"m{address:x},{size:x}")
        if len(answer) != 2 * size:
            raise StubError(f"read at {address:#x}: {answer!r}")
        return bytes.fromhex(answer)

    def write(self, address: int, data: bytes) -> None:
        """Writes there. Where there is nothing, the stub drops it and says nothing."""
        self.command(f"M{address:x},{len(data):x}:{data.hex()}")

    def _until(self, end: bytes) -> bytes:
        while end not in self._received:
            data = self._connection.recv(65536)
            if not data:
                raise StubError("the stub is gone")
            self._received += data
        part, _, self._received = self._received.partition(end)
        return part


@contextlib.contextmanager
def _stub(vm: Machine) -> Iterator[_Stub]:
    """The stub of a guest, which stands still meanwhile and then goes on if it ran.

    A debugger that only leaves would let it run, so the connection is dropped.
    """
    runs = vm.status() == "running"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "gdb")
        _monitor(vm, f"gdbserver unix:{path},server=on,wait=off")
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                stub = _Stub(connection)
                stub.command("Qqemu.PhyMemMode:1")
                yield stub
        finally:
            _monitor(vm, "gdbserver none")
            if runs:
                vm.cont()


def _monitor(vm: Machine, command: str) -> None:
    vm.qmp("human-monitor-command", command_line=command)


def read(vm: Machine, address: int, size: int) -> bytes:
    """Reads from the guest's memory; zeros where there is none."""
    with _stub(vm) as stub:
        return stub.read(address, size)


def write(vm: Machine, address: int, data: bytes) -> None:
    """Writes to the guest's memory."""
    with _stub(vm) as stub:
        stub.write(address, data)
        if stub.read(address, len(data)) != data:
            raise StubError(f"no memory at {address:#x}")


def poke(vm: Machine, register: int, value: bytes) -> None:
    """Writes to a register of a device, in one access; what it then reads as is its own matter."""
    with _stub(vm) as stub:
        stub.write(register, value)
