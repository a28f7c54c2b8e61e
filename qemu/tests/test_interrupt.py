# SPDX-License-Identifier: GPL-2.0
"""The interrupt line by which a clone is noticed: shared, moved, and given back."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ids
import overlay
import pytest

import modules
from vm import Machine, Spec

MODES = {"observer": "", "bound": modules.BOUND}
FIRST, SECOND, BOTH = 1, 2, 3


@pytest.fixture(scope="module")
def button(folders: Callable[[str], Path]) -> tuple[str, ...]:
    """QEMU's arguments for an initramfs with the driver of the power button."""
    files = folders("button") / "files"
    overlay.add_module(files, "button")
    return overlay.arguments(files)


@pytest.fixture(params=MODES)
def guest(
    request: pytest.FixtureRequest,
    button: tuple[str, ...],
    fresh: Callable[[Spec], Machine],
) -> Iterator[Machine]:
    """A guest in which neither module is loaded, but the power button works."""
    with fresh(Spec(guid=ids.A, append=MODES[request.param], extra=button)) as machine:
        machine.sh("insmod /modules/button.ko")
        yield machine


def line(vm: Machine) -> tuple[int, list[str]]:
    """The number of the system control interrupt, and who listens on it."""
    found = re.search(
        r"^ *(\d+):.*-fasteoi +(acpi.*)$", vm.sh("cat /proc/interrupts"), re.MULTILINE
    )
    assert found
    return int(found[1]), found[2].split(", ")


def interrupts(vm: Machine) -> int:
    """How many system control interrupts there were."""
    _, *counts = vm.sh(f"grep '^ *{line(vm)[0]}:' /proc/interrupts").split()
    return sum(map(int, itertools.takewhile(str.isdigit, counts)))


def affinity(vm: Machine, which: str = "smp") -> int:
    """The processors that may take the interrupt, or with "effective" the one that does."""
    return int(vm.sh(f"cat /proc/irq/{line(vm)[0]}/{which}_affinity"), 16)


def choose(vm: Machine, processors: int) -> None:
    """What an administrator does."""
    vm.sh(f"echo {processors:x} >/proc/irq/{line(vm)[0]}/smp_affinity")


def press_power_button(vm: Machine) -> None:
    """Raises a system control interrupt that has nothing to do with a clone."""
    before = interrupts(vm)
    vm.qmp("system_powerdown")
    deadline = time.monotonic() + 30
    while interrupts(vm) == before:
        assert time.monotonic() < deadline


def test_the_source_listens_as_long_as_it_is_there(guest: Machine) -> None:
    assert line(guest)[1] == ["acpi"]
    for _ in range(3):
        modules.load(guest)
        assert line(guest)[1] == ["acpi", "sysgenid"]
        # QEMU's firmware puts it into the last page, 0xffff028 with 256 MiB.
        paddr = (guest.spec.mebibytes << 20) - 0x1000 + 0x28
        said = f"hardware ID at {paddr:#x}; interrupt {line(guest)[0]}, shared\n"
        assert said in guest.sh("dmesg")
        modules.unload(guest)
        assert line(guest)[1] == ["acpi"]


def test_the_line_goes_to_the_first_processor_by_itself(guest: Machine) -> None:
    path = f"/proc/irq/{line(guest)[0]}"
    assert affinity(guest) == BOTH
    modules.load(guest)
    assert affinity(guest) == FIRST
    guest.wait_for(f"cat {path}/effective_affinity", "^1$")


def test_one_interrupt_is_enough_to_move_the_line(guest: Machine) -> None:
    modules.load(guest)
    guest.wait_for(f"cat /proc/irq/{line(guest)[0]}/effective_affinity", "^1$")
    before = interrupts(guest)
    # The timer of ACPI would run over twice.
    time.sleep(6)
    assert interrupts(guest) == before


def test_what_an_administrator_has_chosen_stays(guest: Machine) -> None:
    choose(guest, SECOND)
    modules.load(guest)
    assert affinity(guest) == SECOND
    modules.unload_source(guest)
    assert affinity(guest) == SECOND


def test_what_an_administrator_chooses_later_stays(guest: Machine) -> None:
    modules.load(guest)
    choose(guest, SECOND)
    modules.unload_source(guest)
    assert affinity(guest) == SECOND


def test_interrupts_of_others_are_not_claimed(guest: Machine) -> None:
    modules.load(guest)
    for _ in range(20):
        press_power_button(guest)
    assert "unhandled 0\n" in guest.sh(f"cat /proc/irq/{line(guest)[0]}/spurious")
    assert modules.status(guest).generation == 0


def test_the_source_leaves_in_the_middle_of_interrupts(guest: Machine) -> None:
    modules.load(guest)
    guest.sh(
        f"(while test ! -e stop; do {modules.UNLOAD_SOURCE};"
        " insmod /modules/sysgenid_vmgenid.ko; echo turn; done) >turns 2>&1 &"
    )
    while int(guest.sh("wc -l <turns")) < 20:
        guest.qmp("system_powerdown")
    guest.sh("touch stop")
    guest.wait_for("grep -c ^sysgenid_vmgenid /proc/modules", "^1$")
    assert modules.status(guest).generation == 0
    assert set(guest.sh("cat turns").split()) == {"turn"}


def test_clones_while_processors_come_and_go(guest: Machine, tmp_path: Path) -> None:
    guest.sh("echo 0 >/sys/devices/system/cpu/cpu1/online")
    modules.load(guest)
    guest.sh(
        "(while sleep 0.05; do for on in 1 0; do"
        " echo $on >/sys/devices/system/cpu/cpu1/online; done; done) >/dev/null 2>&1 &"
    )
    snapshot = guest.snapshot(tmp_path / "0")
    for generation in range(1, 6):
        with snapshot.restore(f"{generation:08x}{ids.A[8:]}") as clone:
            time.sleep(0.5)
            assert modules.status(clone).generation == generation
            snapshot = clone.snapshot(tmp_path / str(generation))
