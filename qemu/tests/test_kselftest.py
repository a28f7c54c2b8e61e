# SPDX-License-Identifier: GPL-2.0
"""Every test of every program in tests/kselftest, run in guests.

The programs run twice: with sysgenid.ko alone, and, as far as they do not
load it themselves, with a source that observes a real VMGENID.

Those that load it have a guest each: kernels that look for errors take seconds
each time, which they sleep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import ids
import kselftest
import pytest
from _pytest.mark import ParameterSet
from conftest import Booted
from kselftest import Report, Run

import modules
from vm import OPTIONS, Spec

SETTINGS = ("alone", "source")
GetReport = Callable[[str, str], Report]


def programs(setting: str) -> list[str]:
    """What runs in a setting. Nothing at all is an error, not an empty success."""
    found = [p for p in kselftest.programs() if setting == "alone" or not kselftest.reloads(p)]
    assert found, f"no programs for the setting {setting!r}: run `make guest` first"
    return found


def names(setting: str, program: str) -> list[str]:
    """Which of a program's tests count in a setting."""
    listed = kselftest.tests(program)
    return [n for n in listed if setting == "alone" or not n.startswith("no_source.")]


def hindrance(program: str) -> str | None:
    """Why the guests' kernel cannot run a program, if so."""
    if modules.BUILT_IN and kselftest.reloads(program):
        return "reloads the module, which is built in"
    if "COMPAT" not in OPTIONS and program.endswith("_32"):
        return "is a program of 32 bits, which this kernel does not run"
    return None


def marked(case: tuple[str, ...]) -> ParameterSet:
    """An item, skipped if its program cannot run."""
    reason = hindrance(case[1])
    return pytest.param(*case, marks=[pytest.mark.skip(reason=reason)] if reason else [])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One item for each program, and one for each of its tests."""
    runs = [(setting, program) for setting in SETTINGS for program in programs(setting)]
    if "name" in metafunc.fixturenames:
        cases = [(s, p, name) for s, p in runs for name in names(s, p)]
        metafunc.parametrize(("setting", "program", "name"), map(marked, cases))
    elif "program" in metafunc.fixturenames:
        metafunc.parametrize(("setting", "program"), map(marked, runs))


def guests(items: list[pytest.Item]) -> dict[tuple[str, str], list[str]]:
    """What runs in each guest, one after the other, of the programs that these items are about.

    Guests are told apart by a setting and the program that has one for itself, if so.
    """
    found: dict[tuple[str, str], list[str]] = {}
    cases = [item.callspec.params for item in items if isinstance(item, pytest.Function)]
    for setting, program in dict.fromkeys((case["setting"], case["program"]) for case in cases):
        if not hindrance(program):
            own = program if kselftest.reloads(program) else ""
            found.setdefault((setting, own), []).append(program)
    return found


@pytest.fixture(scope="module")
def report(booted: Booted, request: pytest.FixtureRequest) -> Iterator[GetReport]:
    """Gives the report of a program in a setting, as soon as it is there."""
    runs: dict[tuple[str, str], Run] = {}
    items = [item for item in request.session.items if item.path == request.path]
    with ExitStack() as stack:
        for (setting, own), together in guests(items).items():
            has_source = setting == "source"
            spec = Spec(guid=ids.A) if has_source else Spec()
            name = "-".join(filter(None, ("kselftest", setting, own)))
            vm = stack.enter_context(booted.guest(spec, name))
            modules.load(vm, source=has_source)
            run = Run(vm, together)
            runs |= {(setting, program): run for program in together}
        yield lambda setting, program: runs[setting, program].report(program)


def test_the_program_comes_to_its_end(report: GetReport, setting: str, program: str) -> None:
    """A crash, or a test that went missing or that nobody knew of, must not go unnoticed."""
    done = report(setting, program)
    assert sorted(done.results) == sorted(kselftest.tests(program)), done.output
    assert done.planned == len(done.results)
    failed = [name for name, result in done.results.items() if not result.passed]
    assert done.status == (1 if failed else 0)


def test_kselftest(report: GetReport, setting: str, program: str, name: str) -> None:
    """What the program said of this test."""
    result = report(setting, program).results.get(name)
    assert result, "the program has not reported on this test"
    if result.directive == "SKIP":
        pytest.skip(result.reason)
    assert result.passed and not result.directive, result.details
