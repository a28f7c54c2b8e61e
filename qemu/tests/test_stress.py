# SPDX-License-Identifier: GPL-2.0
"""Programs that do with the device whatever they can, as an ordinary user.

stress-ng does what it does with any device; trinity makes system calls at
random, on descriptors of this one. SYSGENID_STRESS_SECONDS=3600 takes longer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import ids
import kselftest
import overlay
import pytest

import modules
from vm import HERE, Machine, Spec

SECONDS = int(os.environ.get("SYSGENID_STRESS_SECONDS", "20"))
# They end by themselves, which takes a guest that checks all it does a while.
PATIENCE = SECONDS + 240.0

PROGRAMS = ("/usr/bin/setpriv", "/usr/bin/stress-ng", "/usr/bin/trinity")
NOBODY = "/usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups"
STRESS_NG = f"/usr/bin/stress-ng --dev 2 --dev-file /dev/sysgenid --timeout {SECONDS}s"
# What ends it are errors of the kernel, not all that taints one.
TRINITY = (
    f"timeout -s INT {SECONDS} /usr/bin/trinity -q -l off -C 2 -T DIE,WARN,BAD_PAGE"
    " --enable-fds=pseudo -V /dev/sysgenid"
)
MISC = "/sys/class/misc/sysgenid"


@pytest.fixture(scope="module")
def programs(folders: Callable[[str], Path]) -> tuple[str, ...]:
    """QEMU's arguments for a guest that has these programs."""
    folder = folders("stress") / "stress"
    for program in PROGRAMS:
        overlay.add_program(folder, program)
    return overlay.arguments(folder)


@pytest.fixture
def guest(programs: tuple[str, ...], request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A guest in which each descriptor counts, and a program maps the device."""
    spec = Spec(guid=ids.A, memory="1G", extra=programs)
    with Machine.boot(spec, request.node.name) as vm:
        modules.load(vm, parameters="track=2")
        yield vm


def run(vm: Machine, command: str) -> str:
    """Runs a program as nobody, in a folder of its own. Returns what it has said."""
    vm.sh("mkdir -m 777 /tmp/nobody")
    # The guest looks itself, as who asks from outside may come when all is over.
    most = vm.sh(
        f"(cd /tmp/nobody; {NOBODY} {command} >/tmp/said 2>&1; touch /tmp/over) &"
        " most=0; while [ ! -e /tmp/over ]; do"
        f" read -r n <{MISC}/watchers; [ $n -le $most ] || most=$n; sleep 0.1; done; echo $most",
        timeout=PATIENCE,
    )
    assert int(most) > 0, "it had nothing open, other than by a glance"
    return vm.sh("cat /tmp/said")


def check(vm: Machine, tmp_path: Path) -> None:
    """Nobody could change anything, all that was opened is closed, and all works as before."""
    vm.wait_for(f"cat {MISC}/watchers", "^0$")
    assert vm.sh(f"cd {MISC} && cat generation outdated_watchers") == "0\n0\n"
    watchers = [modules.Watcher.start(vm, role) for role in ("mmap", "poll")]
    vm.finish_log()
    with vm.snapshot(tmp_path / "snapshot").restore(ids.B) as clone:
        for watcher in watchers:
            assert watcher.wait(clone, "changed") == {"generation": 1}
        clone.sh(f"kill {' '.join(str(watcher.pid) for watcher in watchers)}")
        report = kselftest.Run(clone, ["ioctl"]).report("ioctl")
        assert report.status == 0, report.output


def test_stress_ng(guest: Machine, tmp_path: Path) -> None:
    said = run(guest, STRESS_NG)
    assert re.search(r"1 of 1 devices opened and exercised", said), said
    assert re.search(r"passed: 2: dev \(2\)", said), said
    check(guest, tmp_path)


def test_trinity(guest: Machine, tmp_path: Path) -> None:
    said = run(guest, TRINITY)
    assert "Added 1 filenames from /dev/sysgenid" in said, said
    calls = re.search(r"Ran (\d+) syscalls", said)
    assert calls and int(calls[1]) > 100 * SECONDS / HERE.slowness, said
    assert "tainted" not in said.partition("Bailing")[2], said
    check(guest, tmp_path)
