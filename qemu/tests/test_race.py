# SPDX-License-Identifier: GPL-2.0
"""The race between a restore and who notices it; `make clones` runs it at length."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

import pytest

import clones
import race
from clones import Outcome, Row
from conftest import Booted
from race import Clone, Draw, Pair, Setting, Times

PAIRS = 2

# Less than `make clones` looks at: the first ones matter.
TURNS = 10_000

NO_TIME = Times([0.0, 0.0], [0.0, 0.0])


@pytest.mark.parametrize("way", ["call", "page"])
@pytest.mark.parametrize("mode", ["observer", "bound"])
def test_clones_share_nothing_that_was_found_fit_for_use(
    booted: Booted, mode: str, way: str
) -> None:
    for pair in race.pairs(Setting(mode, way), PAIRS, TURNS, booted.guest):
        assert min(len(pair.one.all_kept()), len(pair.two.all_kept())) > TURNS
        assert pair.shared == 0
        assert pair.stale == 0


@pytest.mark.parametrize(("way", "smp"), [("getrandom", 2), ("awslc", 2), ("awslc", 1)])
def test_clones_of_the_stock_kernel_do_share(booted: Booted, way: str, smp: int) -> None:
    # Or the tests here would show nothing. A single pair may be lucky.
    pairs = race.pairs(Setting("kernel", way, smp), 10, TURNS, booted.guest)
    assert any(pair.shared for pair in pairs)


@pytest.mark.parametrize("way", ["getrandom", "word", "awslc"])
@pytest.mark.parametrize("mode", ["observer", "bound"])
def test_one_processor_shares_nothing(booted: Booted, mode: str, way: str) -> None:
    # The interrupt is there before the first instruction.
    for pair in race.pairs(Setting(mode, way, smp=1), PAIRS, TURNS, booted.guest):
        assert pair.shared == 0


@pytest.mark.parametrize(("mode", "way"), [("observer", "getrandom"), ("bound", "awslc")])
def test_the_processor_that_takes_the_interrupt_shares_nothing(
    booted: Booted, mode: str, way: str
) -> None:
    # Of two, what the other one shares depends on the host.
    for pair in race.pairs(Setting(mode, way), PAIRS, TURNS, booted.guest):
        (cpu,) = (cpu for cpu, count in enumerate(pair.interrupts) if count)
        assert not pair.two.kept(cpu) & pair.one.all_kept()


def test_aws_lc_does_without_the_modules_where_there_is_rdrand(booted: Booted) -> None:
    # Which is why the other tests take that away.
    for pair in race.pairs(Setting("kernel", "awslc", rdrand=True), PAIRS, TURNS, booted.guest):
        assert pair.shared == 0


def test_a_draw_in_which_aws_lc_aborts_gives_nothing_and_the_next_thread_goes_on(
    booted: Booted,
) -> None:
    pairs = list(race.pairs(Setting("observer", "awslc"), PAIRS, TURNS, booted.guest))
    assert sum(pair.discarded for pair in pairs) > 0
    for clone in (clone for pair in pairs for clone in (pair.one, pair.two)):
        assert [len(draws) for draws in clone.drawn] == [TURNS] * 2
        aborted = [draw for draws in clone.drawn for draw in draws if not draw.kept]
        assert all(draw.value == 0 and draw.before < draw.after for draw in aborted)


def test_what_the_record_has_lost_is_missed() -> None:
    record = race.Record(race.DRAWS + 1, bytes(race.RECORD_SIZE))
    assert len(list(record.draws(1))) == race.DRAWS
    with pytest.raises(race.RecordOverrun):
        list(record.draws(0))


def test_a_snapshot_is_cloned_again_if_a_record_was_overrun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clones = iter([race.RecordOverrun(), clone([], generation=1), clone([], generation=2)])

    def run_clone(*_: object) -> Clone:
        clone = next(clones)
        if isinstance(clone, Exception):
            raise clone
        return clone

    monkeypatch.setattr(race, "run_clone", run_clone)
    monkeypatch.setattr(race, "read_interrupts", lambda _: [0, 1])
    snapshot = MagicMock()
    one, two, *_ = race._pair(Setting("kernel", "getrandom"), snapshot, [], tmp_path, 1)
    assert (one.old_generation, two.old_generation) == (1, 2)
    assert snapshot.restore.call_count == 3


def clone(*drawn: list[Draw], generation: int = 0) -> Clone:
    """A clone whose processors have drawn that."""
    return Clone(list(drawn), generation, 0, NO_TIME, NO_TIME)


def pair(one: list[list[int]], two: list[list[int]], stale: int = 0) -> Pair:
    """A pair whose processors have drawn and kept these values; in so many turns stale."""
    draws = [
        [[Draw(value, before=2, after=2, kept=True) for value in values] for values in threads]
        for threads in (one, two)
    ]
    draws[0][0] += [Draw(0, before=1, after=2, kept=False)] * stale
    return Pair(*(clone(*threads, generation=1) for threads in draws), interrupts=[0, 1])


def test_a_shared_value_belongs_to_the_processor_that_drew_it() -> None:
    shared = pair([[1, 2, 3], [4, 5]], [[6, 5], [2, 7]])
    assert shared.shared_on == [1, 1]
    assert shared.shared == 2
    assert pair([[1], [2]], [[3], [4]]).shared == 0


def test_a_value_that_was_not_kept_is_not_shared() -> None:
    discarded = clone([Draw(1, 0, 1, kept=False)], [])
    kept = clone([Draw(1, 0, 0, kept=True)], [])
    assert Pair(discarded, kept, [0, 1]).shared == 0
    assert Pair(kept, kept, [0, 1]).shared == 1


def test_rows_are_chosen_by_their_words() -> None:
    assert clones.chosen([]) == race.SETTINGS
    assert clones.chosen(["awslc-kernel-2"]) == [Setting("kernel", "awslc", 2)]
    names = [setting.name for setting in clones.chosen(["1-awslc", "call"])]
    assert names == [
        *("awslc-kernel-1", "awslc-observer-1", "awslc-bound-1"),
        *("call-observer-2", "call-bound-2"),
    ]
    with pytest.raises(SystemExit, match="no row is called 2-bench"):
        clones.chosen(["2-bench"])


def row(way: str, mode: str, smp: int, shared: list[int], stale: int = 0) -> Row:
    """A row whose pairs share so many values."""
    pairs = [pair([list(range(n)), []], [list(range(n)), []], stale) for n in shared]
    return Row(Setting(mode, way, smp), [Outcome.of(pair) for pair in pairs])


@pytest.mark.parametrize(
    ("shared", "met"),
    [
        # median 0, enough pairs share nothing, all together share little
        ([0] * 20, [True, True, True]),
        ([0] * 18 + [4, 5], [True, True, True]),
        ([0] * 18 + [5, 5], [True, True, False]),
        ([0] * 17 + [1, 1, 1], [True, False, True]),
        ([0] * 9 + [1] * 11, [False, False, False]),
    ],
)
def test_two_busy_processors_have_three_goals(
    monkeypatch: pytest.MonkeyPatch, shared: list[int], met: list[bool]
) -> None:
    monkeypatch.setattr(Row, "waited", 0.0)
    kernel = row("getrandom", "kernel", 2, [500] * 20)
    judged = list(clones.goals([kernel, row("word", "bound", 2, shared)]))
    assert [goal.met for goal in judged] == met
    assert all(goal.row.setting.way == "word" for goal in judged)


def test_nothing_is_said_of_what_was_not_run() -> None:
    (*_, goal) = clones.goals([row("getrandom", "observer", 2, [0, 0])])
    assert goal.met is None


@pytest.mark.parametrize(
    ("way", "smp", "shared", "stale", "met"),
    [
        ("getrandom", 1, 0, 0, True),
        ("word", 1, 1, 0, False),
        ("page", 2, 0, 0, True),
        ("page", 2, 1, 0, False),
        ("call", 2, 0, 1, False),
    ],
)
def test_others_have_to_share_nothing(
    way: str, smp: int, shared: int, stale: int, met: bool
) -> None:
    (goal,) = clones.goals([row(way, "observer", smp, [shared], stale)])
    assert goal.met is met
