# SPDX-License-Identifier: GPL-2.0
"""The lines that fail a guest, and their harmless look-alikes."""

import pytest

import splat

COMPLAINTS = [
    "[    1.0] BUG: kernel NULL pointer dereference, address: 0000000000000010",
    "[    1.0] BUG kmalloc-64 (Not tainted): Redzone overwritten",
    "[    1.0] BUG: KASAN: slab-use-after-free in vmgenid_notify+0x10/0x20",
    "[    1.0] WARNING: CPU: 1 PID: 77 at kernel/module/main.c:845 module_put+0x1/0x2",
    "[    1.0] WARNING: kernel/module/main.c:845 at module_put+0x1/0x2, CPU#1: rmmod/77",
    "[    1.0] WARNING: possible circular locking dependency detected",
    "[    1.0] Oops: Oops: 0002 [#1] SMP NOPTI",
    "[    1.0] Oops: general protection fault, probably for non-canonical address 0x1: 0000 [#1]",
    "[    1.0] Call Trace:",
    "[    1.0] sysgenid: Unknown symbol add_vmfork_randomness (err -2)",
    "[    1.0] sysgenid: version magic '7.2.1 SMP ' should be '7.2.2 SMP '",
    "[    1.0] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [rmmod:77]",
    "[    1.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "[    1.0] INFO: task rmmod:77 blocked for more than 120 seconds.",
    "[    1.0] UBSAN: array-index-out-of-bounds in a.c:1:2",
    "[    1.0] CFI failure at seq_show+0x1/0x2 (target: a+0x0/0x1 [a]; expected type: 0x1)",
    "[    1.0] refcount_t: underflow; use-after-free.",
    "[    1.0] sysfs: cannot create duplicate filename '/class/misc/sysgenid'",
    "[    1.0] rust_kernel: panicked at src/watcher.rs:1:2:",
    "[    1.0] workqueue: work func run [sysgenid] enqueued on deprecated workqueue.",
    "[    1.0] Kernel panic - not syncing: sysrq triggered crash",
]

HARMLESS = [
    "[    1.0] RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks",
    "[    1.0] MDS CPU bug present and SMT on, data leak possible",
    "[    1.0] kfence: initialized - using 2097152 bytes for 255 objects",
    "[    1.0] rcu: Preemptible hierarchical RCU implementation.",
    "[    1.0] sysgenid: loading out-of-tree module taints kernel.",
    "[    1.0] read[77]: segfault at 7f00 ip 0000000000401000 sp 00007ffd error 7 in read[401000]",
    "[    1.0] random: crng reseeded due to virtual machine fork",
]


@pytest.mark.parametrize("line", COMPLAINTS)
def test_a_complaint_is_found(line: str) -> None:
    assert splat.find(f"[    0.9] before\n{line}\n[    1.1] after\n") == [line]


@pytest.mark.parametrize("line", HARMLESS)
def test_a_harmless_line_is_not(line: str) -> None:
    assert splat.find(line) == []


LINE = "[    1.0] " + "=" * 66
HEAD = "[    1.0] BUG: KCSAN: data-race in {0} / {0}"


def race(*functions: str) -> str:
    """What the kernel says of a race of a function with itself, which others have called."""
    stack = [f"[    1.0]  {function}+0x1/0x2" for function in functions]
    who = "[    1.0] {} to 0x1 of 8 bytes by task {} on cpu {}:".format
    lines = [
        *(LINE, HEAD.format(functions[0]), "[    1.0] "),
        *(who("write", 1, 0), *stack, "[    1.0] ", who("read", 2, 1), *stack, "[    1.0] "),
        *("[    1.0] Reported by Kernel Concurrency Sanitizer on:", LINE),
    ]
    return "\n".join([*lines, ""])


END = pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["file", "console"])


@END
def test_a_race_is_found(end: str) -> None:
    ours = race("__wake_up_common", "__wake_up", "wake [sysgenid]", "do_syscall_64")
    log = f"before\n{ours}after\n".replace("\n", end)
    assert splat.find(log) == [HEAD.format("__wake_up_common")]


@END
def test_a_race_of_the_kernels_own_is_not(end: str) -> None:
    log = race("timerqueue_add", "do_syscall_64")
    log += race("a", "b", "c", "d", "wake [sysgenid]")
    oops = "[    1.0] Oops: Oops: 0002 [#1] SMP NOPTI"
    assert splat.find(f"{log}{oops}\n{log}".replace("\n", end)) == [oops]


@END
def test_a_race_that_is_not_all_there_is_looked_at_later(end: str) -> None:
    ours = race("wake [sysgenid]").replace("\n", end)
    complete = f"before{end}{ours}after{end}"
    assert splat.finished(complete) == complete
    begun = ours.rpartition("=" * 66)[0]
    assert splat.finished(f"{ours}before{end}{begun}") == f"{ours}before{end}{LINE}{end}"
