# SPDX-License-Identifier: GPL-2.0
"""The programs of tests/kselftest in guests: what they consist of and what they said."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from vm import ARM64, CACHE, RELEASE, GuestError, Machine

PROGRAMS = CACHE / "build" / RELEASE / "kselftest"
# The same, to be run here.
NATIVE = PROGRAMS.with_name("kselftest-native") if ARM64 else PROGRAMS
SOURCES = Path(__file__).parents[2] / "tests/kselftest"
PROGRAM_TIME = 300.0
KSFT_SKIP = 4

_RESULT = re.compile(r"(not )?ok \d+ (\S+)(?: # (\S+) ?(.*))?")
_PLAN = re.compile(r"1\.\.(\d+)")


def programs() -> list[str]:
    """All that were built. None at all is an error, not an empty success."""
    names = sorted(path.name for path in PROGRAMS.iterdir() if path.stat().st_mode & 0o100)
    if not names:
        raise FileNotFoundError(f"no programs in {PROGRAMS}: run `make guest` first")
    return [name for name in names if "." not in name]


def reloads(program: str) -> bool:
    """Whether a program (un)loads sysgenid.ko itself. Its first lines say so."""
    return "SYSGENID_KO" in (SOURCES / f"{program.removesuffix('_32')}.c").read_text()


def tests(program: str) -> list[str]:
    """The names of a program's tests, FIXTURE.TEST or FIXTURE.VARIANT.TEST.

    The harness lists a fixture's variants and tests side by side, in columns;
    each variant goes with each test.
    """
    # The harness reports a listing as a skipped run.
    listing = subprocess.run([NATIVE / program, "-l"], capture_output=True, text=True)
    if listing.returncode != KSFT_SKIP:
        raise RuntimeError(f"{program} -l ended with status {listing.returncode}")
    names = []
    for fixture in re.split(r"^-+\n", listing.stderr.partition("\n")[2], flags=re.MULTILINE):
        rows = [(row[:20], row[21:46], row[47:]) for row in fixture.splitlines()]
        (name, *_), variants, cases = ([cell.strip() for cell in column] for column in zip(*rows))
        for variant in [v for v in variants if v] or [""]:
            names += [".".join(filter(None, (name, variant, case))) for case in cases if case]
    return names


@dataclass
class Result:
    """What a program said of one test."""

    passed: bool
    directive: str
    reason: str
    details: str


@dataclass
class Report:
    """What a program said altogether."""

    status: int
    output: str
    planned: int = -1
    results: dict[str, Result] = field(default_factory=dict)

    def __post_init__(self) -> None:
        details: list[str] = []
        for line in self.output.splitlines():
            if match := _RESULT.fullmatch(line):
                failed, name, directive, reason = match.groups()
                result = Result(not failed, directive or "", reason or "", "\n".join(details))
                self.results[name] = result
                details = []
            elif match := _PLAN.fullmatch(line):
                self.planned = int(match[1])
            else:
                details.append(line)


class Run:
    """Programs that run one after the other in the background of a guest.

    Guests with a run each keep each other's waiting times from adding up.
    """

    def __init__(self, vm: Machine, names: list[str]) -> None:
        self._vm = vm
        self._reports: dict[str, Report] = {}
        self._lost = ""
        command = "/kselftest/$name >/tmp/$name.tap 2>&1; echo $? >/tmp/$name.status"
        vm.sh(f"(for name in {' '.join(names)}; do {command}; done) &")

    def report(self, program: str) -> Report:
        """Waits for a program's end. With a lost guest all later ones are lost at once."""
        if program not in self._reports:
            if self._lost:
                raise GuestError(self._lost)
            try:
                status = int(
                    self._vm.wait_for(f"cat /tmp/{program}.status", r"^\d+$", PROGRAM_TIME)[0]
                )
                output = self._vm.sh(f"cat /tmp/{program}.tap")
            except (GuestError, TimeoutError):
                self._lost = f"the guest was lost while {program} was to run"
                raise
            self._reports[program] = Report(status, output)
        return self._reports[program]
