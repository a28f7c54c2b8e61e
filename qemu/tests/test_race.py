# SPDX-License-Identifier: GPL-2.0
"""The race between a restore and who notices it; `make clones` runs it at length."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

import pytest

import race
from race import Setting

PAIRS = 2


@pytest.mark.parametrize("way", ["call", "page"])
@pytest.mark.parametrize("mode", ["observer", "bound"])
def test_clones_share_nothing_that_was_found_fit_for_use(mode: str, way: str) -> None:
    for pair in race.pairs(Setting(mode, way), PAIRS):
        assert pair.kept > race.TURNS[way]
        assert pair.shared == 0
        assert pair.stale == 0


def test_clones_of_the_stock_kernel_do_share() -> None:
    # Or the test above would show nothing. A single pair may be lucky.
    assert any(pair.shared for pair in race.pairs(Setting("kernel", "getrandom"), 10))


def test_what_the_record_has_lost_is_missed() -> None:
    record = race.Record(race.DRAWS + 1, bytes(race.RECORD_SIZE))
    assert len(list(record.draws(1))) == race.DRAWS
    with pytest.raises(race.RecordOverrun):
        list(record.draws(0))


def test_a_snapshot_is_cloned_again_if_a_record_was_overrun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clones = iter([race.RecordOverrun(), race.Clone([], 1), race.Clone([], 2)])

    def run_clone(*_: object) -> race.Clone:
        clone = next(clones)
        if isinstance(clone, Exception):
            raise clone
        return clone

    monkeypatch.setattr(race, "run_clone", run_clone)
    snapshot = MagicMock()
    pair, _ = race._pair(Setting("kernel", "getrandom"), snapshot, [], tmp_path)
    assert (pair.one.old_generation, pair.two.old_generation) == (1, 2)
    assert snapshot.restore.call_count == 3
