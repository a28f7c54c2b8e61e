# SPDX-License-Identifier: GPL-2.0
"""What the random number generator gets from the ID, and what programs get from it."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import firmware
import ids
import overlay
import pytest
from conftest import Booted
from firmware import RESERVED, Device, Memory
from testmodules import digits, insmod
from tracing import TRACING, add_probes, events, everything, mixed, trace

import modules
from vm import Machine, Snapshot, Spec, accelerator

MODES = {"observer": "", "bound": modules.BOUND}
UNSEEDED = "random.trust_cpu=off random.trust_bootloader=off"
NO_RDRAND = ",-rdrand,-rdseed"


# A program asks for it. Where stacks are found by frame pointers, a probe at the beginning of a
# function does not see who has called that, random_ioctl() here.
BY_PROGRAM = "__x64_sys_ioctl"


def told(mode: str, *events: str) -> list[str]:
    """These, if the driver also tells those who have subscribed to forks.

    What does that mixes and reseeds once more.
    """
    return [*events] if mode == "bound" and modules.EXPORTS_FORKS else []


def unseeded(mode: str) -> Spec:
    """A machine whose generator is not seeded before somebody waits for that.

    Its processors have no instructions for random numbers, which would make
    clones differ whatever the driver does.
    """
    *words, cpu = accelerator()
    append = f"{MODES[mode]} {UNSEEDED}"
    return Spec(guid=ids.A, append=append, accel=(*words, cpu + NO_RDRAND))


@pytest.mark.parametrize("mode", MODES)
def test_the_id_is_mixed_in_at_probe_and_nothing_credited(mode: str, booted: Booted) -> None:
    """Once the generator is seeded, no credit counts any longer: so before that."""
    with booted.guest(unseeded(mode), f"credit-{mode}") as vm:
        trace(vm)
        modules.load(vm)
        assert events(vm) == [mixed(ids.A)]
        assert modules.status(vm).generation == 0
        vm.sh("/guest/random credit 7")
        assert events(vm, BY_PROGRAM) == ["credit bits=7"]
        assert vm.sh("dmesg | grep 'crng init done'", check=False) == ""


def generation_address(vm: Machine) -> int:
    """The physical address of the counter."""
    watcher = modules.Watcher.start(vm, "mmap")
    start = int(vm.sh(f"grep -m 1 /dev/sysgenid /proc/{watcher.pid}/maps").split("-")[0], 16)
    read = f"dd if=/proc/{watcher.pid}/pagemap bs=8 skip={start >> 12} count=1 2>/dev/null"
    entry = bytes.fromhex(vm.sh(f"{read} | hexdump -v -e '/1 \"%02x\"'"))
    # Bits 0 to 54 are the frame, see Documentation/admin-guide/mm/pagemap.rst.
    return (int.from_bytes(entry, "little") & (1 << 55) - 1) << 12


@pytest.mark.parametrize("mode", MODES)
def test_a_change_is_mixed_in_and_reseeds_before_anybody_sees_it(
    mode: str, booted: Booted, tmp_path: Path
) -> None:
    with booted.guest(Spec(guid=ids.A, append=MODES[mode]), f"reseed-{mode}") as vm:
        trace(vm)
        modules.load(vm)
        assert events(vm) == [mixed(ids.A)]
        generation = f"generation=+{generation_address(vm):#x}(@page_offset_base):u32"
        add_probes(vm, f"r:reseeded crng_reseed {generation}")
        vm.sh(f"echo >{TRACING}/trace")
        snapshot = vm.snapshot(tmp_path / "snapshot")
    with snapshot.restore(ids.B) as vm:
        assert modules.status(vm).generation == 1
        vm.wait_for("dmesg", "hardware ID changed, crng reseeded")
        reseeds = [mixed(ids.B), "reseed", "reseeded generation=0"]
        again = told(mode, mixed(ids.B), "reseed", "reseeded generation=1")
        assert events(vm) == reseeds + again, everything(vm)
        vm.sh(f"echo >{TRACING}/trace; /guest/random reseed")
        assert events(vm, BY_PROGRAM) == ["reseed", "reseeded generation=1"]


SILENT = Device("TEST0001", RESERVED + 40)


@pytest.fixture(scope="module", params=MODES)
def silent(request: pytest.FixtureRequest, folders: Callable[[str], Path]) -> tuple[Spec, Memory]:
    """A machine whose generator is not seeded, whose firmware never notifies, and its memory."""
    spec, folder = unseeded(request.param), folders(request.param)
    memory = Memory(folder)
    return (
        replace(firmware.spec([SILENT], memory, folder, spec.append), accel=spec.accel),
        memory,
    )


def test_a_clone_of_the_snapshot_that_was_just_taken_reseeds_once_more(
    silent: tuple[Spec, Memory], booted: Booted
) -> None:
    """Taken while the generator is reseeded: each clone of it then has to do the same again."""
    spec, memory = silent
    with booted.guest(spec, "again") as vm:
        memory.set_id(vm, SILENT.address, ids.A)
        vm.sh("/guest/random credit 256")
        trace(vm)
        modules.load(vm)
        modules.wait_line_moved(vm)
        caller = {"symbol": "crng_reseed", "comm": "watcher"}
        other = {"paddr": hex(SILENT.address), "id": digits(ids.C)}
        insmod(vm, "sysgenid_test_host", **caller, **other)
        memory.set_id(vm, SILENT.address, ids.B)
        assert modules.status(vm).generation == 1
        vm.wait_for("dmesg", "hardware ID changed, crng reseeded")
        reseeds = [mixed(ids.A), mixed(ids.B), "reseed", mixed(ids.C), "reseed"]
        mode = "bound" if modules.BOUND in spec.append else "observer"
        assert events(vm) == reseeds + told(mode, mixed(ids.C), "reseed")
        assert vm.sh(f"cat {SILENT.path}/guid") == f"{ids.C}\n"
        assert modules.status(vm).generation == 1


@pytest.mark.parametrize("export", [False, True], ids=["stock", "exported"])
def test_what_is_not_seeded_is_not_said_to_be_reseeded(
    export: bool, silent: tuple[Spec, Memory], booted: Booted
) -> None:
    """Neither where the kernel lets a module call what reseeds and tells of forks."""
    spec, memory = silent
    with booted.guest(spec, "unseeded") as vm:
        # To read much of the log takes interrupts, enough of which seed the generator.
        vm.sh("! dmesg -c | grep 'crng init done'")
        memory.set_id(vm, SILENT.address, ids.A)
        if export and not modules.EXPORTS_FORKS:
            insmod(vm, "vmfork_export")
        modules.load(vm)
        modules.wait_line_moved(vm)
        memory.set_id(vm, SILENT.address, ids.B)
        assert modules.status(vm).generation == 1
        vm.wait_for("dmesg", f"{SILENT.name}: hardware ID changed")
        assert modules.reseeds(vm) == 0
        assert "crng init done" not in vm.sh("dmesg")
        # Once it is, the same is worth saying.
        vm.sh("/guest/random credit 256")
        memory.set_id(vm, SILENT.address, ids.C)
        assert modules.status(vm).generation == 2
        vm.wait_for("dmesg", f"{SILENT.name}: hardware ID changed, crng reseeded")


# What programs draw.

# By these routes numbers are new in each clone, on each processor.
FRESH = (
    *("vdso", "syscall", "urandom", "random", "arc4random", "uuid", "port"),
    *("at_random", "mmap", "stack"),
)
# By these they are not, as the kernel draws once, or from a generator of its own.
OLD = ("boot_id", "bpf")
# From what the vDSO has, with no system call.
SEALED = "sealed"

Values = dict[tuple[str, str], str]


def start(vm: Machine, way: str) -> None:
    """Starts who draws as soon as it sees a change by the given way."""
    # Or what the driver says of a change gives the notification time to arrive before the draws.
    vm.sh("dmesg -n 5")
    vm.sh(f"/guest/fresh {way} >/dev/kmsg 2>&1 &")
    wait_for_log(vm, "fresh: ready")


def wait_for_log(vm: Machine, line: str, timeout: float = 60.0) -> None:
    """Waits for a line, and leaves the guest alone meanwhile."""
    deadline = time.monotonic() + timeout
    while f"{line}\n" not in vm.log.read_text(errors="replace"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{vm.name} has not said {line!r}\n{vm.tail()}")
        time.sleep(0.02)


def drawn(vm: Machine) -> Values:
    """What that has drawn, by processor and route."""
    wait_for_log(vm, "fresh: done")
    vm.check_log()
    lines = re.findall(r"fresh: (\d+) (\w+) (\S+)$", vm.log.read_text(), re.MULTILINE)
    return {(cpu, route): value for cpu, route, value in lines}


def clones(snapshot: Snapshot, *guids: str) -> Iterator[Values]:
    """What clones under these IDs draw."""
    for guid in guids:
        with snapshot.restore(guid) as vm:
            yield drawn(vm)
            # No command could be given to a guest whose instructions are counted: it loses some.
            vm.qmp("stop")


def keys(*routes: str, smp: int = 2) -> list[tuple[str, str]]:
    """These routes on each processor."""
    return [(str(cpu), route) for cpu in range(smp) for route in routes]


@pytest.mark.parametrize("mode", MODES)
def test_clones_draw_nothing_of_the_same_on_any_processor_by_any_route(
    mode: str, booted: Booted, tmp_path: Path
) -> None:
    with booted.guest(unseeded(mode), f"fresh-{mode}") as vm:
        modules.load(vm)
        start(vm, "device")
        snapshot = vm.snapshot(tmp_path / "snapshot")
    one, two = clones(snapshot, ids.B, ids.C)
    for key in keys(*FRESH):
        assert one[key] != two[key], key
    for key in keys(*OLD):
        assert one[key] == two[key], key
    for key in keys(SEALED):
        assert (one[key], two[key]) == ("EPERM", "EPERM")
    assert set(one) == set(two) == set(keys(*FRESH, *OLD, SEALED))


ATTEMPTS = 3


def test_clones_without_a_driver_draw_the_same_on_each_processor_by_each_route(
    booted: Booted, tmp_path: Path
) -> None:
    """Or the test above would show nothing. The kernel may reseed at just that moment."""
    for attempt in range(ATTEMPTS):
        with booted.guest(unseeded("bound"), "fresh-none") as vm:
            modules.load(vm)
            paddr = vm.sh(f"cat {modules.DEVICE}/paddr").strip()
            modules.unload(vm)
            start(vm, f"id {paddr}")
            snapshot = vm.snapshot(tmp_path / f"snapshot-{attempt}")
        one, two = clones(snapshot, ids.B, ids.C)
        assert set(one) == set(two) == set(keys(*FRESH, *OLD, SEALED))
        if one == two and "EPERM" not in one.values():
            return
    assert one == two


# QEMU counts instructions, which are then the guest's time. Two clones do all
# the same, to the last instruction, but for what the host gives them.
COUNTED = ("-accel", "tcg", "-icount", "shift=0,sleep=off", "-cpu")


@pytest.mark.parametrize("cpu", ["max" + NO_RDRAND, "max"])
def test_the_id_makes_clones_differ_and_so_do_the_instructions_for_random_numbers(
    cpu: str, tmp_path: Path
) -> None:
    """Restored twice under one ID, a clone has but those instructions to differ by."""
    counted = Spec(guid=ids.A, append=modules.BOUND, smp=1, accel=(*COUNTED, cpu))
    with Machine.boot(counted, "counted") as vm:
        modules.load(vm)
        start(vm, "device")
        snapshot = vm.snapshot(tmp_path / "snapshot")
    one, again, two = clones(snapshot, ids.B, ids.B, ids.C)
    for key in keys(*FRESH, smp=1):
        assert one[key] != two[key], key
        assert (one[key] == again[key]) == (NO_RDRAND in cpu), key


# What a device gives that is there to be asked.


class Source:
    """Random numbers for virtio-rng in a pipe, so that one sees how many are taken."""

    F_SETPIPE_SZ = 1031
    SIZE = 1 << 16

    def __init__(self, folder: Path) -> None:
        path = folder / "source"
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._fd, self.F_SETPIPE_SZ, 2 * self.SIZE)
        os.write(self._fd, os.urandom(self.SIZE))
        backend = f"rng-random,id=source,filename={path}"
        self.arguments = ("-object", backend, "-device", "virtio-rng-pci,rng=source")

    @property
    def taken(self) -> int:
        """How many bytes QEMU has read."""
        left: int = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)))[0]
        return self.SIZE - left

    def wait_taken(self, timeout: float = 60.0) -> None:
        """Waits until some more are taken."""
        before, deadline = self.taken, time.monotonic() + timeout
        while self.taken == before:
            if time.monotonic() > deadline:
                raise TimeoutError("nobody takes random numbers")
            time.sleep(0.01)

    def close(self) -> None:
        """Frees the pipe."""
        os.close(self._fd)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    """A source for one guest after the other."""
    source = Source(tmp_path)
    yield source
    source.close()


def hwrng(vm: Machine, size: int) -> str:
    """What /dev/hwrng gives next."""
    return vm.sh(f"dd if=/dev/hwrng bs={size} count=1 2>/dev/null | hexdump -v -e '/1 \"%02x\"'")


KEPT = 64


def test_a_reseed_asks_no_virtio_rng_which_goes_on_with_what_it_had(
    source: Source, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    overlay.add_module(files, "virtio-rng")
    extra = (*overlay.arguments(files), *source.arguments)
    with Machine.boot(Spec(guid=ids.A, append=modules.BOUND, extra=extra), "virtio-rng") as vm:
        modules.load(vm)
        vm.sh("insmod /modules/virtio-rng.ko")
        # The kernel takes some at intervals. The next one is then far away.
        source.wait_taken()
        snapshot = vm.snapshot(tmp_path / "snapshot")
    first, second = set(), set()
    for guid in (ids.B, ids.C):
        with snapshot.restore(guid) as vm:
            before = source.taken
            assert modules.status(vm).generation == 1
            vm.wait_for("dmesg", "hardware ID changed, crng reseeded")
            assert modules.reseeds(vm) == 1 + modules.forks("bound")
            assert source.taken == before
            first.add(hwrng(vm, KEPT))
            assert source.taken > before
            second.add(hwrng(vm, KEPT))
    assert (len(first), len(second)) == (1, 2)
