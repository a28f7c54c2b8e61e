# SPDX-License-Identifier: GPL-2.0
"""Each kernel of our own catches what it is there to catch: here it is, put in on purpose.

A copy of the driver gets all defects of a kernel, as they do not disturb each
other. What brings one out does no harm with the driver as it is.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import ids
import overlay
import pytest
from conftest import Booted

import modules
from vm import HERE, RELEASE, GuestError, Machine, Spec

ROOT = Path(__file__).parents[2]
COPIED = ("src", "rust", "include", "Kbuild", "qemu/guest/Makefile")
TIME = 120.0


def look_at_what_was_unbound(vm: Machine) -> None:
    """Reads an attribute of a device that has no driver any longer."""
    modules.unbind(vm)
    vm.sh(f"cat {modules.DEVICE}/guid", check=False)


def map_both_pages(vm: Machine) -> None:
    """Maps page 1, when the source has been attached before."""
    vm.sh("/guest/page")


def look_for_leaks(vm: Machine) -> None:
    """Looks for leaks when the modules are gone.

    By chance something on a stack may look as if it referred to it, but not to all of some.
    """
    vm.sh("rmmod sysgenid_vmgenid sysgenid", timeout=TIME)
    for _ in range(3):
        modules.load(vm, source=False)
        vm.sh("rmmod sysgenid", timeout=TIME)
    vm.look_for_leaks()


def trigger(vm: Machine) -> None:
    """Moves to the next generation."""
    vm.sh("/kselftest/trigger >/dev/null", timeout=TIME)


def watch_once(vm: Machine) -> None:
    """Opens the device and closes it."""
    vm.sh(": 8<>/dev/sysgenid")


def watch_at_the_same_time(vm: Machine) -> None:
    """Opens the device and closes it, on both processors again and again."""
    vm.sh("for n in 1 2; do (while :; do : 8<>/dev/sysgenid; done) & done")
    for _ in range(5 * HERE.slowness):
        time.sleep(2)
        vm.finish_log()
    vm.sh("kill $(jobs -p)", check=False)


def look_at_a_descriptor(vm: Machine) -> None:
    """Reads what /proc says of one."""
    vm.sh("cat /proc/self/fdinfo/8 8</dev/sysgenid")


def clone(vm: Machine) -> None:
    """Gives the system another ID, and tells it so by an interrupt."""
    path = Path("/tmp/defects-snapshot")
    try:
        with vm.snapshot(path).restore(ids.B) as restored:
            restored.wait_for("cat /sys/class/misc/sysgenid/generation", "^1$")
            restored.finish_log()
    finally:
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Defect:
    """What is wrong, on which kernel it is noticed, what brings it out, and what is said then.

    `changes` are for each file what is replaced by what.
    """

    kernel: str
    changes: tuple[tuple[str, str, str], ...]
    action: Callable[[Machine], None]
    said: str


DEFECTS = {
    "use after free": Defect(
        "kasan",
        (
            (
                "rust/kernel/device_attributes.rs",
                "unsafe { bindings::sysfs_remove_group(kobj, self.group.as_ptr()) };",
                "let _ = self.group.as_ptr();",
            ),
        ),
        look_at_what_was_unbound,
        "KASAN: .*use-after-free",
    ),
    "lock inversion": Defect(
        "kasan",
        (
            (
                "rust/sysgenid/hwid.rs",
                "let mut shown = self.shown.lock();\n        let is_fixed",
                "let _kept = self.kept.lock();\n"
                "        let mut shown = self.shown.lock();\n        let is_fixed",
            ),
            (
                "rust/sysgenid/hwid.rs",
                "let mut shown = self.shown.lock();\n        let shown",
                "let mut shown = self.shown.lock();\n"
                "        let _kept = self.kept.lock();\n        let shown",
            ),
        ),
        map_both_pages,
        "possible circular locking dependency",
    ),
    "leak": Defect(
        "kasan",
        (
            (
                "rust/sysgenid/announcer.rs",
                "Ok(Self(Arc::pin_init(queue, GFP_KERNEL)?))",
                "let queue = Arc::pin_init(queue, GFP_KERNEL)?;\n"
                "        core::mem::forget(queue.clone());\n        Ok(Self(queue))",
            ),
        ),
        look_for_leaks,
        "kmemleak: [1-9]",
    ),
    "sleeping under a spinlock": Defect(
        "kasan",
        (
            (
                "src/sysgenid/generation.rs",
                "self.announcer.push(Announcement {",
                "self.announcer.finish();\n        self.announcer.push(Announcement {",
            ),
        ),
        trigger,
        "sleeping function called from invalid context",
    ),
    "overflow": Defect(
        "kasan",
        (("src/sysgenid/watchers.rs", "tracked.0 -= 1;", "tracked.0 -= 2;"),),
        watch_once,
        "attempt to subtract with overflow",
    ),
    "data race": Defect(
        "kcsan",
        (
            (
                "rust/helpers/spinlock.c",
                "unsigned long flags;\n\n\tspin_lock_irqsave(lock, flags);",
                "static unsigned long taken;\n\tunsigned long flags;\n\n\ttaken++;\n"
                "\tspin_lock_irqsave(lock, flags);",
            ),
        ),
        watch_at_the_same_time,
        "KCSAN: data-race in sysgenid_helper_spin_lock_irqsave",
    ),
    "callback of another type": Defect(
        "cfi",
        (
            (
                "rust/kernel/misc_device.rs",
                "show_fdinfo: Some(Self::show_fdinfo),",
                "show_fdinfo: Some(unsafe { core::mem::transmute(\n"
                '    Self::resume as unsafe extern "C" fn(*mut bindings::device) -> c_int,\n'
                ") }),",
            ),
        ),
        look_at_a_descriptor,
        "CFI failure at ",
    ),
    "sleeping lock in an interrupt": Defect(
        "rt",
        (("rust/kernel/irq_lock.rs", "if cfg!(CONFIG_PREEMPT_RT) {", "if false {"),),
        clone,
        "sleeping function called from invalid context|Invalid wait context"
        "|scheduling while atomic",
    ),
}
PRESENT = {what: defect for what, defect in DEFECTS.items() if defect.kernel == RELEASE}
MODULES = ("sysgenid", "sysgenid_vmgenid")


def params() -> list[object]:
    """All defects, those of other kernels skipped."""
    reason = "is for KERNEL={}".format
    skip = pytest.mark.skip
    return [
        pytest.param(what, marks=() if what in PRESENT else skip(reason=reason(defect.kernel)))
        for what, defect in DEFECTS.items()
    ]


def copy(folder: Path) -> None:
    """Copies the driver, with what builds it."""
    for name in COPIED:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target)
        else:
            shutil.copy(ROOT / name, target)


def spoil(folder: Path, defect: Defect) -> None:
    """Puts a defect in."""
    for file, old, new in defect.changes:
        text = (folder / file).read_text()
        assert text.count(old) == 1, f"{file}: {old!r}"
        (folder / file).write_text(text.replace(old, new))


@pytest.mark.parametrize("what", DEFECTS)
def test_the_defect_fits_the_driver(what: str, tmp_path: Path) -> None:
    """On any kernel, so that who changes the driver knows."""
    copy(tmp_path)
    spoil(tmp_path, DEFECTS[what])


@pytest.fixture(scope="module")
def spec(folders: Callable[[str], Path]) -> Spec:
    """A machine with such a driver in /broken, beside the one as it is."""
    folder = folders("defects")
    tree, built, files = folder / "tree", folder / "built", folder / "files"
    copy(tree)
    for defect in PRESENT.values():
        spoil(tree, defect)
    make = ("make", "-f", "qemu/guest/Makefile", f"RELEASE={RELEASE}", f"MODULES={built}")
    done = subprocess.run([*make, "modules"], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    (files / "broken").mkdir(parents=True)
    for module in MODULES:
        source, target = built / f"{module}.ko", files / "broken" / f"{module}.ko"
        subprocess.run(("objcopy", "--strip-debug", source, target), check=True)
    return Spec(guid=ids.A, append=modules.BOUND, extra=overlay.arguments(files))


@pytest.fixture(params=("modules", "broken"))
def guest(
    spec: Spec, booted: Booted, what: str, request: pytest.FixtureRequest
) -> Iterator[tuple[Machine, bool]]:
    """A guest with one driver or the other, and whether it is the broken one."""
    name = f"defect-{what}-{request.param}".replace(" ", "-")
    with booted.guest(spec, name) as vm:
        for module in MODULES:
            vm.sh(f"insmod /{request.param}/{module}.ko")
        vm.finish_log()
        yield vm, request.param == "broken"


@pytest.mark.parametrize("what", params())
def test_a_defect_is_noticed(guest: tuple[Machine, bool], what: str) -> None:
    vm, is_broken = guest
    defect = DEFECTS[what]
    if not is_broken:
        defect.action(vm)
        return
    with pytest.raises(GuestError, match=defect.said):
        defect.action(vm)
        vm.finish_log()
