# SPDX-License-Identifier: GPL-2.0
"""The race between a restore and who notices it; `make clones` runs it at length."""

from __future__ import annotations

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
    assert any(pair.shared for pair in race.pairs(Setting("kernel", "none"), 10))
