# SPDX-License-Identifier: GPL-2.0
"""VMGENID in a device tree: good and bad nodes, and the interrupt that announces a clone."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ids
import pytest
from testmodules import insmod
from tracing import TRACING

import modules
import virt
from vm import CACHE, RELEASE, Machine, Spec

MODES = {"observer": "", "bound": modules.BOUND}
OURS = "sysgenid_vmgenid"
MODULE = CACHE / "build" / RELEASE / f"{OURS}.ko"
PROC = "/proc/irq"
TRIES = 20


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Whether the kernel's own driver is there."""
    return str(request.param)


@pytest.fixture
def guest(mode: str, fresh: Callable[[Spec], Machine]) -> Iterator[Machine]:
    """A guest with a good node, in which neither module is loaded."""
    with fresh(Spec(guid=ids.A, append=MODES[mode])) as vm:
        yield vm


def line(vm: Machine) -> tuple[int, list[int], list[str]]:
    """The number of the line, how often each processor took it, and who listens on it."""
    pattern = rf"^ *(\d+):([ \d]+) GICv3 +{virt.INTID} +Edge +(.*)$"
    found = re.search(pattern, vm.sh("cat /proc/interrupts"), re.MULTILINE)
    if not found:
        return 0, [], []
    return int(found[1]), [int(count) for count in found[2].split()], found[3].split(", ")


def said(vm: Machine) -> list[str]:
    """What the driver has said."""
    return vm.sh(f"dmesg | sed -n 's/^.*{OURS}: //p'").splitlines()


def attached(vm: Machine) -> str:
    """What it says when it has a good device."""
    return f"{virt.name()}: hardware ID at {virt.ID:#x}; interrupt {line(vm)[0]}, shared"


def test_the_source_listens_as_long_as_it_is_there(guest: Machine, mode: str) -> None:
    others = ["vmgenid"] if mode == "observer" else []
    assert line(guest)[2] == others
    for _ in range(3):
        guest.sh("dmesg -c >/dev/null")
        modules.load(guest)
        assert line(guest)[2] == [*others, "sysgenid"]
        observing = [f"{virt.name()}: observing beside the kernel's driver"]
        assert said(guest) == [attached(guest), *(observing if others else [])]
        assert guest.sh("cat /sys/class/misc/sysgenid/source") == f"{virt.name()}\n"
        assert modules.guid(guest) == ids.A
        assert guest.sh(f"cat {modules.DEVICE}/paddr") == f"{virt.ID:#x}\n"
        modules.unload(guest)
        assert line(guest)[2] == others
        guest.sh(f"test ! -e {modules.DEVICE}/guid")


def test_the_device_loads_the_module(guest: Machine) -> None:
    command = ["modinfo", "-F", "alias", str(MODULE)]
    aliases = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    modalias = guest.sh(f"cat {modules.DEVICE}/modalias").strip()
    assert any(fnmatch.fnmatchcase(modalias, alias) for alias in aliases)


def test_the_interrupt_is_enough(guest: Machine) -> None:
    """Nobody makes a call on the device, or subscribes to anything."""
    modules.load(guest)
    mapped = modules.Watcher.start(guest, "mmap")
    before = sum(line(guest)[1])
    virt.change_id(guest, ids.B)
    virt.notify(guest)
    assert mapped.wait(guest, "changed") == {"generation": 1}
    assert sum(line(guest)[1]) == before + 1
    guest.wait_for("dmesg", "hardware ID changed, crng reseeded")
    assert modules.status(guest).generation == 1


def test_the_change_is_enough(guest: Machine) -> None:
    """No interrupt comes; the first who asks is told."""
    modules.load(guest)
    virt.change_id(guest, ids.B)
    assert modules.status(guest).generation == 1
    # It is late, and finds nothing left to do.
    virt.notify(guest)
    guest.wait_for("dmesg", "hardware ID changed, crng reseeded")
    assert modules.status(guest).generation == 1


def test_interrupts_without_another_id_do_nothing(guest: Machine) -> None:
    modules.load(guest)
    guest.sh("dmesg -c >/dev/null")
    for count in range(1, TRIES + 1):
        virt.notify(guest)
        # One that is pending still would not be taken twice.
        guest.wait_for("cat /proc/interrupts", rf"^ *\d+: +{count} +0 +GICv3 +{virt.INTID} ")
    number, counts, _ = line(guest)
    assert sum(counts) == TRIES
    assert modules.status(guest).generation == 0
    assert said(guest) == []
    # Whoever has the device says that they were for it, or the kernel would take the line away.
    assert "unhandled 0\n" in guest.sh(f"cat {PROC}/{number}/spurious")


def test_the_line_goes_to_the_first_processor(guest: Machine) -> None:
    modules.load(guest)
    folder = f"{PROC}/{line(guest)[0]}"
    lists = f"cat {folder}/smp_affinity_list {folder}/effective_affinity_list"
    assert guest.sh(lists) == "0\n0\n"
    modules.unload_source(guest)
    # Without anybody on it the line has no folder.
    if line(guest)[0]:
        guest.sh(f"echo 1 >{folder}/smp_affinity_list")
        modules.load_source(guest)
        assert guest.sh(lists) == "1\n1\n"


def test_nobody_subscribes_to_forks(guest: Machine) -> None:
    """The kernel's driver calls that chain in the interrupt, where who may sleep must not be."""
    guest.sh(f"mount -t tracefs tracefs {TRACING}")
    guest.sh(f"echo 'p register_random_vmfork_notifier' >{TRACING}/kprobe_events")
    guest.sh(f"echo 1 >{TRACING}/events/kprobes/enable")
    modules.load(guest)
    assert "vmfork" not in guest.sh(f"cat {TRACING}/trace")
    # That it would be seen is shown by a module that does.
    insmod(guest, "sysgenid_subscriber")
    assert "vmfork" in guest.sh(f"cat {TRACING}/trace")


@pytest.mark.parametrize("mode", ["bound"], indirect=True)
def test_a_device_can_be_unbound_and_bound(guest: Machine) -> None:
    modules.load(guest)
    for generation, guid in enumerate((ids.B, ids.C, ids.A), 1):
        modules.unbind(guest)
        assert line(guest)[2] == []
        virt.change_id(guest, guid)
        modules.bind(guest)
        assert modules.status(guest).generation == generation
        assert modules.guid(guest) == guid


def test_the_source_leaves_in_the_middle_of_interrupts(guest: Machine) -> None:
    modules.load(guest)
    guest.sh(
        f"(while test ! -e stop; do {modules.UNLOAD_SOURCE};"
        " insmod /modules/sysgenid_vmgenid.ko; echo turn; done) >turns 2>&1 &"
    )
    for number in range(1, 11):
        virt.change_id(guest, f"{number:08x}{ids.A[8:]}")
        virt.notify(guest)
        time.sleep(0.1)
    guest.sh("touch stop")
    guest.wait_for("grep -c ^sysgenid_vmgenid /proc/modules", "^1$")
    assert modules.status(guest).generation >= 1
    assert modules.guid(guest) == f"{10:08x}{ids.A[8:]}"
    assert set(guest.sh("cat turns").split()) == {"turn"}


def test_clones_while_processors_come_and_go(guest: Machine, tmp_path: Path) -> None:
    guest.sh("echo 0 >/sys/devices/system/cpu/cpu1/online")
    modules.load(guest)
    guest.sh(
        "(while sleep 0.05; do for on in 1 0; do"
        " echo $on >/sys/devices/system/cpu/cpu1/online; done; done) >/dev/null 2>&1 &"
    )
    snapshot = guest.snapshot(tmp_path / "0")
    for generation in range(1, 4):
        with snapshot.restore(f"{generation:08x}{ids.A[8:]}") as clone:
            time.sleep(0.5)
            assert modules.status(clone).generation == generation
            snapshot = clone.snapshot(tmp_path / str(generation))


# Nodes that are not what they should be.

PAGE = 0x1000


def at(offset: int) -> int:
    """An address in the memory that the kernel leaves alone, far from other nodes'."""
    return virt.RESERVED + PAGE + offset


# How the node begins, what else it has, and what is said of it.
BAD: dict[str, tuple[int, str | None, str | None, str]] = {
    "no memory": (at(0x000), "", None, "reg is missing"),
    "0 bytes": (at(0x080), virt.reg(at(0x080), 0), None, "reg has less than 16 bytes: 0"),
    "8 bytes": (at(0x100), virt.reg(at(0x100), 8), None, "reg has less than 16 bytes: 8"),
    "15 bytes": (at(0x200), virt.reg(at(0x200), 15), None, "reg has less than 16 bytes: 15"),
    "misaligned by 4": (at(0x304), None, None, f"reg is not 8-byte aligned: {at(0x304):#x}"),
    "misaligned by 1": (at(0x401), None, None, f"reg is not 8-byte aligned: {at(0x401):#x}"),
    "address 0": (0, None, None, "reg is address 0"),
    "across pages": (at(0xFF8), None, None, f"reg crosses a page: {at(0xFF8):#x}"),
    "no interrupt": (at(0x500), None, "", "there is no interrupt: ENXIO"),
    "no such line": (at(0x600), None, virt.interrupt(spi=5000), "cannot listen on interrupt "),
    "falling edge": (at(0x700), None, virt.interrupt(2, 101), "cannot listen on interrupt "),
}
LARGE = at(0x2000)


@pytest.fixture(scope="module")
def bad() -> Iterator[Machine]:
    """A guest with all bad nodes, and a good one whose memory is larger than an ID."""
    nodes = [virt.node(address, memory, line) for address, memory, line, _ in BAD.values()]
    nodes.append(virt.node(LARGE, virt.reg(LARGE, PAGE)))
    with Machine.boot(Spec(append=modules.BOUND, nodes=" ".join(nodes)), "nodes") as vm:
        modules.load(vm)
        yield vm


@pytest.mark.parametrize("what", BAD)
def test_a_bad_node_is_refused_with_one_line(bad: Machine, what: str) -> None:
    address, memory, _, why = BAD[what]
    device = f"vmgenid@{address:x}" if memory == "" else virt.name(address)
    (line,) = [line for line in said(bad) if line.startswith(f"{device}: ")]
    assert line.startswith(f"{device}: {why}")
    bad.sh(f"test ! -e /sys/bus/platform/devices/{device}/guid")
    bad.sh(f"test ! -e /sys/bus/platform/devices/{device}/driver")


def test_a_good_node_works_after_bad_ones(bad: Machine) -> None:
    """Its memory is a page, as in the example of the binding; the ID is at its beginning."""
    assert bad.sh("cat /sys/class/misc/sysgenid/source") == f"{virt.name(LARGE)}\n"
    generation = modules.status(bad).generation
    mapped = modules.Watcher.start(bad, "mmap")
    virt.change_id(bad, ids.B, LARGE)
    virt.notify(bad)
    assert mapped.wait(bad, "changed") == {"generation": generation + 1}
    path = f"/sys/bus/platform/devices/{virt.name(LARGE)}"
    assert bad.sh(f"cat {path}/guid") == f"{ids.B}\n"


def test_memory_of_the_kernel_is_no_place_for_an_id(fresh: Callable[[Spec], Machine]) -> None:
    """Nothing says that it is not the kernel's; page 1 would show what others keep there."""
    address = virt.RESERVED - (16 << 20)
    spec = Spec(append=modules.BOUND, nodes=virt.node(address))
    with fresh(spec) as vm:
        modules.load(vm)
        page = dict(line.split("=") for line in vm.sh("/guest/page").splitlines())
        assert (page["flags"], page["live"]) == ("0", "ENODEV")
