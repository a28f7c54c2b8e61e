# SPDX-License-Identifier: GPL-2.0
"""The modules of tests/module in a guest."""

from __future__ import annotations

import time
import uuid

from vm import Machine

PATIENCE = 30.0


def insmod(vm: Machine, module: str, **parameters: object) -> None:
    """Loads one of them."""
    vm.sh(f"insmod /modules/{module}.ko {_words(parameters)}")


def insmod_in_background(vm: Machine, module: str, **parameters: object) -> None:
    """Starts to load one that takes its time."""
    vm.sh(f"insmod /modules/{module}.ko {_words(parameters)} &")


def _words(parameters: dict[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in parameters.items())


def parameter(vm: Machine, module: str, name: str) -> str:
    """What a parameter of a module is now."""
    return vm.sh(f"cat /sys/module/{module}/parameters/{name}").strip()


def digits(guid: str) -> str:
    """An ID in memory order."""
    return uuid.UUID(guid).bytes_le.hex()


def restored(guid: str, times: int) -> str:
    """What the ID is after the test modules have restored a snapshot so often."""
    return f"{guid[:-2]}{int(guid[-2:], 16) + times:02x}"


class Source:
    """A sysgenid_test_source.ko, which is a source and the host that changes its ID."""

    MODULE = "sysgenid_test_source"
    NAME = "sysgenid_test_source"

    def __init__(self, vm: Machine, guid: str, **parameters: object) -> None:
        self._vm = vm
        insmod(vm, self.MODULE, **parameters)
        self.set_id(guid)

    def set(self, timeout: float = PATIENCE, **parameters: object) -> None:
        """Writes parameters, one after the other."""
        for name, value in parameters.items():
            path = f"/sys/module/{self.MODULE}/parameters/{name}"
            self._vm.sh(f"echo {value} >{path}", timeout=timeout)

    def get(self, name: str) -> str:
        """What a parameter is now."""
        return parameter(self._vm, self.MODULE, name)

    def set_id(self, guid: str) -> None:
        """Gives the system another ID, and does not tell it so."""
        self.set(id=digits(guid))

    def attach(self) -> None:
        """Registers the source."""
        self.set(attached=1)

    def detach(self) -> None:
        """Unregisters it."""
        self.set(attached=0)

    def events(self) -> list[str]:
        """What the driver has called so far, IDs as hexadecimal digits."""
        return self.get("events").splitlines()

    def wait_for_events(self, expected: list[str]) -> None:
        """Waits until the driver has called just that: some of it a worker does, later."""
        deadline = time.monotonic() + PATIENCE
        while (seen := self.events()) != expected and time.monotonic() < deadline:
            time.sleep(0.05)
        assert seen == expected
        assert self.get("wrong") == "0"


def mix(guid: str) -> str:
    """The first ID of a source reaches the RNG."""
    return f"mix {digits(guid)}"


def reseed(guid: str) -> str:
    """A new ID reaches the RNG."""
    return f"reseed {digits(guid)}"


def generation(number: int) -> str:
    """A subscriber hears of a generation."""
    return f"generation {number}"


def report(guid: str, reseeded: int = 0) -> str:
    """A source reports a change."""
    return f"report {digits(guid)} {reseeded}"


def change(guid: str, number: int) -> list[str]:
    """All that the driver calls when the ID changes."""
    return [reseed(guid), generation(number), report(guid)]
