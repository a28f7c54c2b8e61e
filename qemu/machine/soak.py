#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Random use of the device for a long time, while the guest is cloned again and again.

usage: soak.py [MINUTES] [SEED]

qemu/guest/soak.c says what is done in the guest, and what is checked there with each call. This is
the host's part: at random moments it takes a snapshot and restores it under another ID, and each
clone goes on. At times all are quiet; then the generation has to be the number of clones and of
triggers. The seed makes the same choices again, as far as the host lets them be the same.

On a kernel that can let allocations fail, some do.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import modules
from vm import HERE, OPTIONS, Machine, Snapshot, Spec

# What the source does meanwhile, in which mode.
SETTINGS = {
    "observer": "",
    "bound": "",
    "observer, and the source comes and goes": "unload",
    "bound, and the source comes and goes": f"unbind {modules.NAME}",
}

# Where the kernel has the means, one of so many allocations fails. The last lets them.
FAILING = {"verbose": 0, "task-filter": "Y", "interval": 1, "times": -1, "probability": 3}
CAN_FAIL = "FAILSLAB" in OPTIONS

# How long a clone goes on, in seconds, and how often all are quiet.
LEAST_TIME, MOST_TIME = 0.05, 2.0
QUIET_EACH = 5

WAIT = 120.0


@dataclass
class Result:
    """What a setting has come to."""

    clones: int
    triggers: int
    calls: int


class Soak:
    """One setting: a guest in which everything is done, and its clones."""

    def __init__(self, setting: str, seed: int, folder: Path) -> None:
        self._setting = setting
        self._random = random.Random(seed)
        self._path = folder / "snapshot"
        self._clones = 0
        mode = setting.partition(",")[0]
        append = modules.BOUND if mode == "bound" else ""
        spec = Spec(guid=self._guid(), append=append, memory="512M")
        with Machine.boot(spec, f"soak-{mode}") as vm:
            modules.load(vm)
            if CAN_FAIL:
                let_allocations_fail(vm)
            words = f"{seed} {'fail' if CAN_FAIL else ''} {SETTINGS[setting]}"
            vm.sh(f"/guest/soak {words} >/tmp/soak 2>&1 &")
            vm.wait_for("cat /tmp/soak", "^running$")
            self._snapshot: Snapshot = vm.snapshot(self._path)

    def _guid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def run(self, seconds: float) -> Result:
        """Clones clones for so long."""
        end = time.monotonic() + seconds
        while True:
            self._clones += 1
            is_last = time.monotonic() > end
            with self._snapshot.restore(self._guid(), name=f"soak-clone-{self._clones}") as vm:
                time.sleep(self._random.uniform(LEAST_TIME, MOST_TIME) * HERE.slowness)
                if self._clones % QUIET_EACH == 0 or is_last:
                    quiet = self._be_quiet(vm, "TERM" if is_last else "USR1")
                    if quiet["generation"] != self._clones + quiet["triggers"]:
                        raise AssertionError(
                            f"generation {quiet['generation']} after {self._clones} clones and "
                            f"{quiet['triggers']} triggers"
                        )
                else:
                    # A clone whose ID nobody has seen is none.
                    self._ask(vm)
                if is_last:
                    return Result(self._clones, quiet["triggers"], quiet["calls"])
                self._snapshot = vm.snapshot(self._path)

    def _ask(self, vm: Machine) -> None:
        """Makes sure that the change is processed, however late the source comes back."""
        self._check(vm)
        vm.wait_for("cat /sys/class/misc/sysgenid/source", f"^{modules.NAME}$", WAIT)

    def _be_quiet(self, vm: Machine, signal: str) -> dict[str, int]:
        """Lets all be quiet, and returns what the guest says of that moment."""
        before = len(self._said(vm))
        vm.sh(f"kill -{signal} $(pidof soak | tr ' ' '\\n' | sort -n | head -n 1)")
        deadline = time.monotonic() + WAIT * HERE.slowness
        while len(said := self._said(vm)) == before:
            self._check(vm)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{vm.name}: the guest does not get quiet")
            time.sleep(0.1)
        return said[before]

    def _said(self, vm: Machine) -> list[dict[str, int]]:
        lines = re.findall("^quiet (.*)$", vm.sh("cat /tmp/soak"), re.MULTILINE)
        return [
            {name: int(value) for name, value in (word.split("=") for word in line.split())}
            for line in lines
        ]

    @staticmethod
    def _check(vm: Machine) -> None:
        output = vm.sh("grep -v '^quiet' /tmp/soak")
        if not re.fullmatch(r"running\n(done calls=\d+\n)?", output):
            raise AssertionError(f"{vm.name}: {output}")


def let_allocations_fail(vm: Machine) -> None:
    """Prepares the failing of allocations, in those tasks that ask for it."""
    vm.sh("mount -t debugfs debugfs /sys/kernel/debug")
    for name, value in FAILING.items():
        vm.sh(f"echo {value} >/sys/kernel/debug/failslab/{name}")


def run(setting: str, seed: int, seconds: float) -> Result:
    """Soaks in one setting."""
    with tempfile.TemporaryDirectory() as folder:
        return Soak(setting, seed, Path(folder)).run(seconds)


def results(minutes: float, seed: int) -> Iterator[tuple[str, Result]]:
    """Soaks in all settings, for a part of the time each."""
    for number, setting in enumerate(SETTINGS):
        yield setting, run(setting, seed + number, minutes * 60 / len(SETTINGS))


def main() -> None:
    """Soaks, and says what was done."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print(f"seed {seed}; {minutes:g} minutes", flush=True)
    for setting, result in results(minutes, seed):
        print(
            f"{setting:42}{result.clones:6,} clones{result.triggers:8,} triggers"
            f"{result.calls:14,} calls: nothing wrong",
            flush=True,
        )


if __name__ == "__main__":
    main()
