# SPDX-License-Identifier: GPL-2.0
"""The modules through DKMS, when the kernel is upgraded.

Run by "make test-packages".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import ids
import pytest
from conftest import Systems

import debian
from vm import RELEASE

pytestmark = pytest.mark.packages

KERNEL = "linux-image-{0} linux-headers-{0}"
# The kernel's packages bring the library of libelf-dev in the version of trixie-backports.
NEEDED = "libelf-dev/trixie-backports ./sysgenid-dkms_*.deb ./sysgenid_*.deb"


def versions(system: debian.System, package: str) -> list[str]:
    """Of a package, all that can be installed."""
    return [
        line.split("|")[1].strip()
        for line in system.sh(f"apt-cache madison {package}").splitlines()
    ]


def order(number: str) -> list[int]:
    """What versions such as 7.3.4 are compared by."""
    return [*map(int, number.split("."))]


def older_release(system: debian.System) -> str:
    """The kernel of trixie-backports before the one that is tested, of the same kind."""
    number, _, kind = RELEASE.partition("+")
    numbers = re.findall(
        rf"^linux-headers-([\d.]+){re.escape('+' + kind)}$",
        system.sh("apt-cache pkgnames linux-headers-"),
        re.M,
    )
    older = sorted((n for n in numbers if order(n) < order(number)), key=order)
    for candidate in reversed(older):
        (version,) = versions(system, f"linux-headers-{candidate}+{kind}")
        source = "linux-source-" + ".".join(candidate.split(".")[:2])
        if version in versions(system, source):
            return f"{candidate}+{kind}"
    raise LookupError(f"no kernel before {RELEASE} has its source in trixie-backports")


@dataclass(frozen=True)
class Upgraded:
    """A system whose kernel was upgraded, and what apt-get said."""

    system: debian.System
    older: str
    first: str
    second: str


@pytest.fixture(scope="module")
def upgraded(systems: Systems) -> Iterator[Upgraded]:
    """A system with a kernel and sysgenid-dkms, and then the next kernel."""
    system = systems.clean().copy("dkms")
    system.give_packages()
    older = older_release(system)
    # That one is not booted, so it needs no initramfs.
    system.sh(f"INITRD=No {debian.INSTALL} -t trixie-backports {KERNEL.format(older)}")
    first = system.sh(f"cd /root/packages && {debian.INSTALL} {NEEDED}")
    second = system.sh(f"{debian.INSTALL} -t trixie-backports {KERNEL.format(RELEASE)}")
    yield Upgraded(system, older, first, second)
    system.remove()


def status(system: debian.System, number: str = r"[\d.]+") -> list[str]:
    """For which kernels dkms has the modules, of any version or of this one."""
    return re.findall(
        rf"^sysgenid/{number}, (\S+), x86_64: installed$", system.sh("dkms status"), re.M
    )


def version(system: debian.System) -> str:
    """That of the modules."""
    return system.sh("dpkg-query -W -f '${Version}' sysgenid-dkms")


def test_both_kernels_have_the_modules(upgraded: Upgraded) -> None:
    assert status(upgraded.system) == sorted([upgraded.older, RELEASE])
    for release in (upgraded.older, RELEASE):
        for module in ("sysgenid", "sysgenid_vmgenid"):
            info = upgraded.system.sh(f"modinfo -k {release} {module}")
            assert f"/lib/modules/{release}/updates/dkms/{module}.ko.xz" in info
            assert re.search(rf"^vermagic: +{re.escape(release)} ", info, re.M)
            assert re.search("^signer: +DKMS module signing key$", info, re.M)


def test_nothing_of_the_tree_stays(upgraded: Upgraded) -> None:
    used = upgraded.system.sh("du -sm /var/lib/dkms | cut -f 1")
    assert int(used) < 5


def test_an_upgrade_replaces_them(upgraded: Upgraded) -> None:
    system = upgraded.system
    old = version(system)
    system.sh(
        "cd /root/packages && dpkg-deb -R sysgenid-dkms_*.deb new &&"
        f" mv new/usr/src/sysgenid-{old} new/usr/src/sysgenid-99 &&"
        f" sed -i 's/{re.escape(old)}/99/g' new/DEBIAN/* new/usr/src/sysgenid-99/dkms.conf &&"
        " dpkg-deb -b new sysgenid-dkms_99.deb && rm -r new"
    )
    system.sh(f"{debian.INSTALL} /root/packages/sysgenid-dkms_99.deb")
    assert version(system) == "99"
    assert status(system) == status(system, "99") == sorted([upgraded.older, RELEASE])
    for folder in ("/usr/src", "/var/lib/dkms/sysgenid"):
        assert old not in system.sh(f"ls {folder}")


def test_the_new_kernel_loads_them(upgraded: Upgraded) -> None:
    with debian.boot(upgraded.system.machine(RELEASE, ids.A), "dkms") as vm:
        assert vm.sh("uname -r") == f"{RELEASE}\n"
        vm.wait_for("cat /sys/class/misc/sysgenid/source", "QEMUVGID:00")


@pytest.mark.parametrize(
    "hindrance, reason",
    [
        ("rm -r /var/lib/apt/lists", "apt cannot get linux-source-"),
        ("sed -i /CONFIG_RUST=/d {headers}/.config", "it is built without Rust"),
        ("sed -i s/rustc.1/rustc.2/ {headers}/.config", "it was built by "),
    ],
)
def test_it_says_why_it_cannot(upgraded: Upgraded, hindrance: str, reason: str) -> None:
    system = upgraded.system
    headers = f"/usr/src/linux-headers-{RELEASE}"
    if RELEASE in status(system):
        system.sh(f"dkms remove sysgenid/{version(system)} -k {RELEASE}")
    system.sh(f"mv /var/lib/apt /apt; cp -a /apt /var/lib/apt; cp -a {headers}/.config /config")
    try:
        system.sh(hindrance.format(headers=headers))
        said = system.sh(f"/etc/kernel/postinst.d/dkms {RELEASE} 2>&1")
    finally:
        system.sh(f"rm -r /var/lib/apt; mv /apt /var/lib/apt; mv /config {headers}/.config")
    lines = [line for line in said.splitlines() if line.startswith("sysgenid-dkms: ")]
    assert len(lines) == 1 and f"no modules for {RELEASE}: {reason}" in lines[0]
    assert status(system) == [upgraded.older]


def test_nothing_is_left_behind(upgraded: Upgraded) -> None:
    upgraded.system.sh("apt-get -q -y purge sysgenid-dkms sysgenid")
    skipped = " ".join(
        f"-path {name} -prune -o" for name in ("/proc", "/root", "/var/log", "/var/cache")
    )
    assert upgraded.system.sh(f"find / -xdev {skipped} -name '*sysgenid*' -print") == ""
