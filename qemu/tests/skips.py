# SPDX-License-Identifier: GPL-2.0
"""What of the tests the guests' kernel cannot run, and why."""

from __future__ import annotations

import kernels
from vm import ARM64, HERE, KERNEL

# What is of one architecture
ACPI = "describes devices by ACPI"
PROGRAMS = "builds programs in Rust for the build root"
DEV_MEM = "reads memory from /dev/mem that only mmap() gets for arm64"
KVM = "is about KVM, with which a guest of another architecture cannot run"
X86 = {
    "test_attach.py": ACPI,
    "test_bench.py": "counts instructions by the time stamp counter",
    "test_command.py": PROGRAMS,
    "test_crate.py": PROGRAMS,
    "test_events.py::test_udev_runs_a_program_in_each_generation": "takes udev of the build root",
    "test_events.py::test_who_looks_first_sees_what_nobody_was_told": ACPI,
    "test_events.py::test_the_kernels_own_subscribers_may_use_the_device": ACPI,
    "test_events.py::test_notifications_without_another_id_do_nothing": "notifies by ACPI",
    "test_firmware.py": ACPI,
    "test_gdb.py::test_a_restored_guest_finds_what_was_written_before_it_ran": DEV_MEM,
    "test_gdb.py::test_a_running_guest_goes_on": DEV_MEM,
    "test_ged.py": ACPI,
    "test_ged_race.py": ACPI,
    "test_interrupt.py": "is about the interrupt of ACPI; test_devicetree.py has the same",
    "test_page.py": "takes memory from the kernel by its option memmap=",
    "test_peer.py": "counts instructions by the time stamp counter",
    "test_race.py": "draws by AWS-LC, which is not built for arm64",
    "test_randomness.py": "reads registers of x86-64 in its probes",
    "test_samples.py::test_a_library_in_cpp": "compiles for the build root",
    "test_shell.py": "gives clones IDs by QEMU's device for PCs",
    "test_sleep.py": "suspends by ACPI",
    "test_vm.py::test_an_accelerator_that_boots_is_taken": KVM,
    "test_vm.py::test_an_accelerator_whose_guest_hangs_is_not": KVM,
}
OF_ARM64 = {"test_devicetree.py": "describes devices by a device tree"}

# What says the same whatever kernel runs
ONCE = "does not depend on the kernel; runs with a stock one"
FIGURES = "has the figures of a stock kernel"
OF_STOCK = {
    "test_bench.py": FIGURES,
    "test_command.py": ONCE,
    "test_configurations.py": "prepares other kernels from the configuration of a stock one",
    "test_crate.py": ONCE,
    "test_headers.py": ONCE,
    "test_manuals.py": ONCE,
    "test_patches.py": ONCE,
    "test_peer.py": FIGURES,
    "test_splat.py": ONCE,
}

# Of clones that run against time
TIME = "counts what clones do within a time that is of a stock kernel"
OF_FAST = {
    "test_ged_race.py": TIME,
    "test_race.py": TIME,
}

# In brackets, as a parameter
OBSERVERS = ("observer", "observing")
NO_DRIVER = "observes beside a driver that this kernel has not got"


def _table() -> dict[str, str]:
    table = dict(X86 if ARM64 else OF_ARM64)
    if HERE.is_own:
        table |= OF_STOCK
    if HERE.slowness > 1:
        table |= OF_FAST
    return table


_TABLE = _table()
_HAS_DRIVER = "VMGENID" in kernels.options(KERNEL.parent / "build")


def reason(test: str) -> str | None:
    """Why a test, FILE::NAME[PARAMETERS], is skipped, if it is."""
    file, _, name = test.partition("::")
    name, _, parameters = name.partition("[")
    if not _HAS_DRIVER and any(word in parameters.rstrip("]").split("-") for word in OBSERVERS):
        return NO_DRIVER
    return _TABLE.get(file) or _TABLE.get(f"{file}::{name}")
