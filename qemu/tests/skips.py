# SPDX-License-Identifier: GPL-2.0
"""What of the tests the guests' kernel cannot run, and why."""

from __future__ import annotations

import modules
from vm import ARM64, HERE, OPTIONS

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
    "test_stress.py": "runs programs of the build root in the guest",
    "test_vm.py::test_an_accelerator_that_boots_is_taken": KVM,
    "test_vm.py::test_an_accelerator_whose_guest_hangs_is_not": KVM,
}
OF_ARM64 = {"test_devicetree.py": "describes devices by a device tree"}

# What wants a kernel with modules, and drivers that are not built in
LOADS = "loads and unloads the drivers, which are built in"
PROBES = "loads a module of the tests into a kernel without modules"
ALONE = "compares with a kernel in which the drivers are not loaded"
FIRST_ID = "gives the machine its ID when the drivers have seen another one already"
MODULES = {
    "test_attach.py": PROBES,
    "test_clones.py::test_a_clone_made_while_the_source_was_unloaded_is_noticed": LOADS,
    "test_clones.py::test_a_source_that_was_away_without_a_clone_changes_nothing": LOADS,
    "test_demo.py::test_a_missing_source_fails_the_demo": LOADS,
    "test_devicetree.py::test_the_source_listens_as_long_as_it_is_there": LOADS,
    "test_devicetree.py::test_the_device_loads_the_module": LOADS,
    "test_devicetree.py::test_the_line_goes_to_the_first_processor": LOADS,
    "test_devicetree.py::test_nobody_subscribes_to_forks": PROBES,
    "test_devicetree.py::test_the_source_leaves_in_the_middle_of_interrupts": LOADS,
    "test_events.py::test_the_device_says_whose_id_it_follows": LOADS,
    "test_events.py::test_who_looks_first_sees_what_nobody_was_told": FIRST_ID,
    "test_events.py::test_kernel_code_is_called_once_in_each_generation": PROBES,
    "test_events.py::test_kernel_code_is_called_in_order": PROBES,
    "test_events.py::test_the_kernels_own_subscribers_are_told_where_it_can_be_done": PROBES,
    "test_events.py::test_the_kernels_own_subscribers_may_use_the_device": PROBES,
    "test_events.py::test_the_kernels_own_subscribers_are_not_told_by_an_observer": PROBES,
    "test_events.py::test_notifications_without_another_id_do_nothing": PROBES,
    "test_firmware.py": LOADS,
    "test_first_call.py": FIRST_ID,
    "test_ged.py::test_the_line_is_as_firmware_says": PROBES,
    "test_interrupt.py": LOADS,
    "test_intree.py": "builds modules for a stock kernel",
    "test_modules.py": LOADS,
    "test_page.py": PROBES,
    "test_race.py": ALONE,
    "test_randomness.py": ALONE,
    "test_samples.py::test_a_library_holds_up_nobody": "gives the module a parameter",
    "test_samples.py::test_the_module_hears_of_the_clone": PROBES,
    "test_sleep.py::test_a_clone_of_a_hibernated_guest": "loads the driver of a disk",
    "test_sleep.py::test_a_suspend_ends_wait_watchers": PROBES,
    "test_soak.py": LOADS,
    "test_source.py": PROBES,
}
OF_BUILT_IN = {
    "test_builtin.py": "is about drivers that are built in: KERNEL=builtin, KERNEL=builtin-arm64"
}

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

# Of kernels without something that others have
TWO = "wants two processors, of which this kernel runs one"
OF_TWO = {
    "test_first_call.py": ("it_is_told_of_the_clone",),
    "test_interrupt.py": (
        "the_line_goes_to_the_first_processor_by_itself",
        "one_interrupt_is_enough_to_move_the_line",
        "what_an_administrator_has_chosen_stays",
        "what_an_administrator_chooses_later_stays",
        "clones_while_processors_come_and_go",
    ),
    "test_race.py": (
        "clones_share_nothing_that_was_found_fit_for_use",
        "the_processor_that_takes_the_interrupt_shares_nothing",
        "a_draw_in_which_aws_lc_aborts_gives_nothing_and_the_next_thread_goes_on",
    ),
}
PORT = "asks for a port of the Internet protocols, which this kernel has not got"
BY_PORT = (
    "clones_draw_nothing_of_the_same_on_any_processor_by_any_route",
    "clones_without_a_driver_draw_the_same_on_each_processor_by_each_route",
    "the_id_makes_clones_differ_and_so_do_the_instructions_for_random_numbers",
)
WITHOUT = {
    "ARCH_HAS_CC_PLATFORM": {
        "test_page.py::test_encrypted_memory_is_not_offered": "answers in place of the kernel"
        " what this one is never asked",
    },
    "INET": {f"test_randomness.py::test_{name}": PORT for name in BY_PORT},
    "INOTIFY_USER": {
        "test_events.py::test_udev_runs_a_program_in_each_generation": "has udev, which wants more"
        " of a kernel",
    },
    "PM": {"test_sleep.py": "suspends, which this kernel cannot"},
    "SMP": {f"{file}::test_{name}": TWO for file, names in OF_TWO.items() for name in names},
}

# Of kernels whose C is instrumented by KCSAN
WAKES = (
    "suspends, and this kernel does not wake up: KCSAN looks at what belongs to a processor before"
    " restore_processor_state() has told the processor where that is"
)
OF_KCSAN = {
    f"test_sleep.py::test_{name}": WAKES
    for name in (
        "a_clone_of_a_suspended_guest",
        "an_id_that_changes_in_a_suspended_guest",
        "a_suspend_ends_wait_watchers",
    )
}

# Of kernels in which the kernel's own driver is not built in
STAND_IN = "loads a module that stands in for a kernel that exports what this one does anyway"
NO_DRIVER = "is about the kernel's own driver, which this one has not got"
STOOD_IN = (
    "test_events.py::test_the_kernels_own_subscribers_are_told_where_it_can_be_done",
    "test_events.py::test_the_kernels_own_subscribers_may_use_the_device",
    "test_events.py::test_the_kernels_own_subscribers_are_not_told_by_an_observer",
)
BESIDE = (
    "test_firmware.py::test_beside_the_kernels_driver",
    "test_modules.py::test_the_source_observes_beside_the_kernels_own_driver",
)

# In brackets, as a parameter
OF_DRIVER = ("observer", "observing", "exported")
TWO_PROCESSORS = "-of-2"
FOR_EVER = "calls itself for ever"
LEAKS = "makes ACPICA leak what it has parsed of the method, which fails a guest of this kernel"

_HAS_DRIVER = "VMGENID" in OPTIONS


def _table() -> dict[str, str]:
    table = dict(X86 if ARM64 else OF_ARM64)
    table |= MODULES if modules.BUILT_IN else OF_BUILT_IN
    if HERE.is_own:
        table |= OF_STOCK
    if HERE.slowness > 1:
        table |= OF_FAST
    if modules.EXPORTS_FORKS:
        table |= dict.fromkeys(STOOD_IN, STAND_IN)
    elif not _HAS_DRIVER:
        table |= dict.fromkeys(STOOD_IN + BESIDE, NO_DRIVER)
    if "KCSAN" in OPTIONS:
        table |= OF_KCSAN
    for option, skipped in WITHOUT.items():
        if option not in OPTIONS:
            table |= skipped
    return table


_TABLE = _table()


def reason(test: str) -> str | None:
    """Why a test, FILE::NAME[PARAMETERS], is skipped, if it is."""
    file, _, name = test.partition("::")
    name, _, parameters = name.partition("[")
    parameters = parameters.rstrip("]")
    if not _HAS_DRIVER and any(word in parameters.split("-") for word in OF_DRIVER):
        return NO_DRIVER
    if "SMP" not in OPTIONS and parameters.endswith(TWO_PROCESSORS):
        return TWO
    if "DEBUG_KMEMLEAK" in OPTIONS and parameters == FOR_EVER:
        return LEAKS
    return _TABLE.get(file) or _TABLE.get(f"{file}::{name}")
