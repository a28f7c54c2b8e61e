# SPDX-License-Identifier: GPL-2.0
"""The demo must be able to fail."""

from __future__ import annotations

import demo
import pytest
from demo import Shown

import modules


def test_the_demo_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    demo.main()
    output = capsys.readouterr().out
    assert "Everything is as it must be" in output
    assert output.count("2 → 1 → 0") == len(demo.CLONES)


def test_a_wrong_value_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {"original": {"generation": Shown(0, 0)}, "clone 1": {"generation": Shown(0, 1)}}
    monkeypatch.setattr(demo, "show", lambda shown: shown.update(columns))
    with pytest.raises(SystemExit) as end:
        demo.main()
    assert end.value.code == "WRONG: clone 1: generation: 0, which should be 1"
    assert "Everything is as it must be" not in capsys.readouterr().out


def test_a_missing_source_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "load_source", lambda vm: None)
    with pytest.raises(SystemExit, match="FAILED: `cat .*/guid` ended with status 1"):
        demo.main()
