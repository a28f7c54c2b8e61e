# SPDX-License-Identifier: GPL-2.0
"""Guests under QEMU: boot, run commands, snapshot, restore any number of clones.

Nothing in here knows what is tested; modules.py does. Three promises hold for
every guest: each wait ends within a stated time, a kernel that complains is an
error (see splat.py), and no QEMU outlives the process that started it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import itertools
import os
import re
import select
import shlex
import socket
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from qemu.qmp import QMPClient, QMPError

import kernels
import splat
import virt

CACHE = Path(os.environ.get("SYSGENID_CACHE", "/cache"))
CURRENT = "current-arm64" if os.environ.get("ARCH") == "arm64" else "current"
RELEASE = os.environ.get("RELEASE") or (CACHE / "kernel" / CURRENT).resolve().name
ARM64 = "-arm64" in RELEASE
HERE = kernels.describe(RELEASE)
KERNEL = CACHE / "kernel" / RELEASE / "vmlinuz"
OPTIONS = kernels.options(KERNEL.parent / "build")
INITRAMFS = CACHE / "guest" / RELEASE / "initramfs.cpio"
LOGS = CACHE / "log/guests" / RELEASE

DEV_KVM = Path("/dev/kvm")
KVM = ("-accel", "kvm", "-cpu", "host")
TCG = ("-accel", "tcg,thread=multi", "-cpu", virt.CPU if ARM64 else HERE.cpu)

BOOT_TIME = 120.0 if ARM64 else 60.0
KVM_BOOT_TIME = 20.0
QMP_TIME = 30.0
CHANNEL_TIME = 30.0
MIGRATION_TIME = 60.0 * HERE.slowness
LEAK_TIME = 120.0

# Turns of the event loop in which a command is sent for certain; one would do.
SENDING = 5
TAIL_LINES = 40
MOST_TAIL_LINES = 200

# A guest that panics or oopses must end at once: panic=-1 reboots, which QEMU
# is told to take as the end. Every message goes to the console, for splat.py.
COMMAND_LINE = "panic=-1 oops=panic loglevel=8 printk.devkmsg=on"

# Where the kernel lists the memory that nothing refers to, and whether it says all of it
DEBUG = "/sys/kernel/debug"
KMEMLEAK = f"{DEBUG}/kmemleak"
KMEMLEAK_VERBOSE = "/sys/module/kmemleak/parameters/verbose"

# What the kernel says when it has done booting.
FIRST_PROCESS = " as init process"

# Guests of the tests' processes that run at the same time get names of their own.
_numbers = (f"{os.environ.get('PYTEST_XDIST_WORKER', '')}{n}" for n in itertools.count(1))


class GuestError(Exception):
    """The guest is of no more use: it hung, died or its kernel complained."""


class GuestHangs(GuestError):
    """The guest did not answer in time."""


class BootFails(GuestError):
    """The guest's kernel did not come as far as its first process, or complained before."""


class BootedTwice(UserWarning):
    """A guest's kernel hung, died or complained while it booted, and got another chance."""


class CommandFailed(Exception):
    """A command in the guest ended with a status other than 0."""

    def __init__(self, command: str, status: int, output: str) -> None:
        super().__init__(f"`{command}` ended with status {status}:\n{output}")
        self.status = status
        self.output = output


@dataclass(frozen=True)
class Spec:
    """What a machine is made of; a clone's differs from the original's in `guid` alone.

    `nodes` are for the device tree of an arm64 machine, where there is no `guid`.
    """

    guid: str | None = None
    append: str = ""
    smp: int = 2
    memory: str = "256M"
    machine: str = virt.MACHINE if ARM64 else "q35"
    extra: tuple[str, ...] = ()
    accel: tuple[str, ...] | None = None
    nodes: str = ""

    @property
    def mebibytes(self) -> int:
        """How much memory it has: `memory`, or what the kernel wants at least."""
        return max(kernels.mebibytes(self.memory), HERE.memory)

    def arguments(self) -> list[str]:
        """QEMU's command line without the ports, which shell.py wants otherwise."""
        for file in (KERNEL, INITRAMFS):
            if not file.exists():
                raise GuestError(f"{file} is missing: run `make guest` first")
        qemu = "qemu-system-aarch64" if ARM64 else "qemu-system-x86_64"
        # The kernel's driver claims a device tree's memory, which hwid could not look at then.
        console = "console=ttyAMA0 iomem=relaxed" if ARM64 else "console=ttyS0"
        return [
            *(qemu, "-machine", self.machine, *(self.accel or accelerator())),
            *("-smp", str(self.smp), "-m", f"{self.mebibytes}M"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-kernel", str(KERNEL), "-initrd", str(INITRAMFS)),
            *("-append", f"{console} {COMMAND_LINE} {self.append}"),
            *self._vmgenid(),
            *self.extra,
        ]

    def _vmgenid(self) -> tuple[str, ...]:
        if ARM64:
            nodes = virt.node() if self.guid else self.nodes
            return virt.arguments(nodes, self.guid, self.smp, self.memory)
        return ("-device", f"vmgenid,guid={self.guid}") if self.guid else ()


# How a guest comes about from what it is made of and a name, as by Machine.boot.
type Boot = Callable[[Spec, str], Machine]


class Machine:
    """One running QEMU. Made by boot() or Snapshot.restore(); use it in a `with`."""

    def __init__(self, spec: Spec, name: str, extra: tuple[str, ...] = ()) -> None:
        LOGS.mkdir(parents=True, exist_ok=True)
        self.spec = spec
        self.name = f"{name}-{next(_numbers)}"
        self.log = LOGS / f"{self.name}.log"
        self._scanned = 0
        self._sequence = 0
        self._received = b""
        self._loop = asyncio.new_event_loop()
        self._qmp = QMPClient(self.name)
        self._process, self._channel, monitor = self._spawn(extra)
        self.pid = self._process.pid
        try:
            self._sync(self._qmp.connect(monitor))
        except BaseException as error:
            self.kill()
            if isinstance(error, (QMPError, OSError, EOFError, TimeoutError)):
                raise self._failure("QEMU does not start") from None
            raise

    @classmethod
    def boot(cls, spec: Spec, name: str = "guest", timeout: float = BOOT_TIME) -> Machine:
        """Boots a machine and waits until it takes commands.

        Under TCG a stock kernel hangs once in hundreds of boots, dies of an
        int3 while it patches itself, or finds the initramfs's pages in a bad
        state, long before anything of ours runs. That gets a second chance,
        and a warning. A kernel of our own may have drivers of ours in it, so
        that what it complains of is an error.
        """
        try:
            return cls.boot_once(spec, name, timeout)
        except BootFails as error:
            warnings.warn(BootedTwice(str(error)), stacklevel=2)
            return cls.boot_once(spec, name, timeout)

    @classmethod
    def boot_once(cls, spec: Spec, name: str, timeout: float) -> Machine:
        """Boots a machine and waits until it takes commands, or fails."""
        vm = cls(spec, name)
        with vm._killed_on_error():
            deadline = time.monotonic() + timeout * HERE.slowness
            try:
                while vm._line(deadline, "it boots") != "ready":
                    pass
                vm.check_log()
            except GuestError as error:
                if vm._has_booted():
                    raise
                raise BootFails(str(error)) from None
        return vm

    def _has_booted(self) -> bool:
        """Whether the kernel came to its first process; a stock one without a complaint."""
        log = splat.relevant(self.log.read_text(errors="replace")).splitlines()
        good = itertools.takewhile(lambda line: not splat.is_complaint(line), log)
        return any(FIRST_PROCESS in line for line in (log if HERE.is_own else good))

    def _spawn(
        self, extra: tuple[str, ...]
    ) -> tuple[subprocess.Popen[bytes], socket.socket, socket.socket]:
        """Starts QEMU with a socket each for its monitor and for the guest's second port.

        Inherited sockets need no path and no waiting for a listener. What QEMU
        itself has to say goes to the same file as the guest's console. setpriv
        makes the kernel kill QEMU if this process dies in whatever way; its
        own session keeps the terminal's Ctrl-C for us, who then clean up.
        """
        channel, guest_channel = socket.socketpair()
        channel.settimeout(CHANNEL_TIME)
        monitor, guest_monitor = socket.socketpair()
        arguments = [
            *("setpriv", "--pdeathsig", "KILL", *self.spec.arguments()),
            *("-chardev", f"file,id=console,append=on,path={self.log}"),
            *("-chardev", f"socket,id=channel,fd={guest_channel.fileno()}"),
            *("-chardev", f"socket,id=monitor,fd={guest_monitor.fileno()}"),
            *("-serial", "chardev:console", "-serial", "chardev:channel"),
            *("-mon", "chardev=monitor,mode=control"),
            *extra,
        ]
        with guest_channel, guest_monitor, self.log.open("wb") as output:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(guest_channel.fileno(), guest_monitor.fileno()),
                start_new_session=True,
            )
        return process, channel, monitor

    # Commands in the guest

    def sh(self, command: str, timeout: float = 30.0, check: bool = True) -> str:
        """Runs a shell command in the guest, returns what it printed.

        What the command leaves in the background goes on. A command that does
        not end in time takes the guest with it, as nothing else can be said
        of its state. All times are those of a stock kernel.
        """
        self._sequence += 1
        sequence = str(self._sequence)
        encoded = base64.b64encode(command.encode()).decode()
        with self._killed_on_error():
            sent = f"{sequence} {encoded}"
            self._send(f"{sent}\n".encode())
            output, status = self._answer(sent, time.monotonic() + timeout * HERE.slowness, command)
            self.check_log()
        if check and status != 0:
            raise CommandFailed(command, status, output)
        return output

    def wait_for(self, command: str, pattern: str, timeout: float = 30.0) -> re.Match[str]:
        """Repeats a command until its output matches; the guest lives on if it never does.

        It has most of its time for what is waited for.
        """
        deadline = time.monotonic() + timeout * HERE.slowness
        while True:
            start = time.monotonic()
            output = self.sh(command, check=False)
            took = time.monotonic() - start
            if match := re.search(pattern, output, re.MULTILINE):
                return match
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{self.name}: no {pattern!r} from `{command}` within {timeout:g} s:\n{output}"
                )
            time.sleep(max(0.05, 4 * took))

    def _answer(self, sent: str, deadline: float, command: str) -> tuple[str, int]:
        """What comes back for a line that was sent, again if the guest has lost its beginning."""
        sequence = sent.split()[0]
        output = bytearray()
        while True:
            line = self._line(deadline, f"`{command}` ends")
            if line.startswith("="):
                output += base64.b64decode(line[1:])
            elif line.startswith(f"done {sequence} "):
                return output.decode(errors="replace"), int(line.split()[2])
            elif line == "again":
                self._send(f"{sent}\n".encode())
            else:
                raise self._failure(f"unexpected answer {line!r} on the command channel")

    def _send(self, data: bytes) -> None:
        try:
            self._channel.sendall(data)
        except OSError:
            raise self._failure("the guest is gone, or reads no commands") from None

    def _line(self, deadline: float, what: str) -> str:
        """The next line from the guest, or an error as soon as none can come any more."""
        while b"\n" not in self._received:
            if time.monotonic() > deadline:
                raise self._failure(f"the guest hangs: time is over before {what}", GuestHangs)
            if select.select([self._channel], [], [], 0.5)[0]:
                self._receive(what)
            elif (status := self.status()) != "running":
                raise self._failure(f"the guest is in state {status!r} before {what}")
        line, _, self._received = self._received.partition(b"\n")
        return line.decode(errors="replace").strip()

    def _receive(self, what: str) -> None:
        data = b""
        with contextlib.suppress(OSError):
            data = self._channel.recv(65536)
        if not data:
            raise self._failure(f"the guest ended before {what}")
        self._received += data

    # QEMU's monitor

    def qmp(self, command: str, **arguments: object) -> Any:
        """Runs one QMP command; an underscore in an argument's name stands for a hyphen."""
        options = {name.replace("_", "-"): value for name, value in arguments.items()}
        try:
            return self._sync(self._qmp.execute(command, options))
        except TimeoutError:
            raise self._failure(f"QEMU does not answer {command!r}") from None

    def qmp_until(self, event: str, command: str) -> None:
        """Runs one QMP command, and waits for the event that it leads to."""
        with self._qmp.listener(event) as listener:
            self.qmp(command)
            try:
                self._sync(listener.get())
            except TimeoutError:
                raise self._failure(f"no {event} after {command!r}") from None

    def _sync(self, future: Any) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(future, QMP_TIME))

    def status(self) -> str:
        """The run state as QEMU names it, "gone" if there is no QEMU any more."""
        if self._process.poll() is not None:
            return "gone"
        try:
            return str(self.qmp("query-status")["status"])
        except (QMPError, OSError, EOFError):
            return "gone"

    def cont(self) -> None:
        """Lets a paused guest run."""
        self.qmp("cont")

    def cont_alone(self, seconds: float) -> None:
        """Lets a paused guest run, and takes no time of the host's processors for so long.

        QEMU's answer is read afterwards: whoever waits for it runs just when the guest begins to.
        """
        answer = self._loop.create_task(self._qmp.execute("cont"))
        for _ in range(SENDING):
            self._sync(asyncio.sleep(0))
        time.sleep(seconds)
        self._sync(answer)

    def snapshot(self, path: Path, quiet: float = 0.0) -> Snapshot:
        """Stops the guest, writes its state to a file and ends this QEMU.

        Before that, the guest is left alone for `quiet` seconds.
        """
        with self._killed_on_error():
            self.finish_log()
            time.sleep(quiet)
            self.qmp("stop")
            self.qmp("migrate-set-parameters", max_bandwidth=1 << 40)
            self.qmp("migrate", uri=f"file:{path}")
            self._wait_migrated()
        self.quit()
        return Snapshot(path, self.spec, self.name)

    def _wait_migrated(self) -> None:
        deadline = time.monotonic() + MIGRATION_TIME
        while (state := self.qmp("query-migrate").get("status")) != "completed":
            if state == "failed" or time.monotonic() > deadline:
                raise self._failure(f"the snapshot is not written: {state}")
            time.sleep(0.02)

    def wait_restored(self) -> None:
        """Waits until QEMU has read the whole snapshot; the guest does not run yet."""
        deadline = time.monotonic() + MIGRATION_TIME
        while (state := self.status()) == "inmigrate":
            if time.monotonic() > deadline:
                raise self._failure("the snapshot is not read in time")
            time.sleep(0.02)
        if state != "paused":
            raise self._failure(f"the snapshot is not restored: the guest is {state!r}")

    # The log

    def check_log(self) -> None:
        """Fails if the kernel has complained since the last look."""
        with self.log.open("rb") as log:
            log.seek(self._scanned)
            new, newline, _ = log.read().rpartition(b"\n")
        # A byte is a character, so that both are counted alike.
        text = splat.finished((new + newline).decode("latin-1"))
        self._scanned += len(text)
        if found := splat.find(text):
            raise self._failure("the guest's kernel complains: " + found[0])

    def finish_log(self, timeout: float = 20.0) -> None:
        """Waits until all that the kernel has said so far is in the log, and checks it."""
        mark = f"vm.py: end of log {time.monotonic_ns()}"
        self.sh(f"echo {shlex.quote(mark)} >/dev/kmsg")
        deadline = time.monotonic() + timeout * HERE.slowness
        while mark.encode() not in self.log.read_bytes():
            if time.monotonic() > deadline:
                raise self._failure("the guest's console does not get on")
            time.sleep(0.01)
        self.check_log()

    def look_for_leaks(self) -> None:
        """Has the kernel complain of memory that nothing refers to, as far as it can find that.

        It tells of what two scans found unchanged, and the second one five seconds old. All of it
        is in the log after finish_log().
        """
        if "DEBUG_KMEMLEAK" not in OPTIONS:
            return
        self.sh(
            f"mount -t debugfs debugfs {DEBUG} 2>/dev/null; echo 1 >{KMEMLEAK_VERBOSE};"
            f" echo scan >{KMEMLEAK} && sleep 6 && echo scan >{KMEMLEAK}",
            timeout=LEAK_TIME,
        )

    def tail(self) -> str:
        """The end of the log, from the first complaint on, to be shown with an error."""
        lines = splat.relevant(self.log.read_text(errors="replace")).splitlines()
        start = next((n for n, line in enumerate(lines) if splat.is_complaint(line)), len(lines))
        start = max(min(start, len(lines) - TAIL_LINES), 0)
        shown = lines[start:][:MOST_TAIL_LINES]
        return "\n".join([f"--- the end of {self.log}:", *shown])

    # The end

    def close(self) -> None:
        """Ends a healthy guest; a leak, or a last complaint of its kernel, is an error."""
        if self.status() == "running":
            with self._killed_on_error():
                self.look_for_leaks()
                self.finish_log()
        self.quit()

    def quit(self) -> None:
        """Ends QEMU politely, so that its files are complete."""
        if self._process.poll() is None:
            with contextlib.suppress(QMPError, OSError, EOFError, subprocess.TimeoutExpired):
                self.qmp("quit")
                self._process.wait(QMP_TIME)
        self.kill()

    def kill(self) -> None:
        """Ends QEMU at once, if it still runs, and frees everything."""
        self._process.kill()
        self._process.wait()
        self._channel.close()
        if not self._loop.is_closed():
            with contextlib.suppress(QMPError, OSError, EOFError, TimeoutError):
                self._sync(self._qmp.disconnect())
            self._loop.close()

    def _failure(self, reason: str, kind: type[GuestError] = GuestError) -> GuestError:
        return kind(f"{self.name}: {reason}\n{self.tail()}")

    @contextlib.contextmanager
    def _killed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        if not isinstance(error, GuestError):
            error.add_note(self.tail())
        self.kill()


@dataclass(frozen=True)
class Snapshot:
    """A stopped guest in a file, to be restored as often as one likes, also at once."""

    path: Path
    spec: Spec
    name: str

    def restore(self, guid: str | None, run: bool = True, name: str | None = None) -> Machine:
        """Starts a clone under the given VMGENID. `run` false leaves it paused for cont()."""
        spec = replace(self.spec, guid=guid)
        name = name or f"{self.name}-clone"
        vm = Machine(spec, name, ("-incoming", f"file:{self.path}"))
        with vm._killed_on_error():
            vm.wait_restored()
            if ARM64 and guid and guid != virt.hardware_id(vm):
                virt.change_id(vm, guid)
                virt.notify(vm)
            if run:
                vm.cont()
        return vm


@functools.cache
def accelerator() -> tuple[str, ...]:
    """KVM where it really boots a guest, else TCG.

    A /dev/kvm proves nothing: on some hosts it is there and fails at the first
    instruction. The answer is kept until the host boots again.
    """
    if ARM64 or not os.access(DEV_KVM, os.R_OK | os.W_OK):
        return TCG
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    note = CACHE / "accelerator"
    words = note.read_text().split() if note.exists() else []
    if words[:1] != [boot_id]:
        words = [boot_id, "kvm" if boots_under(KVM) else "tcg"]
        note.write_text(" ".join(words) + "\n")
    return KVM if words[1:] == ["kvm"] else TCG


def boots_under(accel: tuple[str, ...]) -> bool:
    """Whether a guest comes up under these accelerator arguments and takes a command."""
    try:
        with Machine.boot_once(Spec(accel=accel), "accelerator", KVM_BOOT_TIME) as vm:
            vm.sh("true")
    except GuestError:
        return False
    return True
