# SPDX-License-Identifier: GPL-2.0
"""Guests for the tests, each as good as freshly booted."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import debian
import skips
from vm import RELEASE, Machine, Snapshot, Spec

# Each takes 150 MB, for the most part in memory.
MOST_SNAPSHOTS = 8


class Booted:
    """Boots a guest of each kind once, and restores it from a snapshot from then on.

    That takes a tenth of the time, so that no two tests have to share a guest.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._snapshots: dict[Spec, Snapshot] = {}
        self._booted = 0

    def guest(self, spec: Spec, name: str) -> Machine:
        """A guest in which nothing was done yet, under the ID that it was booted with."""
        snapshot = self._snapshots.pop(spec, None) or self._boot(spec)
        # The last one is the one that was used last.
        self._snapshots[spec] = snapshot
        return snapshot.restore(spec.guid, name=name)

    def _boot(self, spec: Spec) -> Snapshot:
        if len(self._snapshots) == MOST_SNAPSHOTS:
            oldest = next(iter(self._snapshots))
            self._snapshots.pop(oldest).path.unlink()
        self._booted += 1
        with Machine.boot(spec, "booted") as vm:
            return vm.snapshot(self._folder / f"snapshot-{self._booted}")


@pytest.fixture(scope="session")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Booted:
    """For fixtures that are not a single test's."""
    return Booted(tmp_path_factory.mktemp("booted"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Makes folders for fixtures of a whole file. They go with it, as snapshots are large."""
    made: list[Path] = []

    def make(name: str) -> Path:
        made.append(tmp_path_factory.mktemp(name))
        return made[-1]

    yield make
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture
def fresh(booted: Booted, request: pytest.FixtureRequest) -> Callable[[Spec], Machine]:
    """Gives guests whose logs are named after the test."""
    name = re.sub(r"[^\w.]+", "-", request.node.name).strip("-")
    return lambda spec: booted.guest(spec, name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what the guests' kernel cannot run."""
    for item in items:
        # Of the node's ID, what is in brackets may have a slash too.
        if reason := skips.reason(f"{item.path.name}::{item.name}"):
            item.add_marker(pytest.mark.skip(reason=reason))


class Systems:
    """Debian systems for tests of the packages, each made when it is first wanted."""

    def __init__(self) -> None:
        self._clean: debian.System | None = None
        self._installed: debian.System | None = None
        # The contents of a system with a kernel, before our packages come.
        self.before: dict[str, str] = {}

    def clean(self) -> debian.System:
        """A system without a kernel, only to be copied."""
        self._clean = self._clean or debian.System.make("clean")
        return self._clean

    def installed(self) -> debian.System:
        """A system with a kernel and our packages, after nothing but apt-get install."""
        if not self._installed:
            system = self.clean().copy("installed")
            system.sh(f"{debian.INSTALL} -t trixie-backports linux-image-{RELEASE}")
            system.give_packages()
            self.before = system.contents()
            system.sh(
                f"cd /root/packages && {debian.INSTALL} ./sysgenid_*.deb"
                f" ./libsysgenid-dev_*.deb ./sysgenid-modules-{RELEASE}_*.deb"
            )
            self._installed = system
        return self._installed

    def remove(self) -> None:
        """Takes them away, and what tests that failed have left."""
        debian.run("rm", "-rf", "--one-file-system", debian.SYSTEMS)


@pytest.fixture(scope="session")
def systems() -> Iterator[Systems]:
    """Systems for the whole run, as it takes minutes to make one."""
    made = Systems()
    yield made
    made.remove()
