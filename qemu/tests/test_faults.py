# SPDX-License-Identifier: GPL-2.0
"""Faults on purpose: what takes memory, or copies to or from a program, fails once each time.

After each the call says so, nothing was done, nothing stays, and the next try
succeeds. What cannot say so, such as a change of the generation, must not fail.

The guest has one processor and its time is that of its instructions, so that it
does the same again each time, and the seconds after which such a kernel
releases a kobject are over at once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import ids
import pytest
from conftest import Booted
from testmodules import Source

import modules
from vm import DEBUG, HERE, OPTIONS, Machine, Spec

NEEDED = (
    "FAILSLAB",
    "FAIL_PAGE_ALLOC",
    "FAULT_INJECTION_DEBUG_FS",
    "FAULT_INJECTION_STACKTRACE_FILTER",
    "FAULT_INJECTION_USERCOPY",
)
pytestmark = pytest.mark.skipif(
    not all(option in OPTIONS for option in NEEDED),
    reason="wants a kernel that lets calls fail on purpose, such as KERNEL=kasan",
)

ACCEL = ("-accel", "tcg", "-icount", "shift=0,sleep=off", "-cpu", HERE.cpu, "-seed", "1")
SPEC = Spec(guid=ids.A, append=modules.BOUND, smp=1, accel=ACCEL)
LONG = 1200.0

WAYS = ("failslab", "fail_page_alloc", "fail_usercopy")
# When the kernel takes pages for its objects depends on what was freed before. Counted with all
# else, these would make the N-th another one each time, and some would never be the N-th; alone,
# they come more than once.
TURNS = (("failslab", "fail_usercopy"), ("fail_page_alloc",), ("fail_page_alloc",))
# ACPICA is not ours; short of memory, it uses a package that it has not made.
NOT_OURS = "acpi_evaluate_object"
# All of them, also where the kernel's default is that those may wait for memory never fail.
PREPARE = f"""
set -- $(grep -i ' t ' /proc/kallsyms | sort | grep -A1 ' {NOT_OURS}$' | cut -d ' ' -f 1)
mount -t debugfs debugfs {DEBUG}
cd {DEBUG}
for way in {' '.join(WAYS)}; do
    echo 0 >$way/verbose
    echo 0x$1 >$way/reject-start
    echo 0x$2 >$way/reject-end
done
echo 0 >failslab/ignore-gfp-wait
echo 0 >fail_page_alloc/ignore-gfp-wait
echo 0 >fail_page_alloc/ignore-gfp-highmem
echo 0 >fail_page_alloc/min-order
"""
# The addresses of which one must be on the stack. These are the only modules.
BELOW = {
    "anything": (0, 2**64 - 1),
    "modules": (0xFFFFFFFFA0000000, 0xFFFFFFFFFF000000),
    "nothing": (1, 1),
}

MISC = "/sys/class/misc/sysgenid"


def write(vm: Machine, attributes: dict[str, object], ways: tuple[str, ...]) -> None:
    """Sets attributes of the ways in which the kernel lets calls fail."""
    vm.sh(
        "; ".join(
            f"echo {value} >{DEBUG}/{way}/{name}"
            for way in ways
            for name, value in attributes.items()
        )
    )


def restrict(vm: Machine, below: str, ways: tuple[str, ...] = WAYS) -> None:
    """Lets only that fail which is done below modules, that is for one of them, or below anything.

    What comes before a module gets a word, such as memory for the module itself, is the kernel's
    own business, and the kernel tells of it at length. In other ways nothing fails.
    """
    for way in WAYS:
        start, end = BELOW[below if way in ways else "nothing"]
        write(vm, {"require-start": f"{start:#x}", "require-end": f"{end:#x}"}, (way,))


def turns(vm: Machine, below: str) -> Iterator[None]:
    """Lets one kind of things fail after the other."""
    for ways in TURNS:
        restrict(vm, below, ways)
        yield


@pytest.fixture
def guest(booted: Booted, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A guest in which calls may fail, with neither module loaded; neither stays in it."""
    name = re.sub(r"\W+", "-", request.node.name).strip("-")
    with booted.guest(SPEC, name) as vm:
        vm.sh(PREPARE)
        yield vm
        vm.sh("for m in sysgenid_vmgenid sysgenid_test_source sysgenid; do rmmod $m; done; true")
        assert vm.sh("grep sysgenid /proc/modules", check=False) == ""


# System calls

NO_MEMORY = {"ENOMEM"}
NO_COPY = {"EFAULT"}
# What each may say when it fails.
CALLS = {
    "open": NO_MEMORY | NO_COPY,
    "read": NO_COPY,
    "readv": NO_COPY,
    "get-generation": NO_COPY,
    "write": NO_COPY,
    "writev": NO_COPY,
    "poll": NO_COPY,
    "epoll": NO_MEMORY | NO_COPY,
    "mmap": NO_MEMORY,
    "mmap-both": NO_MEMORY,
    "mmap-live": NO_MEMORY,
    "mremap": NO_MEMORY,
    "fork": NO_MEMORY | {"EAGAIN"},
    "attribute": NO_MEMORY | NO_COPY,
    "fdinfo": NO_MEMORY | NO_COPY,
}
# These make a change, or notice one. What the test writes to may refuse that, before anything.
CHANGES: dict[str, set[str]] = {"trigger": set(), "trigger-full": set()}
CHANGES_OF_ID = {"notice": set(), "notify": NO_MEMORY | NO_COPY}


def every(vm: Machine, call: str) -> tuple[int, dict[str, int]]:
    """How many faults there were, and how often a call has said what."""
    numbers: Counter[str] = Counter()
    for _ in turns(vm, "anything"):
        words = vm.sh(f"/guest/failing every {call}", timeout=LONG).split()
        for name, number in (word.split("=") for word in words):
            numbers[name] += int(number)
    return numbers.pop("faults"), numbers


def test_calls_that_fail_have_done_nothing(guest: Machine) -> None:
    modules.load(guest)
    for call, allowed in CALLS.items():
        faults, errors = every(guest, call)
        assert faults >= sum(errors.values()) > 0, call
        assert set(errors) <= allowed, call
    # All are closed again.
    assert guest.sh(f"cd {MISC} && cat watchers outdated_watchers") == "0\n0\n"


def test_a_change_does_not_fail(guest: Machine) -> None:
    modules.load(guest, source=False)
    for call, allowed in CHANGES.items():
        assert set(every(guest, call)[1]) <= allowed, call
    source = Source(guest, ids.A)
    source.attach()
    for call, allowed in CHANGES_OF_ID.items():
        assert set(every(guest, call)[1]) <= allowed, call
    source.detach()


# Modules, and drivers of devices

# What the loops below check. Such a kernel releases some kobjects after seconds only.
FUNCTIONS = f"""
within() {{
    for _ in 1 2 3 4 5 6 7 8 9 10; do "$@" && return; sleep 1; done
    echo "not $*" >&2
    return 1
}}
nothing() {{ for path; do [ ! -e $path ] || return; done; }}
mute() {{ ! grep -q "$@"; }}

no_counter() {{
    nothing /dev/sysgenid {MISC} /sys/module/sysgenid &&
        mute sysgenid /proc/modules /proc/misc
}}
counter() {{ /guest/watcher status >/dev/null && [ "$(cat {MISC}/source)" = none ]; }}

no_source() {{
    nothing {modules.DEVICE}/driver {modules.DEVICE}/guid {modules.DEVICE}/paddr &&
        mute sysgenid /proc/interrupts && counter
}}
source() {{
    [ "$(cat {MISC}/source)" = {modules.NAME} ] && [ -L {modules.DEVICE}/driver ] &&
        [ "$(cat {modules.DEVICE}/guid)" = {ids.A} ] && grep -q sysgenid /proc/interrupts
}}
# What is missing was said, and so what of it goes on.
said() {{ dmesg | grep -qE '{modules.NAME}: .*(cannot|fail)'; }}
no_driver() {{
    no_source && nothing {modules.DRIVER} /sys/module/sysgenid_vmgenid &&
        mute sysgenid_vmgenid /proc/modules
}}
bind() {{ echo {modules.NAME} >{modules.DRIVER}/bind; }}
unbind() {{ echo {modules.NAME} >{modules.DRIVER}/unbind; }}
"""

# What is done, what it may say when it fails, what is done to get to where it can be done, and
# back from there, and what is to be seen in both places.
#
# Each fault comes twice: now and then the kernel needs memory for a table of its own, so that what
# follows is not the N-th that time.
LOOP = """
run=1
while :; do
    run=$((run + 1))
    n=$((run / 2))
    within {before} || exit
    dmesg -c >/dev/null
    result=$(/guest/failing $n {operation})
    status=$?
    [ $status != 1 ] || exit
    echo "$result"
    if [ $result != done ]; then
        within {before} || exit
        {plainly} || exit
        {after} || exit
    else
        {after} || said || exit
    fi
    {back} || exit
    [ $status = 0 ] || [ $((run % 2)) = 0 ] || break
done
"""


def loop(vm: Machine, below: str, **words: str) -> list[str]:
    """Does something until each of its faults has come. What was said, each time."""
    script = f"{FUNCTIONS}\n{LOOP.format(**words)}"
    said: list[str] = []
    for _ in turns(vm, below):
        said += vm.sh(f"({script}) 2>/tmp/wrong || cat /tmp/wrong", timeout=LONG).splitlines()
        assert vm.sh("cat /tmp/wrong") == "", said
        # The last time there was no fault.
        assert said.pop() == "done"
    return said


def test_a_counter_that_cannot_be_loaded_leaves_nothing(guest: Machine) -> None:
    said = loop(
        guest,
        below="modules",
        before="no_counter",
        operation="insert /modules/sysgenid.ko",
        plainly="insmod /modules/sysgenid.ko",
        after="counter",
        back="rmmod sysgenid",
    )
    assert "ENOMEM" in said
    assert set(said) <= {"ENOMEM", "done"}


def test_a_counter_is_unloaded_in_any_case(guest: Machine) -> None:
    modules.load(guest, source=False)
    said = loop(
        guest,
        below="anything",
        before="counter",
        operation="remove sysgenid",
        plainly="rmmod sysgenid",
        after="within no_counter",
        back="insmod /modules/sysgenid.ko",
    )
    # It may not have begun.
    assert {"done"} <= set(said) <= {"done", "EFAULT"}


def test_a_source_that_cannot_be_loaded_leaves_nothing(guest: Machine) -> None:
    modules.load(guest, source=False)
    said = loop(
        guest,
        below="modules",
        before="no_driver",
        operation="insert /modules/sysgenid_vmgenid.ko",
        plainly="insmod /modules/sysgenid_vmgenid.ko",
        after="source",
        back="rmmod sysgenid_vmgenid",
    )
    # EINVAL is what the kernel says if it cannot make a folder for the drivers of a module.
    assert {"ENOMEM", "done"} <= set(said) <= {"ENOMEM", "EINVAL", "done"}
    assert modules.status(guest).generation == 0


def test_a_source_is_unloaded_in_any_case(guest: Machine) -> None:
    modules.load(guest)
    said = loop(
        guest,
        below="anything",
        before="source",
        operation="remove sysgenid_vmgenid",
        plainly="rmmod sysgenid_vmgenid",
        after="within no_driver",
        back="insmod /modules/sysgenid_vmgenid.ko",
    )
    # It may not have begun.
    assert {"done"} <= set(said) <= {"done", "EFAULT"}
    assert modules.status(guest).generation == 0


def test_a_device_that_cannot_be_bound_is_left_alone(guest: Machine) -> None:
    modules.load(guest)
    modules.unbind(guest)
    said = loop(
        guest,
        below="modules",
        before="no_source",
        operation=f"write {modules.DRIVER}/bind {modules.NAME}",
        plainly="bind",
        after="source",
        back="unbind",
    )
    # ENODEV: the driver has said why.
    assert {"ENODEV"} <= set(said) <= {"ENODEV", "ENOMEM", "done"}
    assert modules.status(guest).generation == 0


def test_a_device_is_unbound_in_any_case(guest: Machine) -> None:
    modules.load(guest)
    said = loop(
        guest,
        below="anything",
        before="source",
        operation=f"write {modules.DRIVER}/unbind {modules.NAME}",
        plainly="unbind",
        after="no_source",
        back="bind",
    )
    # It may not have begun.
    assert {"done"} <= set(said) <= {"done", "ENOMEM", "EFAULT"}
    assert modules.status(guest).generation == 0


# What is done elsewhere than in the task: the worker that announces, an interrupt

SEVERAL = 5


def fail(vm: Machine, times: int, interval: int = 1) -> None:
    """Lets each so-many-th allocation of a module fail, so often in all; -1: for ever."""
    write(vm, {"times": times, "interval": interval, "probability": 100}, WAYS[:2])


def fail_no_more(vm: Machine) -> None:
    """Ends that."""
    write(vm, {"probability": 0}, WAYS[:2])


def listen(vm: Machine) -> None:
    """Writes the generations down that uevents tell of."""
    vm.sh("uevent sh -c 'echo $SYSGENID' >/tmp/uevents 2>&1 & sleep 1")


def told(vm: Machine, generation: int) -> list[str]:
    """All of them, once this one is among them."""
    vm.wait_for("cat /tmp/uevents", f"^{generation}$")
    return vm.sh("grep . /tmp/uevents").split()


def identity(number: int) -> str:
    """An ID of many."""
    return f"{ids.A[:-2]}{number:02x}"


def change(source: Source, number: int) -> None:
    """Gives the guest its next ID, and notifies it."""
    source.set_id(identity(number))
    source.set(notify=1)


def test_a_uevent_waits_for_memory(guest: Machine) -> None:
    restrict(guest, "modules")
    modules.load(guest, source=False)
    source = Source(guest, identity(0))
    source.attach()
    listen(guest)
    # The first of what it takes, or a later one.
    for generation in range(1, 9):
        fail(guest, SEVERAL, interval=generation)
        change(source, generation)
        assert modules.status(guest).generation == generation
        assert told(guest, generation) == [str(n + 1) for n in range(generation)]
        fail_no_more(guest)
    assert "no uevent" not in guest.sh("dmesg")
    source.detach()


def test_a_change_that_nobody_can_be_told_of_is_one(guest: Machine) -> None:
    restrict(guest, "modules")
    modules.load(guest, source=False)
    source = Source(guest, identity(0))
    source.attach()
    listen(guest)
    fail(guest, -1)
    change(source, 1)
    assert modules.status(guest).generation == 1
    guest.wait_for("dmesg", "sysgenid: no uevent for generation 1: ")
    assert "report" in source.get("events")
    fail_no_more(guest)
    change(source, 2)
    assert told(guest, 2) == ["2"]
    source.detach()


def test_a_clone_without_memory_is_noticed(booted: Booted, tmp_path: Path) -> None:
    with booted.guest(SPEC, "clone") as vm:
        vm.sh(PREPARE)
        restrict(vm, "modules")
        modules.load(vm)
        modules.wait_line_moved(vm)
        watchers = [modules.Watcher.start(vm, role) for role in ("mmap", "poll", "read")]
        fail(vm, -1)
        snapshot = vm.snapshot(tmp_path / "snapshot")
    with snapshot.restore(ids.B) as vm:
        for watcher in watchers:
            assert watcher.wait(vm, "changed")["generation"] == 1
        assert modules.status(vm).generation == 1
        vm.wait_for("dmesg", "hardware ID changed, crng reseeded")
        fail_no_more(vm)
        vm.sh(f"kill {' '.join(str(watcher.pid) for watcher in watchers)}")
        vm.sh("rmmod sysgenid_vmgenid && rmmod sysgenid")
