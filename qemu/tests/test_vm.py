# SPDX-License-Identifier: GPL-2.0
"""What vm.py promises: every wait ends, no complaint is missed, no QEMU is left behind."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import vm
from vm import BootedTwice, BootFails, CommandFailed, GuestError, Machine, Snapshot, Spec


@pytest.fixture
def guest(fresh: Callable[[Spec], Machine]) -> Iterator[Machine]:
    """A healthy guest, which has to stay so."""
    with fresh(Spec()) as machine:
        yield machine


@pytest.fixture
def doomed(fresh: Callable[[Spec], Machine]) -> Iterator[Machine]:
    """A guest that the test may ruin."""
    machine = fresh(Spec())
    yield machine
    machine.kill()


def test_the_guest_runs_the_kernel_that_was_asked_for(guest: Machine) -> None:
    release = guest.sh("uname -r").strip()
    assert release.endswith(f"-{vm.RELEASE}") if vm.HERE.is_own else release == vm.RELEASE
    show = [sys.executable, "-c", "import vm; print(vm.RELEASE)"]
    path = os.pathsep.join(sys.path)
    environment = {**os.environ, "RELEASE": "1.2.3", "PYTHONPATH": path}
    assert subprocess.check_output(show, env=environment, text=True) == "1.2.3\n"


def test_a_line_that_lost_its_beginning_is_sent_again(
    guest: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    send = guest._send

    def lose(data: bytes) -> None:
        sent.append(data)
        send(data if len(sent) > 1 else data[-6:])

    monkeypatch.setattr(guest, "_send", lose)
    assert guest.sh("echo ran >>/tmp/ran; cat /tmp/ran") == "ran\n"
    assert len(sent) == 2 and sent[0] == sent[1]


def test_a_command_returns_its_output(guest: Machine) -> None:
    assert guest.sh("echo one; echo two >&2") == "one\ntwo\n"


def test_output_may_be_empty(guest: Machine) -> None:
    assert guest.sh("true") == ""


def test_a_failing_command_raises_with_its_output(guest: Machine) -> None:
    with pytest.raises(CommandFailed, match="no luck") as error:
        guest.sh("echo no luck; exit 3")
    assert error.value.status == 3


def test_a_failing_command_may_be_expected(guest: Machine) -> None:
    assert guest.sh("echo no luck; false", check=False) == "no luck\n"


def test_output_may_look_like_the_protocol(guest: Machine) -> None:
    assert guest.sh(r"printf 'done 1 0\n=\nready\r\n\004\003\021\023'") == (
        "done 1 0\n=\nready\r\n\4\3\21\23"
    )


def test_output_may_be_large(guest: Machine) -> None:
    output = guest.sh("head -c 300000 /dev/urandom | base64 | tee /tmp/large")
    assert len(output) > 400000
    assert hashlib.sha256(output.encode()).hexdigest() in guest.sh("sha256sum /tmp/large")


def test_a_command_may_be_long(guest: Machine) -> None:
    text = "x" * 50000
    assert guest.sh(f"echo {text}") == f"{text}\n"


def test_a_background_process_neither_blocks_nor_ends(guest: Machine) -> None:
    start = time.monotonic()
    pid = int(guest.sh("sleep 100 & echo $!"))
    assert time.monotonic() - start < 20
    guest.sh(f"kill -0 {pid} && kill {pid}")


def test_waiting_for_output_is_bounded_and_spares_the_guest(guest: Machine) -> None:
    with pytest.raises(TimeoutError, match="no 'never' from `echo now`"):
        guest.wait_for("echo now", "never", timeout=1)
    assert guest.sh("echo alive") == "alive\n"


def test_a_panic_ends_the_guest_at_once_with_its_log(doomed: Machine) -> None:
    with pytest.raises(GuestError, match="Kernel panic - not syncing: sysrq") as error:
        doomed.sh("echo c >/proc/sysrq-trigger", timeout=60)
    assert "the guest ended before" in str(error.value)
    assert doomed.status() == "gone"


def test_a_hanging_command_ends_the_guest_in_time_with_its_log(doomed: Machine) -> None:
    start = time.monotonic()
    with pytest.raises(GuestError, match="the guest hangs: .*sleep 1000` ends") as error:
        doomed.sh("echo last words >/dev/kmsg; sleep 1000", timeout=2)
    assert time.monotonic() - start < 20
    assert "last words" in str(error.value)
    with pytest.raises(GuestError, match="the guest is gone"):
        doomed.sh("true")


def test_a_guest_that_does_not_boot_ends_in_time() -> None:
    with pytest.raises(GuestError, match="the guest hangs: time is over before it boots"):
        Machine.boot_once(Spec(append="rdinit=/bin/cat"), "noinit", timeout=8)


def test_a_kernel_that_does_not_boot_gets_a_second_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    boot_once, specs = Machine.boot_once, []

    def die_first(spec: Spec, name: str, timeout: float) -> Machine:
        specs.append(spec)
        panics = replace(spec, append="rdinit=/none")
        return boot_once(panics if len(specs) == 1 else spec, name, timeout)

    monkeypatch.setattr(Machine, "boot_once", die_first)
    with pytest.warns(BootedTwice, match="(?s)the guest ended before it boots.*Unable to mount"):
        with Machine.boot(Spec(), "twice") as machine:
            assert machine.sh("echo alive") == "alive\n"
    assert len(specs) == 2


def test_a_stock_kernel_that_complains_while_it_boots_has_not_booted() -> None:
    # The kernel's log has its command line.
    complains = Spec(append='bug="BUG: not really"')
    with pytest.raises(GuestError, match="the guest's kernel complains: .*not really") as error:
        Machine.boot_once(complains, "complains", timeout=vm.BOOT_TIME)
    assert isinstance(error.value, BootFails) != vm.HERE.is_own


def test_a_first_process_that_dies_gets_none(recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(GuestError, match="(?s)the guest ended before it boots.*kill init"):
        Machine.boot(Spec(append="rdinit=/bin/false"), "once")
    assert not recwarn.list


def test_a_complaint_of_the_kernel_fails_the_command(doomed: Machine) -> None:
    with pytest.raises(GuestError, match="the guest's kernel complains: .*BUG: not really"):
        doomed.sh("echo BUG: not really >/dev/kmsg; sleep 1")


def test_a_complaint_after_the_last_command_fails_the_guest(doomed: Machine) -> None:
    with pytest.raises(GuestError, match="the guest's kernel complains: .*WARNING: late"):
        with doomed:
            doomed.sh("(sleep 1; echo WARNING: late >/dev/kmsg) &")
            time.sleep(3)


def test_a_complaint_before_a_snapshot_fails_it(doomed: Machine, tmp_path: Path) -> None:
    doomed.sh("(sleep 1; echo WARNING: early >/dev/kmsg) &")
    time.sleep(3)
    with pytest.raises(GuestError, match="the guest's kernel complains: .*WARNING: early"):
        doomed.snapshot(tmp_path / "snapshot")


def test_another_error_shows_the_log(doomed: Machine) -> None:
    with pytest.raises(ZeroDivisionError) as error:
        with doomed:
            doomed.sh("echo seen in the log >/dev/kmsg; sleep 1")
            raise ZeroDivisionError
    assert "seen in the log" in error.value.__notes__[0]


def test_a_machine_that_qemu_refuses_says_why() -> None:
    with pytest.raises(GuestError, match="'nonsense' is not a valid device model name"):
        Machine.boot(Spec(extra=("-device", "nonsense")))


def test_a_broken_snapshot_says_why(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    path.write_bytes(b"nonsense" * 100)
    with pytest.raises(GuestError, match="Not a migration stream"):
        Snapshot(path, Spec(), "broken").restore(None)


def test_a_snapshot_can_be_restored_several_times_at_once(guest: Machine, tmp_path: Path) -> None:
    guest.sh("(while sleep 0.1; do echo >>/tmp/ticks; done) &")
    snapshot = guest.snapshot(tmp_path / "snapshot")
    with snapshot.restore(None) as one, snapshot.restore(None, run=False) as two:
        one.wait_for("wc -l </tmp/ticks", "^[1-9][0-9]")
        assert two.status() == "paused"
        two.cont()
        two.wait_for("wc -l </tmp/ticks", "^[1-9][0-9]")
        one.sh("touch /tmp/mine")
        two.sh("test ! -e /tmp/mine")


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Forgets which accelerator works here."""
    monkeypatch.setattr(vm, "CACHE", tmp_path)
    vm.accelerator.cache_clear()
    yield
    vm.accelerator.cache_clear()


@pytest.mark.usefixtures("nothing_known")
def test_without_kvm_it_is_tcg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vm, "DEV_KVM", tmp_path / "kvm")
    assert vm.accelerator() == vm.TCG


@pytest.mark.usefixtures("nothing_known")
def test_with_a_broken_kvm_it_is_tcg_and_stays_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(vm, "DEV_KVM", Path("/dev/null"))
    monkeypatch.setattr(vm, "KVM", ("-accel", "kvm,device=/dev/null"))
    assert vm.accelerator() == vm.TCG

    vm.accelerator.cache_clear()
    monkeypatch.setattr(vm, "boots_under", lambda accel: pytest.fail("probed again"))
    assert vm.accelerator() == vm.TCG


@pytest.mark.usefixtures("nothing_known")
def test_an_accelerator_that_boots_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm, "DEV_KVM", Path("/dev/null"))
    monkeypatch.setattr(vm, "KVM", vm.TCG + ("-name", "as-good-as-kvm"))
    # But not as fast.
    monkeypatch.setattr(vm, "KVM_BOOT_TIME", vm.BOOT_TIME)
    assert vm.accelerator() == vm.KVM


@pytest.mark.usefixtures("nothing_known")
def test_an_accelerator_whose_guest_hangs_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm, "DEV_KVM", Path("/dev/null"))
    monkeypatch.setattr(vm, "KVM", vm.TCG + ("-S",))
    monkeypatch.setattr(vm, "KVM_BOOT_TIME", 3.0)
    assert vm.accelerator() == vm.TCG


SLEEPER = """
import sys, time
sys.path.insert(0, {path!r})
from vm import Machine, Spec
with Machine(Spec(), "sleeper") as machine:
    print(machine.pid, flush=True)
    time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_qemu_survives_its_parent(number: signal.Signals) -> None:
    program = SLEEPER.format(path=str(Path(vm.__file__).parent))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        qemu = Path("/proc", parent.stdout.readline().decode().strip())
        assert "qemu-system" in (qemu / "cmdline").read_text()
        parent.send_signal(number)
        assert parent.wait(timeout=30) != 0
    deadline = time.monotonic() + 10
    while _is_alive(qemu):
        assert time.monotonic() < deadline, f"{qemu} still runs"
        time.sleep(0.05)


def _is_alive(process: Path) -> bool:
    try:
        return "\nState:\tZ" not in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
