# SPDX-License-Identifier: GPL-2.0
"""Page 1 of the device: where it is offered, and what it must never show."""

from __future__ import annotations

from collections.abc import Iterator

import firmware
import ids
import pytest
from conftest import Booted
from testmodules import Source, insmod, parameter

import modules
from vm import Machine, Spec

PAGE = 0x1000
FIRST, SECOND = firmware.RESERVED, firmware.RESERVED + PAGE


@pytest.fixture
def guest(booted: Booted, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A guest with memory that its kernel leaves alone, and sysgenid.ko."""
    with booted.guest(Spec(append=firmware.KEEP_OFF), request.node.name) as vm:
        modules.load(vm, source=False)
        yield vm


def source_at(vm: Machine, paddr: int) -> Source:
    """An attached source whose ID is in that page."""
    source = Source(vm, ids.A)
    move(source, paddr)
    return source


def move(source: Source, paddr: int, guid: str = ids.A, **parameters: object) -> None:
    """Lets the source come back with its ID in another page."""
    source.detach()
    source.set(paddr=paddr, **parameters)
    source.set_id(guid)
    source.attach()


def page(vm: Machine) -> dict[str, str]:
    """What new mappings show."""
    return dict(line.split("=") for line in vm.sh("/guest/page").splitlines())


def is_offered(vm: Machine) -> bool:
    """Whether page 1 can be mapped."""
    shown = page(vm)
    assert (shown["flags"], shown["live"]) in (("0x1", shown["hwid"]), ("0", "ENODEV"))
    return shown["flags"] == "0x1"


class Library:
    """A /guest/check, which has mapped what there was when it started."""

    def __init__(self, vm: Machine) -> None:
        self._vm = vm
        self._lines = 1
        self._pid = int(vm.sh("/guest/check >/tmp/check 2>&1 & echo $!"))
        vm.wait_for("cat /tmp/check", "^ready ")

    def _ask(self, signal: str) -> str:
        self._lines += 1
        self._vm.sh(f"kill -{signal} {self._pid}")
        self._vm.wait_for("wc -l </tmp/check", f"^{self._lines}$")
        return self._vm.sh("tail -n 1 /tmp/check").strip()

    def check(self) -> str:
        """What sysgenid_check() says."""
        return self._ask("USR1")

    def current(self) -> str:
        """What sysgenid_current() says, which the library knows from then on."""
        return self._ask("USR2")


def test_ordinary_memory_is_not_offered(guest: Machine) -> None:
    source = Source(guest, ids.A)
    source.attach()
    assert not is_offered(guest)
    library = Library(guest)
    assert library.check() == "pending"
    source.set_id(ids.B)
    assert library.current() == "generation=1"


def test_the_page_is_looked_at_at_each_attach(guest: Machine) -> None:
    source = source_at(guest, FIRST)
    assert is_offered(guest)
    library = Library(guest)
    assert library.check() == "current"
    # What is in it now is nobody's business.
    move(source, FIRST, rest=7)
    assert not is_offered(guest)
    assert library.check() == "pending"
    move(source, FIRST, rest=0)
    assert is_offered(guest)
    assert library.check() == "current"
    assert modules.status(guest).generation == 0


@pytest.mark.parametrize("offset", [40, 48, 0])
def test_mappings_of_an_earlier_source_never_say_current_falsely(
    offset: int, guest: Machine
) -> None:
    source = source_at(guest, FIRST)
    library = Library(guest)
    assert library.check() == "current"

    move(source, SECOND, offset=offset)
    assert library.check() in ("current", "pending")
    source.set_id(ids.B)
    assert library.check() == "pending"
    assert library.current() == "generation=1"
    assert library.check() in ("current", "pending")

    # The earlier one comes back, where the ID is still the one of then.
    move(source, FIRST, guid=ids.B, offset=40)
    assert modules.status(guest).generation == 1
    assert library.check() in ("current", "pending")
    source.set_id(ids.C)
    assert library.check() == "pending"
    assert library.current() == "generation=2"
    assert library.check() in ("current", "pending")


def test_new_mappings_show_the_id_that_is_followed(guest: Machine) -> None:
    """If they show any: those of an earlier source may be in the way."""
    source = source_at(guest, FIRST)
    for number, paddr in enumerate((SECOND, FIRST, SECOND)):
        move(source, paddr, offset=40 + 8 * number)
        for guid in (ids.B, ids.A):
            source.set_id(guid)
            is_offered(guest)


def test_encrypted_memory_is_not_offered(guest: Machine) -> None:
    """The module that says so is asked in place of the kernel."""
    insmod(guest, "sysgenid_test_encrypted")
    source = source_at(guest, FIRST)
    assert not is_offered(guest)
    assert int(parameter(guest, "sysgenid_test_encrypted", "asked")) > 0
    library = Library(guest)
    assert library.check() == "pending"
    source.set_id(ids.B)
    assert library.check() == "pending"
    assert library.current() == "generation=1"

    # Without it all is as in the other tests.
    source.detach()
    guest.sh("rmmod sysgenid_test_encrypted")
    source.attach()
    assert is_offered(guest)
