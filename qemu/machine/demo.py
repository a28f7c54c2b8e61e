#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The main job in one glance: one guest, one snapshot, two clones, and who notices what.

Every value in the table is compared with what it must be; anything else ends
in a line that says which one is wrong, and in status 1.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import modules
from modules import Watcher
from vm import CommandFailed, GuestError, Machine, Snapshot, Spec

CLONES = ("22222222-c0de-4a5e-8d15-0123456789ab", "33333333-c0de-4a5e-8d15-0123456789ab")


@dataclass(frozen=True)
class Shown:
    """A value for the table, and what it must be."""

    value: object
    expected: object


Column = dict[str, Shown]


@dataclass(frozen=True)
class Users:
    """Who uses the device; they run on in the clones."""

    reader: Watcher
    poller: Watcher
    mapped: Watcher
    control: Watcher

    @classmethod
    def start(cls, vm: Machine) -> Users:
        """Starts one of each."""
        return cls(*(Watcher.start(vm, role) for role in ("read", "poll", "mmap", "control")))


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Says what takes time, and how long it took."""
    print(f"==> {title}… ", end="", flush=True)
    start = time.monotonic()
    yield
    print(f"{time.monotonic() - start:.1f} s", flush=True)


def look(vm: Machine, guid: str, event: str, users: Users, generation: int) -> Column:
    """What can be seen in the original as well as in a clone."""
    return {
        "VMGENID set by the host": Shown(modules.host_id(vm), guid),
        "VMGENID in the guest's memory": Shown(modules.hardware_id(vm), guid),
        "VMGENID in the guest's sysfs": Shown(modules.guid(vm), guid),
        '"crng reseeded" in the kernel\'s log': Shown(
            "yes" if modules.reseeds(vm) else "no", "yes" if generation else "no"
        ),
        "generation by read()": Shown(users.reader.wait(vm, event)["generation"], generation),
        "generation by poll()": Shown(users.poller.wait(vm, event)["generation"], generation),
        "generation in the mapped page": Shown(
            users.mapped.wait(vm, event)["generation"], generation
        ),
    }


def look_at_original(vm: Machine, users: Users) -> Column:
    """What there is to see before the snapshot."""
    column = look(vm, modules.ORIGINAL, "ready", users, 0)
    column["outdated watchers"] = Shown(users.control.wait(vm, "ready")["outdated"], 0)
    return column


def look_at_clone(vm: Machine, guid: str, users: Users) -> Column:
    """What a clone sees, while its watchers acknowledge one after the other."""
    column = look(vm, guid, "changed", users, 1)
    outdated = [users.control.wait(vm, "changed")["outdated"]]
    waited = []
    for watcher in (users.reader, users.poller):
        waited.append(users.control.events(vm)[-1].startswith("changed"))
        watcher.acknowledge(vm, 1)
        outdated.append(modules.status(vm).outdated)
    column["outdated watchers"] = Shown(_chain(outdated), _chain([2, 1, 0]))
    users.control.wait(vm, "adjusted generation=1 outdated=0")
    column["SYSGENID_WAIT_WATCHERS returned"] = Shown(
        "at 0 outdated" if all(waited) else "too early", "at 0 outdated"
    )
    return column


def _chain(numbers: list[int]) -> str:
    return " → ".join(map(str, numbers))


def add_random_numbers(columns: list[Column], clones: list[Machine]) -> None:
    """What getrandom() gives next in each clone: it has to differ."""
    drawn = [modules.draw(vm, 1)[0] for vm in clones]
    different = len(set(drawn)) == len(drawn)
    for column, value in zip(columns, drawn, strict=True):
        column["next getrandom()"] = Shown(value, value if different else "a value of its own")


def print_table(columns: dict[str, Column]) -> None:
    """One column for each machine; what a machine has not got stays empty."""
    rows = list(dict.fromkeys(label for column in columns.values() for label in column))
    print("\n" + " " * 38 + "".join(f"{title:16}" for title in columns))
    for row in rows:
        cells = (_shorten(column.get(row)) for column in columns.values())
        print(f"{row:38}" + "".join(f"{cell:16}" for cell in cells))
    print()


def _shorten(shown: Shown | None) -> str:
    text = "" if shown is None else str(shown.value)
    return text if len(text) < 15 else text[:8] + "…"


def wrong(columns: dict[str, Column]) -> list[str]:
    """A line for each value that is not what it must be."""
    return [
        f"{title}: {row}: {shown.value}, which should be {shown.expected}"
        for title, column in columns.items()
        for row, shown in column.items()
        if shown.value != shown.expected
    ]


def take_snapshot(columns: dict[str, Column], path: Path) -> tuple[Snapshot, Users]:
    """Everything up to the snapshot."""
    with contextlib.ExitStack() as stack:
        with step("boot a guest with a VMGENID device"):
            vm = stack.enter_context(Machine.boot(Spec(guid=modules.ORIGINAL), "demo"))
        with step("load the modules, start a reader, a poller, a mapper and a control plane"):
            modules.load(vm)
            users = Users.start(vm)
            columns["original"] = look_at_original(vm, users)
        with step("take a snapshot"):
            return vm.snapshot(path), users


def show(columns: dict[str, Column]) -> None:
    """Fills the table."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        snapshot, users = take_snapshot(columns, Path(folder, "snapshot"))
        with step("restore it twice, under two other IDs"):
            clones = [stack.enter_context(snapshot.restore(guid)) for guid in CLONES]
        with step("ask the clones"):
            for number, (vm, guid) in enumerate(zip(clones, CLONES, strict=True), 1):
                columns[f"clone {number}"] = look_at_clone(vm, guid, users)
            add_random_numbers(list(columns.values())[1:], clones)


def main() -> None:
    """Shows the table and judges it."""
    columns: dict[str, Column] = {}
    try:
        show(columns)
    except (GuestError, CommandFailed, TimeoutError) as error:
        sys.exit(f"\nFAILED: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print_table(columns)
    if errors := wrong(columns):
        sys.exit("\n".join(f"WRONG: {error}" for error in errors))
    print("Everything is as it must be: both clones know, and each draws its own random numbers.")


if __name__ == "__main__":
    main()
