# SPDX-License-Identifier: GPL-2.0
"""The shell, used as its own hints say."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import shell
from vm import HERE

TIME = 60.0 * HERE.slowness


class Terminal:
    """What a user sees and types."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, shell.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._seen = b""

    def type(self, text: str) -> None:
        """Types."""
        assert self._process.stdin
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def expect(self, text: str) -> None:
        """Waits until a text appears, and forgets all up to its end."""
        assert self._process.stdout
        deadline = time.monotonic() + TIME
        while text.encode() not in self._seen:
            assert time.monotonic() < deadline, self._seen.decode(errors="replace")
            if select.select([self._process.stdout], [], [], 1)[0]:
                data = os.read(self._process.stdout.fileno(), 65536)
                assert data, "it has ended:\n" + self._seen.decode(errors="replace")
                self._seen += data
        self._seen = self._seen.partition(text.encode())[2]

    def end(self) -> int:
        """Waits for the end."""
        return self._process.wait(TIME)

    def close(self) -> None:
        """Whatever is still there goes."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A terminal with the shell on it."""
    it = Terminal()
    yield it
    it.close()
    Path(f"{shell.SNAPSHOT}.restored").unlink(missing_ok=True)


def test_a_clone_goes_on_where_the_snapshot_was_taken(terminal: Terminal) -> None:
    terminal.expect("To leave: exit")
    terminal.expect("Both modules are loaded")
    terminal.expect("# ")
    terminal.type("/guest/watcher status; x=kept\n")
    terminal.expect("status generation=0 outdated=0")
    terminal.type("\x01c")
    terminal.expect("(qemu)")
    terminal.type(f"migrate file:{shell.SNAPSHOT}\n")
    terminal.expect("(qemu)")
    terminal.type("quit\n")
    terminal.expect("The clone")
    terminal.type("\n/guest/watcher status; echo $x\n")
    terminal.expect("status generation=1 outdated=0")
    terminal.expect("kept")
    terminal.type("exit\n")
    assert terminal.end() == 0


def test_the_monitor_ends_it(terminal: Terminal) -> None:
    terminal.expect("To leave: exit")
    terminal.type("\x01x")
    assert terminal.end() == 0
