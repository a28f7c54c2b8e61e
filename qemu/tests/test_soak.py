# SPDX-License-Identifier: GPL-2.0
"""A short soak in each setting; `make soak` has more time."""

from __future__ import annotations

import pytest

import soak

SECONDS = 10.0
SEED = 1


@pytest.mark.parametrize("setting", soak.SETTINGS)
def test_nothing_goes_wrong(setting: str) -> None:
    result = soak.run(setting, SEED, SECONDS)
    assert result.clones > 1
    assert result.triggers > 0
    assert result.calls > 10_000
