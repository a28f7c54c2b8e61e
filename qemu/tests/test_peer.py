# SPDX-License-Identifier: GPL-2.0
"""That the device in C is one: it passes the kselftests, as far as it has what they test.

Else the benchmark would compare with something that costs less because it does less.
"""

from __future__ import annotations

from collections.abc import Callable

import kselftest
import pytest
from kselftest import Run

import modules
from vm import Machine, Spec

# It has neither attributes in sysfs and lines in fdinfo, nor uevents; and readv() of several
# segments is as many calls.
WITHOUT = {"device", "uevent", "vectored"}


def programs() -> list[str]:
    """Those that the device in C is to pass, as programs of 64 and of 32 bits."""
    names = [name for name in kselftest.programs() if not kselftest.reloads(name)]
    return [name for name in names if name.removesuffix("_32") not in WITHOUT]


@pytest.fixture
def vm(fresh: Callable[[Spec], Machine]) -> Machine:
    return fresh(Spec())


def test_the_device_in_c_passes_the_kselftests(vm: Machine) -> None:
    with vm:
        modules.load_peer(vm)
        run = Run(vm, programs())
        for program in programs():
            report = run.report(program)
            assert report.results.keys() == set(kselftest.tests(program)), report.output
            for name, result in report.results.items():
                assert result.passed and not result.directive, (program, name, result.details)


def test_both_devices_can_be_there_at_once(vm: Machine) -> None:
    with vm:
        modules.load(vm, source=False)
        vm.sh("insmod /modules/sysgenid_peer.ko")
        vm.sh("[ -c /dev/sysgenid ] && [ -c /dev/sysgenid_peer ]")
        modules.unload_peer(vm)
        vm.sh("[ -c /dev/sysgenid ] && [ ! -e /dev/sysgenid_peer ]")


def test_an_open_device_in_c_keeps_its_module(vm: Machine) -> None:
    with vm:
        modules.load_peer(vm)
        vm.sh("exec 5</dev/sysgenid; ! rmmod sysgenid_peer && [ -c /dev/sysgenid ]")
        modules.unload_peer(vm)
