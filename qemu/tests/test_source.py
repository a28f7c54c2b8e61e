# SPDX-License-Identifier: GPL-2.0
"""The interface in the kernel, with a source and a host of the tests' own."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import ids
import pytest
from conftest import Booted
from testmodules import (
    Source,
    change,
    generation,
    insmod,
    mix,
    parameter,
    report,
    reseed,
    restored,
)

import modules
from vm import CommandFailed, Machine, Spec

SUBSCRIBER = "sysgenid_subscriber"
PATIENCE = 20.0


@pytest.fixture
def guest(booted: Booted, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A guest with sysgenid.ko."""
    with booted.guest(Spec(), request.node.name) as vm:
        modules.load(vm, source=False)
        yield vm


@pytest.fixture
def source(guest: Machine) -> Source:
    """An attached source, which has mixed its first ID in."""
    source = Source(guest, ids.A)
    source.attach()
    source.wait_for_events([mix(ids.A)])
    source.set(events=0)
    return source


def test_a_change_is_reseeded_then_told_of_then_reported(guest: Machine, source: Source) -> None:
    assert modules.status(guest).generation == 0
    source.set_id(ids.B)
    assert source.events() == []
    assert modules.status(guest).generation == 1
    source.wait_for_events(change(ids.B, 1))
    source.set_id(ids.C)
    source.set(notify=1)
    source.wait_for_events(change(ids.B, 1) + change(ids.C, 2))
    assert source.get("hwid") == source.get("id")


def test_a_failed_reseed_does_not_keep_the_generation(guest: Machine, source: Source) -> None:
    source.set(reseed_error=-errno.ENODATA)
    source.set_id(ids.B)
    assert modules.status(guest).generation == 1
    source.wait_for_events([reseed(ids.B), generation(1), report(ids.B, -errno.ENODATA)])


def test_a_pending_change_is_processed_before_the_source_goes(
    guest: Machine, source: Source
) -> None:
    """Nobody asks the device: whoever has mapped it, or waits, is told all the same."""
    watchers = [modules.Watcher.start(guest, role) for role in ("mmap", "poll", "read")]
    source.set_id(ids.B)
    source.detach()
    assert source.events() == change(ids.B, 1)
    for watcher in watchers:
        assert watcher.wait(guest, "changed") == {"generation": 1}
    # It is behind a source that comes back, and is not processed twice.
    source.attach()
    source.wait_for_events([*change(ids.B, 1), mix(ids.B)])
    assert modules.status(guest).generation == 1


def test_a_source_that_has_gone_is_not_called(guest: Machine, source: Source) -> None:
    source.set(report_ms=1000)
    source.set_id(ids.B)
    assert modules.status(guest).generation == 1
    source.set_id(ids.C)
    source.detach()
    # All that was due has happened by now.
    assert source.events() == change(ids.B, 1) + change(ids.C, 2)
    guest.sh("sleep 2")
    assert source.events() == change(ids.B, 1) + change(ids.C, 2)
    assert source.get("wrong") == "0"


def test_a_source_may_be_unloaded_at_any_moment(guest: Machine, source: Source) -> None:
    for number in range(1, 6):
        source.set(report_ms=200)
        source.set_id(restored(ids.B, number))
        if number % 2:
            assert modules.status(guest).generation == number
        guest.sh(f"rmmod {Source.MODULE}")
        assert modules.status(guest).generation == number
        source = Source(guest, restored(ids.B, number))
        source.attach()
    guest.sh(f"rmmod {Source.MODULE} && rmmod sysgenid")


@pytest.mark.parametrize("times", [1, 3])
def test_a_snapshot_between_the_reseed_and_the_new_generation(
    times: int, guest: Machine, source: Source
) -> None:
    """Or its clones would publish the same generation with one state of the RNG."""
    watcher = modules.Watcher.start(guest, "mmap")
    source.set(restores=times)
    source.set_id(ids.B)
    assert modules.status(guest).generation == 1
    last = restored(ids.B, times)
    reseeds = [reseed(restored(ids.B, number)) for number in range(times + 1)]
    source.wait_for_events([*reseeds, generation(1), report(last)])
    assert modules.status(guest).generation == 1
    assert watcher.events(guest) == ["ready generation=0", "changed generation=1"]
    assert source.get("hwid") == source.get("id")


def test_an_id_that_never_rests_hangs_nobody(guest: Machine, source: Source) -> None:
    source.set(restores=-1)
    source.set_id(ids.B)
    before = modules.status(guest).generation
    assert before >= 1
    source.set(restores=0)
    after = modules.status(guest).generation
    assert before <= after <= before + 16
    assert modules.status(guest).generation == after
    assert source.get("hwid") == source.get("id")
    source.detach()
    assert source.get("wrong") == "0"


def test_the_id_is_never_a_mixture_of_two(guest: Machine, source: Source) -> None:
    source.set(look_for_ms=5000)
    assert int(source.get("changes")) > 20
    assert source.get("mixtures") == "0"


def test_there_is_one_source_at_a_time(booted: Booted) -> None:
    with booted.guest(Spec(guid=ids.A), "two-sources") as vm:
        modules.load(vm)
        source = Source(vm, ids.B)
        with pytest.raises(CommandFailed, match="[Bb]usy"):
            source.attach()
        modules.unload_source(vm)
        source.attach()
        assert modules.status(vm).generation == 1
        with pytest.raises(CommandFailed):
            modules.bind(vm)
        source.detach()
        assert modules.status(vm).generation == 1


# What a subscriber may do.

WAYS = {
    "opens the device": {"path": "/dev/sysgenid"},
    "opens another misc device": {"path": "/dev/cpu_dma_latency"},
    "registers a misc device": {"misc": 1},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_subscriber_may_use_misc_devices(way: str, guest: Machine, source: Source) -> None:
    """While the first open() after a clone runs the change that it is told of."""
    insmod(guest, SUBSCRIBER, **WAYS[way])
    source.set_id(ids.B)
    guest.sh("(: </dev/sysgenid; echo opened >opened) &")
    guest.wait_for("cat opened", "^opened$", PATIENCE)
    guest.wait_for(f"cat /sys/module/{SUBSCRIBER}/parameters/calls", "^1$", PATIENCE)
    assert parameter(guest, SUBSCRIBER, "failed") == "0"
    # Generation 1 was there for all by then.
    assert parameter(guest, SUBSCRIBER, "shown") == "1"
    source.wait_for_events(change(ids.B, 1))
    guest.sh(f"rmmod {SUBSCRIBER}")
