# SPDX-License-Identifier: GPL-2.0
"""What the device costs, counted in instructions of a guest, which no other load disturbs.

QEMU counts them as the guest's time. The programs that are measured are
qemu/guest/bench.c, wake.c, resume.c and hold.c, each says what its figures
mean. All but resume.c also measure the device in C of tests/peer: it takes the
place of ours in a running guest, so that both run on the same kernel.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import ged
import modules
from vm import CACHE, RELEASE, Boot, Machine, Spec

# An instruction takes a nanosecond of the guest's time; idle time is skipped. The seed makes the
# guest's random layout of its memory, and so the length of the kernel's hash chains, the same in
# each run.
ACCEL = ("-accel", "tcg", "-icount", "shift=0,sleep=off", "-cpu", "max", "-seed", "1")

# What the host's processor needs to be protected from differs from host to host.
APPEND = "mitigations=off tsc=reliable"

MODULES = ("sysgenid", "sysgenid_vmgenid")
PEER = "sysgenid_peer"
HELD = 10_000
COUNTS = 3

# The interrupt that tells of a clone, and of all other events of ACPI.
SCI = 9

# Long enough for the guest's shell to have done all that a command leaves to do.
QUIET = 0.3


def boot(mode: str, name: str, *append: str, guest: Boot = Machine.boot) -> Machine:
    """Boots a machine with the modules loaded.

    `mode` is observer or bound for the source's two, none without a source, or peer for the
    device in C in place of ours.
    """
    spec = Spec(guid=modules.ORIGINAL, append=_append(mode, *append), smp=1, accel=ACCEL)
    vm = guest(spec, f"{name}-{mode}")
    if mode == "peer":
        modules.load_peer(vm)
    else:
        modules.load(vm, source=mode != "none")
    return vm


def _append(mode: str, *more: str) -> str:
    bound = (modules.BOUND,) if mode == "bound" else ()
    return " ".join((APPEND, *bound, *more))


def _figures(output: str) -> dict[str, int]:
    pairs = (line.partition(" ") for line in output.splitlines())
    return {name: int(figure) for figure, _, name in pairs}


def replace_by_peer(vm: Machine, parameters: str = "") -> None:
    """Puts the device in C where ours is, or the one in C with other parameters."""
    loaded = vm.sh("lsmod")
    for module in ("sysgenid_vmgenid", "sysgenid", PEER):
        if re.search(rf"^{module} ", loaded, re.MULTILINE):
            vm.sh(f"rmmod {module}")
    modules.load_peer(vm, parameters)


def uses(vm: Machine) -> dict[str, int]:
    """The instructions of each use of the device."""
    return _figures(vm.sh("/guest/bench", timeout=300))


def polls(vm: Machine) -> dict[str, int]:
    """The instructions of the uses that poll it."""
    return _figures(vm.sh("/guest/bench polls", timeout=300))


def wakes(vm: Machine, cases: Iterable[tuple[str, int]]) -> Iterator[dict[str, int]]:
    """What it takes to wake watchers, for each way in which so many of them wait."""
    for way, count in cases:
        yield _figures(vm.sh(f"/guest/wake {way} {count}", timeout=300))


def restores(mode: str, what: str, count: int, guest: Boot = Machine.boot) -> Iterator[int]:
    """The instructions from a restore until something has happened, for so many restores.

    In mode kernel the modules are not there. Each restore starts from a snapshot of the one
    before, and so at another point between two interrupts of the guest's timer.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "snapshot")
        with boot(mode, f"resume-{what}", guest=guest) as vm:
            paddr = vm.sh(f"cat {modules.DEVICE}/paddr").strip()
            if mode == "kernel":
                modules.unload_source(vm)
                vm.sh("rmmod sysgenid")
            # A line on a serial console takes as long as all else together.
            vm.sh("dmesg -n 5")
            vm.sh(f"/guest/resume {what} {paddr} >/tmp/resume 2>&1 &")
            vm.wait_for("cat /tmp/resume", "^ready$", timeout=60)
            snapshot = vm.snapshot(path, QUIET)
        while count:
            # Else the name, which is the log's, would grow with each.
            with snapshot.restore(str(uuid.uuid4()), name=f"resume-{what}-{mode}") as vm:
                figure = _resumed(vm)
                if figure.isdecimal():
                    yield int(figure)
                    count -= 1
                snapshot = vm.snapshot(path, QUIET)


def _resumed(vm: Machine, timeout: float = 60.0) -> str:
    """Waits without asking the guest, which has to be left alone."""
    deadline = time.monotonic() + timeout
    while not (match := re.search(r"resume: (\w+)\r?\n", vm.log.read_text(errors="replace"))):
        vm.check_log()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{vm.name}: nothing has happened after the restore\n{vm.tail()}")
        time.sleep(0.02)
    return match[1]


def foreign_interrupt(mode: str, traced: bool, guest: Boot = Machine.boot) -> tuple[int, int]:
    """What the kernel does in a hard interrupt that announces nothing, tests/module/irq_cost.c.

    While the source listens to the interrupt's line, and when it has gone. The line is the SCI,
    which is shared, or one that can only be traced.
    """
    append = _append(mode)
    with tempfile.TemporaryDirectory() as folder:
        spec = Spec(guid=modules.ORIGINAL, append=append)
        if traced:
            spec = ged.spec(Path(folder), "pc", append=append)
        with guest(replace(spec, smp=1, accel=ACCEL), f"interrupt-{mode}") as vm:
            modules.load(vm)
            irq = ged.line(vm).irq if traced else SCI
            listening = _least_cost(vm, irq)
            modules.unload_source(vm)
            return listening, _least_cost(vm, irq)


def _least_cost(vm: Machine, irq: int) -> int:
    """Now and then all of the interrupts find the line's thread at work, which costs more."""
    costs = []
    for _ in range(COUNTS):
        vm.sh(f"insmod /modules/irq_cost.ko irq={irq}")
        costs.append(int(vm.sh("cat /sys/module/irq_cost/parameters/least")))
        vm.sh("rmmod irq_cost")
    return min(costs)


def _slabs(vm: Machine) -> dict[str, tuple[int, int]]:
    """The number of objects in each slab cache, and the size of one."""
    lines = (line.split() for line in vm.sh("cat /proc/slabinfo").splitlines()[2:])
    return {name: (int(active), int(size)) for name, active, _, size, *_ in lines}


def descriptor_size(mode: str, path: str, guest: Boot = Machine.boot) -> dict[str, int]:
    """The bytes that an open file of a device takes, by slab cache."""
    with boot(mode, "hold", "slab_nomerge", guest=guest) as vm:
        before = _slabs(vm)
        vm.sh(f"/guest/hold {path} {HELD} >/tmp/hold 2>&1 &")
        vm.wait_for("cat /tmp/hold", "^ready$")
        objects = {
            name: (round((active - before[name][0]) / HELD), size)
            for name, (active, size) in _slabs(vm).items()
        }
    return {name: number * size for name, (number, size) in objects.items() if number}


def module_sizes(module: str) -> dict[str, int]:
    """The bytes of a module that stay loaded, by kind."""
    (path,) = (CACHE / "build" / RELEASE).rglob(f"{module}.ko")
    output = subprocess.run(
        ["size", "-A", path],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    sizes = dict.fromkeys((".text", ".rodata", ".data"), 0)
    for kind in sizes:
        for size in re.findall(rf"^\{kind}(?:\.\S+)?\s+(\d+)", output, re.MULTILINE):
            sizes[kind] += int(size)
    return sizes
