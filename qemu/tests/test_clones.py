# SPDX-License-Identifier: GPL-2.0
"""Real snapshots, restored as real clones: who notices, and who must not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ids
import pytest
from conftest import Booted

import modules
from modules import Status, Watcher
from vm import Machine, Snapshot, Spec

ROLES = ("read", "poll", "mmap", "control")

# Beside the kernel's own VMGENID driver, and without it.
MODES = {"observer": "", "bound": modules.BOUND}


@dataclass(frozen=True)
class Watched:
    """A snapshot of a guest in which somebody uses the device in every way."""

    snapshot: Snapshot
    watchers: dict[str, Watcher]


@pytest.fixture(scope="module", params=list(MODES))
def watched(
    request: pytest.FixtureRequest, booted: Booted, folders: Callable[[str], Path]
) -> Watched:
    """Taken once for each mode, restored by each test."""
    mode = request.param
    with booted.guest(Spec(guid=ids.A, append=MODES[mode]), f"watched-{mode}") as machine:
        modules.load(machine)
        watchers = {role: Watcher.start(machine, role) for role in ROLES}
        path = folders("watched") / "snapshot"
        return Watched(machine.snapshot(path), watchers)


def wait_for_generation(vm: Machine, generation: int) -> None:
    """Waits until the clone knows; a later generation is an error."""
    deadline = time.monotonic() + 30
    while (seen := modules.status(vm).generation) != generation:
        assert seen < generation and time.monotonic() < deadline
        time.sleep(0.05)


def stays_at(vm: Machine, generation: int) -> bool:
    """Whether nothing more comes within a time in which it would have come."""
    time.sleep(1)
    return modules.status(vm).generation == generation


def test_two_clones_see_the_new_generation_by_every_route(watched: Watched) -> None:
    with watched.snapshot.restore(ids.B) as one, watched.snapshot.restore(ids.C) as two:
        for vm, guid in ((one, ids.B), (two, ids.C)):
            assert modules.hardware_id(vm) == modules.guid(vm) == guid
            for role in ("read", "poll", "mmap"):
                seen = watched.watchers[role].wait(vm, "changed")
                assert seen == {"generation": 1}, role
            seen = watched.watchers["control"].wait(vm, "changed")
            assert seen == {"generation": 1, "outdated": 2}
            assert modules.status(vm) == Status(generation=1, outdated=2)
            assert modules.reseeds(vm) >= 1
        # That they would share some without us is shown in test_race.py.
        assert not set(modules.draw(one, 200)) & set(modules.draw(two, 200))


def test_the_control_plane_waits_for_the_last_watcher(watched: Watched) -> None:
    with watched.snapshot.restore(ids.B) as vm:
        control = watched.watchers["control"]
        control.wait(vm, "changed")
        for left, role in ((1, "read"), (0, "poll")):
            time.sleep(0.3)
            assert control.events(vm)[-1] == "changed generation=1 outdated=2"
            watched.watchers[role].acknowledge(vm, 1)
            assert modules.status(vm).outdated == left
        assert control.wait(vm, "adjusted") == {"generation": 1, "outdated": 0}


def test_a_restore_under_the_same_id_changes_nothing(watched: Watched) -> None:
    with watched.snapshot.restore(ids.A) as vm:
        assert stays_at(vm, 0)
        assert modules.status(vm).outdated == 0
        assert modules.reseeds(vm) == 0
        for watcher in watched.watchers.values():
            assert len(watcher.events(vm)) == 1


def test_clones_of_clones_count_on(watched: Watched, tmp_path: Path) -> None:
    snapshot = watched.snapshot
    # The last but one is an ID that was there before, which makes it no less new.
    for generation, guid in enumerate((ids.B, ids.C, ids.B, ids.A), 1):
        with snapshot.restore(guid) as vm:
            wait_for_generation(vm, generation)
            assert watched.watchers["mmap"].wait(vm, f"changed generation={generation}")
            assert stays_at(vm, generation)
            snapshot = vm.snapshot(tmp_path / f"snapshot-{generation}")


def check_clone_made_while_away(
    watched: Watched,
    folder: Path,
    leave: Callable[[Machine], None],
    come_back: Callable[[Machine], None],
) -> None:
    """Nothing may be lost, nor come twice, if the source is away while a clone is made."""
    with watched.snapshot.restore(ids.A) as vm:
        leave(vm)
        snapshot = vm.snapshot(folder / "away")
    with snapshot.restore(ids.B) as vm:
        assert modules.hardware_id(vm) == ids.B
        assert stays_at(vm, 0)
        come_back(vm)
        wait_for_generation(vm, 1)
        assert watched.watchers["mmap"].wait(vm, "changed") == {"generation": 1}
        assert modules.reseeds(vm) >= 1
        assert stays_at(vm, 1)
        snapshot = vm.snapshot(folder / "back")
    with snapshot.restore(ids.C) as vm:
        wait_for_generation(vm, 2)
        assert stays_at(vm, 2)


def test_a_clone_made_while_the_source_was_unloaded_is_noticed(
    watched: Watched, tmp_path: Path
) -> None:
    check_clone_made_while_away(watched, tmp_path, modules.unload_source, modules.load_source)


# The kernel's own driver does not survive being unbound, so there is no such test beside it.
@pytest.mark.parametrize("watched", ["bound"], indirect=True)
def test_a_clone_made_while_the_device_was_unbound_is_noticed(
    watched: Watched, tmp_path: Path
) -> None:
    check_clone_made_while_away(watched, tmp_path, modules.unbind, modules.bind)


def test_a_source_that_was_away_without_a_clone_changes_nothing(watched: Watched) -> None:
    with watched.snapshot.restore(ids.A) as vm:
        modules.unload_source(vm)
        modules.load_source(vm)
        assert stays_at(vm, 0)
        assert modules.reseeds(vm) == 0
