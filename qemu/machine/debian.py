# SPDX-License-Identifier: GPL-2.0
"""Debian systems in folders, and guests that boot from them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from vm import CACHE, COMMAND_LINE, Machine, Spec

PACKAGES = CACHE / "deb"
SYSTEMS = CACHE / "debian"
SOURCE = Path(__file__).resolve().parents[2]

# What a cloud image has, as far as it matters here.
USUAL = "initramfs-tools,kmod,passwd,systemd-sysv,udev,zstd"

# Without what is only recommended, which takes minutes to boot.
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends"

# The first process of all, and services, on an emulated processor.
BOOT_TIME = 600.0
INSTALL_TIME = 1800.0

# The disk is not written to. A device may take longer than on a machine that people wait for.
OPTIONS = "root=/dev/vda ro systemd.volatile=state systemd.default_device_timeout_sec=600"

# Runs commands of the host, by the functions of qemu/guest/init.
FUNCTIONS = r"^(?:answer|serve)\(\) \{\n.*?^\}\n"
AGENT = """\
[Unit]
After=multi-user.target
[Service]
Type=exec
Environment=HOME=/root
ExecStart=sh -c '. /usr/local/lib/serve && serve'
StandardOutput=journal+console
StandardError=journal+console
"""


class CommandFailed(Exception):
    """A command in a system ended with a status other than 0."""


def run(*command: str | Path, timeout: float = INSTALL_TIME) -> str:
    """Runs a command here, and returns what it printed."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0:
        words = shlex.join(map(str, command))
        raise CommandFailed(f"`{words}` ended with status {done.returncode}:\n{done.stdout}")
    return done.stdout


@dataclass(frozen=True)
class System:
    """A Debian in a folder."""

    folder: Path

    @classmethod
    def make(cls, name: str) -> System:
        """A clean Debian trixie with the packages of trixie-backports at hand, and no kernel.

        All that is not Debian's is what the host needs to run commands in it as a guest.
        """
        system = cls(SYSTEMS / name)
        system.remove()
        SYSTEMS.mkdir(exist_ok=True)
        lists = "/etc/apt/sources.list.d/backports.list"
        run(
            *("mmdebstrap", "--mode=root", "--variant=apt", "--format=directory"),
            *("--dpkgopt=force-unsafe-io", f"--include={USUAL}"),
            f'--setup-hook=cp {lists} "$1{lists}"',
            *("trixie", system.folder, "/etc/apt/sources.list"),
        )
        for name in ("resolv.conf", "hosts"):
            shutil.copy(f"/etc/{name}", system.folder / "etc" / name)
        system._add_agent()
        system.sh("apt-get -q update")
        return system

    def give_packages(self) -> None:
        """Puts our packages into /root/packages."""
        for package in PACKAGES.glob("*.deb"):
            target = self.path("/root/packages")
            target.mkdir(exist_ok=True)
            shutil.copy(package, target)

    def copy(self, name: str) -> System:
        """Another one like this."""
        system = System(SYSTEMS / name)
        system.remove()
        run("cp", "-a", "--reflink=auto", self.folder, system.folder)
        return system

    def remove(self) -> None:
        """Takes it away."""
        self.folder.with_suffix(".disk").unlink(missing_ok=True)
        run("rm", "-rf", "--one-file-system", self.folder)

    def sh(self, command: str) -> str:
        """Runs a shell command as root of this system, which does not run itself."""
        script = f"""
            mount -t proc proc {self.folder}/proc
            mount --rbind /dev {self.folder}/dev
            exec chroot {self.folder} sh -ec "$1"
        """
        return run("unshare", "--mount", "sh", "-ec", script, "sh", command)

    def path(self, name: str) -> Path:
        """Where a file of this system is."""
        return self.folder / name.lstrip("/")

    def contents(self) -> dict[str, str]:
        """What belongs to packages, or comes from their scripts: each file with a digest.

        Without what dpkg and apt note down for themselves, and without backups.
        """
        skipped = "var/lib/dpkg var/lib/apt var/log var/cache proc dev sys run tmp root/packages"
        prune = " -o ".join(f"-path ./{name}" for name in skipped.split())
        listed = run(
            *("sh", "-ec", 'cd "$1" && eval "$2"', "sh", self.folder),
            rf"find . \( {prune} \) -prune -o -type f ! -name '*-' -exec sha256sum '{{}}' +; "
            rf"find . \( {prune} \) -prune -o ! -type f -printf '- %p %l\n'",
        )
        return dict(line.split(maxsplit=1)[::-1] for line in listed.splitlines())

    def _add_agent(self) -> None:
        """Adds a service that runs what the host asks for, see qemu/guest/init."""
        agent = self.path("/usr/local/lib/serve")
        init = (SOURCE / "qemu/guest/init").read_text()
        agent.write_text("".join(re.findall(FUNCTIONS, init, re.M | re.S)))
        units = self.path("/etc/systemd/system")
        (units / "agent.service").write_text(AGENT)
        wants = units / "multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / "agent.service").symlink_to("/etc/systemd/system/agent.service")

    def disk(self) -> Path:
        """A disk with all of it."""
        disk = self.folder.with_suffix(".disk")
        disk.unlink(missing_ok=True)
        run("mke2fs", "-q", "-t", "ext4", "-d", self.folder, disk, "3G")
        return disk

    def machine(self, release: str, guid: str | None) -> Spec:
        """A machine that boots this system, with its own kernel and initramfs.

        As nothing is written to the disk, clones can share it.
        """
        append = f"console=ttyS0 {COMMAND_LINE} ignore_loglevel {OPTIONS}"
        return Spec(
            guid=guid,
            memory="512M",
            extra=(
                *("-kernel", str(self.path(f"/boot/vmlinuz-{release}").resolve())),
                *("-initrd", str(self.path(f"/boot/initrd.img-{release}"))),
                *("-append", append),
                *("-drive", f"file={self.disk()},format=raw,if=virtio,readonly=on"),
            ),
        )


def boot(spec: Spec, name: str) -> Machine:
    """Boots a machine, which takes longer than a guest of the other tests."""
    return Machine.boot(spec, name, BOOT_TIME)
