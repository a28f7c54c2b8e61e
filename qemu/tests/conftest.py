# SPDX-License-Identifier: GPL-2.0
"""Guests for the tests, each as good as freshly booted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from vm import Machine, Snapshot, Spec


class Booted:
    """Boots a guest of each kind once, and restores it from a snapshot from then on.

    That takes a tenth of the time, so that no two tests have to share a guest.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._snapshots: dict[Spec, Snapshot] = {}

    def guest(self, spec: Spec, name: str) -> Machine:
        """A guest in which nothing was done yet, under the ID that it was booted with."""
        if spec not in self._snapshots:
            path = self._folder / f"snapshot-{len(self._snapshots)}"
            with Machine.boot(spec, "booted") as vm:
                self._snapshots[spec] = vm.snapshot(path)
        return self._snapshots[spec].restore(spec.guid, name=name)


@pytest.fixture(scope="session")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Booted:
    """For fixtures that are not a single test's."""
    return Booted(tmp_path_factory.mktemp("booted"))


@pytest.fixture
def fresh(booted: Booted, request: pytest.FixtureRequest) -> Callable[[Spec], Machine]:
    """Gives guests whose logs are named after the test."""
    name = re.sub(r"[^\w.]+", "-", request.node.name).strip("-")
    return lambda spec: booted.guest(spec, name)
