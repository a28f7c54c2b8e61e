# SPDX-License-Identifier: GPL-2.0
"""That the benchmark measures, and the two of its figures that must never change."""

from __future__ import annotations

import io

import pytest

import bench
import counting

TRIGGERS = [f"trigger, {count} tracked" for count in (1, 10, 100, 1000, 10_000)]

# What an unmapping frees is freed later, at a time that is not counted.
FREED_LATER = 5


@pytest.fixture(scope="module")
def runs() -> list[dict[str, int]]:
    return [counting.uses("observer") for _ in range(2)]


def test_the_figures_come_out_the_same_again(runs: list[dict[str, int]]) -> None:
    one, two = runs
    assert one.keys() == two.keys()
    for name, figure in one.items():
        assert abs(two[name] - figure) <= (FREED_LATER if "mmap" in name else 0), name


def test_each_use_has_a_figure(runs: list[dict[str, int]]) -> None:
    assert set(bench.C_FIGURES) < set(runs[0])
    assert all(figure > 0 for figure in runs[0].values())


def test_a_trigger_does_not_take_longer_for_idle_descriptors(runs: list[dict[str, int]]) -> None:
    assert len({runs[0][name] for name in TRIGGERS}) == 1


def test_waking_is_measured() -> None:
    cases = [(way, count) for way in bench.WAYS for count in (1, 10)]
    results = list(counting.wakes("observer", cases))
    for figures in results:
        assert 0 < figures["trigger"] < figures["settled"]
        assert figures["delay"] > 0
    for few, many in (results[:2], results[2:]):
        assert few["settled"] < many["settled"]


def test_a_restore_is_measured() -> None:
    (figure,) = counting.restores("bound", "watchers", 1)
    assert figure > 0


def test_sizes_are_measured() -> None:
    assert counting.descriptor_size("/dev/sysgenid")["filp"] > 0
    for module in counting.MODULES:
        assert counting.module_sizes(module)[".text"] > 0


def test_a_table_is_printed_and_written(capsys: pytest.CaptureFixture[str]) -> None:
    file = io.StringIO()
    table = bench.Table(file, "bytes", ("one", "two"))
    table.row("text", 1234.4, None)
    assert capsys.readouterr().out.split() == ["bytes", "one", "two", "text", "1,234", "-"]
    assert file.getvalue().split() == ["bytes,one,two", "text,1234,"]
