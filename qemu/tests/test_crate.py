# SPDX-License-Identifier: GPL-2.0
"""The crate: its package, its tests on a device in a guest, and its examples in clones.

What needs no guest is tested by "make crate".
"""

from __future__ import annotations

import re
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ids
import pytest

import crate
import modules
from vm import CommandFailed, Machine, Spec

ROOT = Path(__file__).parents[2]
CRATE = crate.SOURCE
SPEC = Spec(guid=ids.A)
ADJUSTED = "all watchers have adjusted\n"
MODES = [
    pytest.param(SPEC, True, "", id="observing"),
    pytest.param(Spec(guid=ids.A, append=modules.BOUND), True, "", id="bound"),
    pytest.param(SPEC, False, "", id="alone"),
    pytest.param(SPEC, True, "track=0", id="track=0"),
    pytest.param(SPEC, True, "track=2", id="track=2"),
]

Fresh = Callable[[Spec], Machine]


@pytest.fixture(scope="module")
def extra(folders: Callable[[str], Path]) -> tuple[str, ...]:
    return crate.arguments(folders("crate"))


@pytest.fixture
def fresh(fresh: Fresh, extra: tuple[str, ...]) -> Fresh:
    """Guests that have the programs."""
    return lambda spec: fresh(replace(spec, extra=extra))


def test_the_package_is_complete() -> None:
    crate.make("packed")
    (package,) = (crate.TARGET / "package").glob("sysgenid-*.crate")
    with tarfile.open(package) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
        for license in ("LICENSE-MIT", "LICENSE-APACHE"):
            member = files.extractfile(f"{package.stem}/{license}")
            assert member and b"Valid-License-Identifier" in member.read()
    sources = {
        str(path.relative_to(CRATE))
        for folder in ("src", "examples", "tests")
        for path in (CRATE / folder).rglob("*.rs")
    }
    own = {"Cargo.toml", "Cargo.lock", "README.md", "LICENSE-MIT", "LICENSE-APACHE"}
    generated = {"Cargo.toml.orig", ".cargo_vcs_info.json"}
    assert names - generated == sources | own


def test_numbers_are_those_of_the_header() -> None:
    source = (CRATE / "src/abi.rs").read_text()
    magic = int(re.findall(r"const IOCTL: u8 = (\w+);", source)[0], 0)
    directions = {"none": 0, "read::<u32>": 2 << 30 | 4 << 16}
    found = {
        f"SYSGENID_{name}": directions[direction] | magic << 8 | int(number)
        for name, direction, number in re.findall(
            r"const (\w+): Opcode = opcode::([\w:<>]+)\(IOCTL, (\d+)\);", source
        )
    }
    found["SYSGENID_PAGE_HWID"] = 1 << int(
        re.findall(r"const PAGE_HWID: u32 = 1 << (\d+);", source)[0]
    )
    found["SYSGENID_HWID_SIZE"] = int(re.findall(r"const HWID_SIZE: usize = (\d+);", source)[0])
    for field, offset in re.findall(r"const OFFSET_(\w+): usize = (\d+);", source):
        found[f"offsetof(struct sysgenid_page, {field.lower()})"] = int(offset)

    # Nothing in it was overlooked, and nothing of the header but an alias and the magic number.
    assert len(found) + 1 == len(re.findall(r"^(?:pub\(crate\) )?const ", source, re.M))
    header = (ROOT / "include/uapi/linux/sysgenid.h").read_text()
    names = {*re.findall(r"^#define (SYSGENID_\w+)\s", header, re.M)}
    assert names - {*found} == {"SYSGENID_IOCTL", "SYSGENID_FORCE_GEN_UPDATE"}

    program = "#include <stddef.h>\n#include <linux/sysgenid.h>\n"
    for name, value in found.items():
        program += f'_Static_assert({name} == {value}U, "{name}");\n'
    done = subprocess.run(
        ["gcc-14", f"-I{ROOT}/include/uapi", "-c", "-x", "c", "-o", "/dev/null", "-"],
        input=program,
        text=True,
        capture_output=True,
    )
    assert done.stderr == ""


def test_unsafe_code_is_in_one_module() -> None:
    sources = {*CRATE.glob("src/**/*.rs")}
    unsafe = {*CRATE.glob("src/sys/*.rs")}
    assert unsafe
    for path in sources - unsafe:
        text = path.read_text()
        if path.name == "lib.rs":
            assert "\n#![deny(unsafe_code)]\n" in text
        elif path.parent.name != "sysgenid" or path.name == "main.rs":
            assert "\n#![forbid(unsafe_code)]\n" in text, path


@pytest.mark.parametrize("spec,source,parameters", MODES)
def test_all_of_it_on_the_device(fresh: Fresh, spec: Spec, source: bool, parameters: str) -> None:
    with fresh(spec) as vm:
        modules.load(vm, source=source, parameters=parameters)
        said = vm.sh("/crate/device --ignored --test-threads=1", timeout=120, check=False)
        match = re.search(r"^test result: ok\. (\d+) passed; 0 failed; 0 ignored", said, re.M)
        assert match and int(match.group(1)) >= 14, said


def test_clones_have_random_numbers_of_their_own(tmp_path: Path, fresh: Fresh) -> None:
    """Without the guard each would go on with the numbers that the other one has."""
    with fresh(SPEC) as machine:
        modules.load(machine)
        machine.sh("/crate/prng >numbers 2>&1 &")
        machine.wait_for("cat numbers", r"^(\w{16}\n){5}")
        snapshot = machine.snapshot(tmp_path / "snapshot")

    with snapshot.restore(ids.B) as one, snapshot.restore(ids.C) as two:
        drawn = []
        for vm in (one, two):
            before = len(vm.sh("cat numbers").split())
            vm.wait_for("cat numbers", rf"^(\w{{16}}\n){{{before + 5}}}")
            drawn.append(vm.sh("cat numbers").split())
    same = [a == b for a, b in zip(*drawn)]
    common = same.index(False)
    # What was printed before the snapshot is in both, and after it nothing.
    assert common >= 5
    assert not any(same[common:])
    assert not {*drawn[0][common:]} & {*drawn[1][common:]}


def test_services_take_names_of_their_own(tmp_path: Path, fresh: Fresh) -> None:
    with fresh(SPEC) as machine:
        modules.load(machine)
        for example in ("watcher", "async_watcher"):
            machine.sh(f"/crate/{example} >{example} 2>&1 &")
            machine.wait_for(f"cat {example}", r"^I am \w{16}$")
        machine.wait_for("cat /sys/class/misc/sysgenid/watchers", "^2$")
        names = set(machine.sh("cat watcher async_watcher").split("\n")) - {""}
        assert len(names) == 2
        snapshot = machine.snapshot(tmp_path / "snapshot")

    with snapshot.restore(ids.B) as one, snapshot.restore(ids.C) as two:
        for vm in (one, two):
            assert vm.sh("/crate/control_plane") == ADJUSTED
            assert "\nacknowledged generation 1\n" in vm.sh("cat watcher")
            names.add(vm.wait_for("cat watcher", r"^I am \w+\n(I am \w{16})$").group(1))
            (old,) = {*vm.sh("head -n 1 async_watcher").split("\n")} - {""}
            names.add(vm.wait_for("cat async_watcher", rf"^(?!{old})I am \w{{16}}$").group())
    assert len(names) == 6


def test_the_control_plane_says_who_has_not_adjusted(tmp_path: Path, fresh: Fresh) -> None:
    with fresh(SPEC) as machine:
        modules.load(machine)
        pid = machine.sh("sleep 1000 8<>/dev/sysgenid & echo $!").strip()
        machine.wait_for("cat /sys/class/misc/sysgenid/watchers", "^1$")
        snapshot = machine.snapshot(tmp_path / "snapshot")

    with snapshot.restore(ids.B) as vm:
        with pytest.raises(CommandFailed) as failed:
            vm.sh("/crate/control_plane")
        assert failed.value.output == (
            f"still waiting for process {pid} (sleep), descriptor 8, which has acknowledged "
            "generation 0\n"
        )


def test_a_library_holds_up_nobody(tmp_path: Path, fresh: Fresh) -> None:
    """Also where everybody who opens the device is a watcher."""
    with fresh(SPEC) as machine:
        modules.load(machine, parameters="track=2")
        machine.sh("/crate/prng >numbers 2>&1 &")
        machine.wait_for("cat numbers", r"^\w{16}$")
        assert machine.sh("cat /sys/class/misc/sysgenid/watchers") == "0\n"
        snapshot = machine.snapshot(tmp_path / "snapshot")

    with snapshot.restore(ids.B) as vm:
        assert vm.sh("/crate/control_plane") == ADJUSTED


def test_the_examples_say_what_is_missing(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        for path in sorted(CRATE.glob("examples/*.rs")):
            with pytest.raises(CommandFailed, match="NoDevice"):
                vm.sh(f"/crate/{path.stem}")
