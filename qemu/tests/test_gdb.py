# SPDX-License-Identifier: GPL-2.0
"""The host writes to a guest's memory: at the right place, and nothing else happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gdb
import pytest
from firmware import KEEP_OFF, RESERVED

from vm import Machine, Spec

SPEC = Spec(append=KEEP_OFF)
WORDS = b"sixteen bytes..."


def seen(vm: Machine, address: int, size: int) -> bytes:
    """What the guest itself finds there."""
    read = f"dd if=/dev/mem bs=1 skip={address} count={size} 2>/dev/null"
    return bytes.fromhex(vm.sh(f"{read} | hexdump -v -e '/1 \"%02x\"'"))


def test_a_restored_guest_finds_what_was_written_before_it_ran(
    fresh: Callable[[Spec], Machine], tmp_path: Path
) -> None:
    with fresh(SPEC) as vm:
        snapshot = vm.snapshot(tmp_path / "snapshot")
    with snapshot.restore(None, run=False) as one, snapshot.restore(None, run=False) as two:
        for vm, address in ((one, RESERVED + 40), (two, RESERVED + 0xFF8)):
            assert gdb.read(vm, address, len(WORDS)) == bytes(len(WORDS))
            gdb.write(vm, address, WORDS)
            assert gdb.read(vm, address - 1, len(WORDS) + 2) == b"\0" + WORDS + b"\0"
            assert vm.status() == "paused"
        for vm, address in ((one, RESERVED + 40), (two, RESERVED + 0xFF8)):
            vm.cont()
            assert seen(vm, address - 1, len(WORDS) + 2) == b"\0" + WORDS + b"\0"


def test_a_running_guest_goes_on(fresh: Callable[[Spec], Machine]) -> None:
    with fresh(SPEC) as vm:
        vm.sh("(while sleep 0.1; do echo >>/tmp/ticks; done) &")
        gdb.write(vm, RESERVED, WORDS)
        assert vm.status() == "running"
        assert seen(vm, RESERVED, len(WORDS)) == WORDS
        ticks = int(vm.sh("wc -l </tmp/ticks"))
        vm.wait_for(f"test $(wc -l </tmp/ticks) -gt {ticks + 1} && echo more", "more")


def test_a_write_where_there_is_no_memory_is_an_error(fresh: Callable[[Spec], Machine]) -> None:
    with fresh(SPEC) as vm:
        with pytest.raises(gdb.StubError, match="no memory at 0x1000000000000000"):
            gdb.write(vm, 1 << 60, WORDS)
        assert vm.sh("echo alive") == "alive\n"
