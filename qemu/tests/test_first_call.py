# SPDX-License-Identifier: GPL-2.0
"""The very first system call of a clone, made while nobody has noticed anything yet.

The host changes the ID and never tells the guest: neither an interrupt nor a
notification can be faster than the call.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import firmware
import pytest
from firmware import RESERVED, Device, Memory

import modules
import race
import virt
from vm import ARM64, Machine, Snapshot, Spec

# The last byte chooses the call, see qemu/guest/first.c.
ID = "c0ffee00-c0de-4a5e-8d15-0123456789{:02x}"

POLLIN = 0x001
WATCHERS = 5


@dataclass(frozen=True)
class Call:
    """What a call has to give that is the first in a clone; the generation was 0 before."""

    name: str
    result: int
    errno: int = 0
    generation: int = 1


CALLS = [
    Call("write", -1, errno.EINVAL),
    Call("read", 1),
    Call("read of 0 bytes", 0),
    Call("poll", POLLIN),
    Call("open", WATCHERS),
    Call("SET_WATCHER_TRACKING", 0),
    Call("WAIT_WATCHERS", -1, errno.EINTR),
    Call("TRIGGER_GEN_UPDATE", 0, generation=2),
    Call("GET_OUTDATED_WATCHERS", WATCHERS),
    Call("GET_GENERATION", 1),
    Call("unknown ioctl", -1, errno.ENOTTY),
]


@dataclass(frozen=True)
class Spinning:
    """A guest in which a processor does nothing but look for a change."""

    snapshot: Snapshot
    set_id: Callable[[Machine, str], None]

    def first_call(self, number: int) -> dict[str, int]:
        """Makes a clone make the call; gives what it has printed."""
        with self.snapshot.restore(None, run=False) as vm:
            self.set_id(vm, ID.format(number))
            vm.cont()
            line = vm.wait_for("cat /tmp/first", "^called .*$").group()
        return {key: int(value) for key, value in (word.split("=") for word in line.split()[1:])}


def machine(folder: Path, append: str) -> tuple[Spec, Callable[[Machine, str], None]]:
    """A machine whose firmware tells of nothing, and what changes its ID."""
    if ARM64:
        return Spec(append=append, nodes=virt.node()), virt.change_id
    memory = Memory(folder)
    spec = firmware.spec([Device("TEST0001", RESERVED)], memory, folder, append)
    return spec, lambda vm, guid: memory.set_id(vm, RESERVED, guid)


@pytest.fixture(scope="module", params=["observer", "bound"])
def spinning(request: pytest.FixtureRequest, folders: Callable[[str], Path]) -> Spinning:
    """The guest, before it was cloned."""
    append = modules.BOUND if request.param == "bound" else ""
    folder = folders("spinning")
    spec, set_id = machine(folder, append)
    with Machine.boot(spec, request.param) as vm:
        set_id(vm, ID.format(255))
        modules.load(vm)
        modules.wait_line_moved(vm)
        vm.sh("taskset 2 /guest/first >/tmp/first 2>&1 &")
        vm.wait_for("cat /tmp/first", "^ready generation=0$")
        return Spinning(vm.snapshot(folder / "snapshot"), set_id)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name.replace(" ", "_"))
def test_it_is_told_of_the_clone(spinning: Spinning, call: Call) -> None:
    assert spinning.first_call(CALLS.index(call)) == {
        "pending": 1,
        "result": call.result,
        "errno": call.errno,
        "generation": call.generation,
    }


def test_the_source_may_come_and_go_while_clones_arrive(tmp_path: Path) -> None:
    clones = 6
    setting = race.Setting("observer", "page")
    with Machine.boot(Spec(guid=ID.format(255), append=setting.append), "unplug") as vm:
        addresses = race.start(vm, setting)
        watchers = {role: modules.Watcher.start(vm, role) for role in ("read", "poll", "mmap")}
        vm.sh(
            f"while [ ! -e /tmp/stop ]; do {modules.UNLOAD_SOURCE};"
            " insmod /modules/sysgenid_vmgenid.ko; done >/tmp/unplug 2>&1 &"
        )
        snapshot = vm.snapshot(tmp_path / "snapshot-0")
    for number in range(1, clones + 1):
        with snapshot.restore(ID.format(number)) as vm:
            vm.wait_for("/guest/watcher status", f"generation={number} ", timeout=60)
            for watcher in watchers.values():
                watcher.wait(vm, f"changed generation={number}")
            for role in ("read", "poll"):
                watchers[role].acknowledge(vm, number)
            snapshot = vm.snapshot(tmp_path / f"snapshot-{number}")
    with snapshot.restore(ID.format(clones)) as vm:
        vm.sh("touch /tmp/stop")
        vm.wait_for("jobs; lsmod", "^sysgenid_vmgenid ")
        turns, _ = race.read_record(vm, addresses[0], 8)
        vm.sh("sleep 0.5")
        assert race.read_record(vm, addresses[0], 8)[0] > turns, "nobody uses the pages any more"
        assert modules.status(vm) == modules.Status(generation=clones, outdated=0)
        assert "can't" not in vm.sh("cat /tmp/unplug")
