# SPDX-License-Identifier: GPL-2.0
"""The command sysgenid, in guests and in their clones."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ids
import pytest
from testmodules import Source

import crate
import modules
from vm import CommandFailed, Machine, Spec

ROOT = Path(__file__).parents[2]
SPEC = Spec(guid=ids.A)
# Runs the command as somebody who is not root and has no rights.
NOBODY = "start-stop-daemon -S -q -c 99:99 -x /bin/sysgenid --"
USERS = "mkdir -p /etc; echo nobody:x:99:99::/:/bin/sh >/etc/passwd; echo nobody:x:99: >/etc/group"
SHELLS = ("bash", "elvish", "fish", "powershell", "zsh")

Fresh = Callable[[Spec], Machine]


@pytest.fixture(scope="module")
def extra(folders: Callable[[str], Path]) -> tuple[str, ...]:
    return crate.arguments(folders("crate"))


@pytest.fixture
def fresh(fresh: Fresh, extra: tuple[str, ...]) -> Fresh:
    """Guests that have the programs."""
    return lambda spec: fresh(replace(spec, extra=extra))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command here, in the build root, where there is no device."""
    return subprocess.run([str(crate.command()), *arguments], capture_output=True, text=True)


def fails(vm: Machine, command: str, status: int, message: str) -> str:
    """Expects a command to end with that status, and with a message that starts so."""
    with pytest.raises(CommandFailed) as failed:
        vm.sh(command)
    assert failed.value.status == status
    assert failed.value.output.startswith(f"sysgenid: {message}"), failed.value.output
    return failed.value.output


def lag(vm: Machine) -> int:
    """Starts a program that watches and does nothing."""
    pid = int(vm.sh("sleep 1000 8<>/dev/sysgenid & echo $!"))
    vm.wait_for("cat /sys/class/misc/sysgenid/watchers", "^1$")
    return pid


def watch(vm: Machine, command: str, options: str = "", file: str = "watch") -> None:
    """Runs a shell command in each generation, in the background."""
    vm.sh(f"cat >/tmp/{file}.sh <<'END'\n{command}\nEND")
    before = int(vm.sh("cat /sys/class/misc/sysgenid/watchers"))
    vm.sh(f"sysgenid watch {options} -- sh /tmp/{file}.sh >/tmp/{file} 2>&1 &")
    vm.wait_for("cat /sys/class/misc/sysgenid/watchers", f"^{before + 1}$")


# What is asked of the device


@pytest.mark.parametrize(
    "spec,source,expected",
    [
        (SPEC, True, {"source": "QEMUVGID:00", "mode": "observing", "live_id": True}),
        (
            Spec(guid=ids.A, append=modules.BOUND),
            True,
            {"source": "QEMUVGID:00", "mode": "bound", "live_id": True},
        ),
        (SPEC, False, {"source": None, "mode": "alone", "live_id": False}),
    ],
    ids=["observing", "bound", "alone"],
)
def test_status(fresh: Fresh, spec: Spec, source: bool, expected: dict[str, object]) -> None:
    with fresh(spec) as vm:
        modules.load(vm, source=source)
        lag(vm)
        vm.sh("sysgenid trigger")
        status = json.loads(vm.sh("sysgenid status --json"))
        counts = {"generation": 1, "watchers": 1, "outdated_watchers": 1}
        assert status == {**expected, **counts}

        checks = "without" if expected["live_id"] else "by"
        assert vm.sh("sysgenid status").splitlines() == [
            "generation:        1",
            f"source:            {expected['source'] or 'none'}",
            f"mode:              {expected['mode']}",
            "watchers:          1",
            "outdated watchers: 1",
            f"libraries check:   {checks} a system call",
        ]


def test_status_of_another_kind_of_source(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        modules.load(vm, source=False)
        Source(vm, ids.A).attach()
        status = json.loads(vm.sh("sysgenid status --json"))
        assert (status["mode"], status["source"]) == ("attached", Source.NAME)


def test_get_and_trigger(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        modules.load(vm)
        assert vm.sh("sysgenid get") == "0\n"
        assert vm.sh("sysgenid trigger") == "1\n"
        assert vm.sh("sysgenid trigger --min 7") == "7\n"
        assert vm.sh("sysgenid trigger --min 7") == "8\n"
        assert vm.sh("sysgenid get") == "8\n"
        fails(vm, "sysgenid trigger --min 4294967295", 1, "the generation stays: software may")
        assert vm.sh("sysgenid get") == "8\n"


def test_wait(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        modules.load(vm)
        fails(vm, "sysgenid wait --timeout 0", 5, "no generation but 0 in this time")
        fails(vm, "sysgenid wait --timeout 100ms --since 0", 5, "no generation but 0")

        vm.sh("sysgenid wait >new 2>&1 &")
        vm.sh("sleep 0.5; [ ! -s new ]; pidof sysgenid")
        # It holds up nobody.
        assert vm.sh("sysgenid trigger && sysgenid settle --timeout 0").startswith("1\nall ")
        vm.wait_for("cat new", "^1$")

        assert vm.sh("sysgenid wait --since 0") == "1\n"
        assert vm.sh("sysgenid wait --since 5 --timeout 0") == "1\n"


def test_wait_sees_a_clone(tmp_path: Path, fresh: Fresh) -> None:
    with fresh(SPEC) as machine:
        modules.load(machine)
        machine.sh("sysgenid wait >new 2>&1 &")
        machine.sh("sleep 0.5; pidof sysgenid")
        snapshot = machine.snapshot(tmp_path / "snapshot")

    with snapshot.restore(ids.B) as vm:
        vm.wait_for("cat new", "^1$")
        assert vm.sh("sysgenid wait --since 0 --timeout 0") == "1\n"


def test_settle(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        modules.load(vm)
        assert vm.sh("sysgenid settle") == "all watchers have acknowledged generation 0\n"

        pid = lag(vm)
        vm.sh("sysgenid trigger")
        for timeout in ("0", "0.3", "300ms"):
            said = fails(
                vm,
                f"sysgenid settle --timeout {timeout}",
                5,
                "generation 1 is not acknowledged by 1 watcher\n",
            )
            assert said.splitlines()[1:] == [
                f"  process {pid} (sleep), descriptor 8, which has acknowledged generation 0"
            ]

        vm.sh("sysgenid settle >settled 2>&1 &")
        vm.sh(f"sleep 0.5; [ ! -s settled ] && kill {pid}")
        vm.wait_for("cat settled", "^all watchers have acknowledged generation 1$")


def test_settle_says_that_others_are_hidden(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        modules.load(vm)
        lag(vm)
        vm.sh(f"sysgenid trigger; {USERS}")
        with pytest.raises(CommandFailed) as failed:
            vm.sh(f"{NOBODY} settle --timeout 0")
        assert failed.value.status == 5
        first, second = failed.value.output.splitlines()
        assert first == "sysgenid: generation 1 is not acknowledged by 1 watcher"
        assert second.startswith("  /proc does not show all of them")


def test_progress_is_for_terminals(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        modules.load(vm)
        pid = lag(vm)
        vm.sh("sysgenid trigger")
        # The console is a terminal, and its output is in the log.
        vm.sh("sysgenid settle --timeout 2.5 2>/dev/console", check=False)
        vm.sh(f"sysgenid wait --timeout 1.5 2>/dev/console; kill {pid}", check=False)
        vm.finish_log()
        log = vm.log.read_bytes().decode(errors="replace")
        waiting = "waiting for 1 watcher to acknowledge generation 1, {} of 2.5 s"
        for line in (waiting.format(1), waiting.format(2)):
            assert f"\r\x1b[K{line}" in log
        assert "\r\x1b[Kwaiting for another generation than 1, 1 of 1.5 s\r\x1b[K" in log

        said = fails(vm, "sysgenid wait --timeout 1.5", 5, "no generation but 1")
        assert "waiting" not in said


# Watching


def test_watch_in_two_clones(tmp_path: Path, fresh: Fresh) -> None:
    with fresh(SPEC) as machine:
        modules.load(machine)
        watch(machine, "echo generation $SYSGENID_GENERATION; /guest/draw 1", options="--now")
        first = machine.wait_for("cat watch", r"^generation 0\n(\w{16,})$").group(1)
        snapshot = machine.snapshot(tmp_path / "snapshot")

    drawn = {first}
    with snapshot.restore(ids.B) as one, snapshot.restore(ids.C) as two:
        for vm in (one, two):
            assert vm.sh("sysgenid settle").endswith("generation 1\n")
            # Once, and before settle has returned.
            said = vm.sh("cat watch")
            match = re.fullmatch(r"generation 0\n\w+\ngeneration 1\n(\w+)\n", said)
            assert match, said
            drawn.add(match.group(1))
    assert len(drawn) == 3


def test_watch_without_now_waits_for_a_generation(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        modules.load(vm)
        watch(vm, "echo ran in $SYSGENID_GENERATION")
        assert vm.sh("sysgenid settle; cat watch").endswith("generation 0\n")
        vm.sh("sysgenid trigger --min 3; sysgenid settle")
        assert vm.sh("cat watch") == "ran in 3\n"


def test_watch_acknowledges_success_alone(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        modules.load(vm)
        watch(vm, "echo ran in $SYSGENID_GENERATION; [ -e /tmp/ready ] || exit 3")
        vm.sh("sysgenid trigger")
        vm.wait_for("cat watch", "^ran in 1\n(.*\n)+ran in 1$")
        said = fails(vm, "sysgenid settle --timeout 0", 5, "generation 1 is not acknowledged")
        assert re.search(r"^  process \d+ \(sysgenid\), ", said, re.M)
        assert (
            "sysgenid: sh: exit status: 3. Generation 1 is not acknowledged, so control planes "
            "wait. sh runs again in 1 s\n" in vm.sh("cat watch")
        )
        vm.wait_for("cat watch", "runs again in 2 s")

        vm.sh("touch /tmp/ready && sysgenid settle")
        # From now on it is done.
        lines = vm.sh("cat watch")
        vm.sh("sleep 3")
        assert vm.sh("cat watch") == lines


def test_watch_says_which_signal_ended_a_command(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        modules.load(vm)
        watch(vm, "kill -KILL $$", options="--no-retry")
        vm.sh("sysgenid trigger")
        vm.wait_for("cat watch", r"^sysgenid: sh: signal: 9 \(SIGKILL\)\. Generation 1 is not")


def test_watch_does_not_end_a_newer_generation_unseen(fresh: Fresh) -> None:
    """One that begins while the command runs."""
    with fresh(SPEC) as vm:
        modules.load(vm)
        watch(
            vm, "echo ran in $SYSGENID_GENERATION; [ $SYSGENID_GENERATION != 1 ] || read x </tmp/go"
        )
        vm.sh("mkfifo /tmp/go; sysgenid trigger")
        vm.wait_for("cat watch", "^ran in 1$")
        vm.sh("sysgenid trigger; echo >/tmp/go; sysgenid settle")
        assert vm.sh("cat watch") == "ran in 1\nran in 2\n"


def test_watch_without_retry_waits_for_the_next_generation(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        modules.load(vm)
        watch(vm, "echo ran in $SYSGENID_GENERATION; [ $SYSGENID_GENERATION != 1 ]", "--no-retry")
        vm.sh("sysgenid trigger")
        vm.wait_for("cat watch", "sh runs again in the next generation$")
        vm.sh("sleep 2.5")
        fails(vm, "sysgenid settle --timeout 0", 5, "generation 1 is not acknowledged")
        assert vm.sh("grep -c ran watch") == "1\n"
        vm.sh("sysgenid trigger; sysgenid settle")
        assert vm.sh("tail -n 1 watch") == "ran in 2\n"


def test_the_command_of_watch_is_no_watcher(fresh: Fresh) -> None:
    """It inherits nothing of the device, so what it leaves in the background holds up nobody."""
    with fresh(SPEC) as vm:
        modules.load(vm)
        watch(vm, "ls -l /proc/self/fd; sleep 1000 >/dev/null 2>&1 &")
        vm.sh("sysgenid trigger; sysgenid settle")
        assert "sysgenid" not in vm.sh("cat watch")
        vm.sh("kill $(pidof sysgenid); sysgenid trigger; sysgenid settle; rmmod sysgenid_vmgenid")
        vm.sh("rmmod sysgenid")


# Errors


def test_without_the_device(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        for command in ("status", "get", "wait", "settle", "trigger", "watch true"):
            fails(
                vm,
                f"sysgenid {command}",
                3,
                'no /dev/sysgenid: is the module loaded? Try "modprobe sysgenid_vmgenid"',
            )


def test_with_another_device(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        modules.load(vm)
        fails(vm, "sysgenid --device /dev/null get", 3, "/dev/null does not answer as sysgenid")
        fails(vm, "SYSGENID_DEVICE=/dev/no sysgenid get", 3, "no /dev/no: ")
        vm.sh("mv /dev/sysgenid /dev/other")
        fails(vm, "sysgenid get", 3, "no /dev/sysgenid: ")
        assert vm.sh("SYSGENID_DEVICE=/dev/other sysgenid get") == "0\n"
        assert vm.sh("sysgenid get --device /dev/other") == "0\n"
        assert json.loads(vm.sh("sysgenid --device /dev/other status --json"))["generation"] == 0


def test_somebody_without_rights(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        modules.load(vm)
        vm.sh(USERS)
        assert vm.sh(f"{NOBODY} get") == "0\n"
        assert vm.sh(f"{NOBODY} status").startswith("generation:        0\n")
        fails(
            vm,
            f"{NOBODY} watch true",
            4,
            "/dev/sysgenid may not be opened for writing, as a watcher does: be root, or",
        )
        fails(
            vm,
            f"{NOBODY} trigger",
            4,
            "a new generation needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN",
        )
        vm.sh("chmod 0600 /dev/sysgenid")
        fails(vm, f"{NOBODY} get", 4, "/dev/sysgenid may not be opened: look")


def test_output_that_fails(fresh: Fresh) -> None:
    with fresh(SPEC) as vm:
        modules.load(vm)
        fails(vm, "sysgenid get 2>&1 >/dev/full", 1, "standard output: No space left on device")


def test_a_wrong_command_line() -> None:
    for arguments in ((), ("watch",), ("wait", "--timeout", "soon"), ("get", "--json"), ("got",)):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert done.stderr


def test_watch_looks_for_its_command_first(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    for command, status, why in (
        ("/no/such", 127, "there is no such command"),
        ("no-such", 127, "there is no such command"),
        (str(script), 126, "this is not executable"),
    ):
        done = run("watch", command)
        assert (done.returncode, done.stderr) == (status, f"sysgenid: {command}: {why}\n")


# What comes with it


def test_the_manual_page_has_what_the_command_has() -> None:
    page = (ROOT / "Documentation/man/sysgenid.1").read_text().replace("\\-", "-")
    options = set()
    subcommands = re.findall(r"^  (\w+)  +\S", run("--help").stdout.split("Options:")[0], re.M)
    assert len(subcommands) == 8
    for subcommand in subcommands:
        if subcommand != "help":
            assert re.search(rf'^\.(B|BI|BR|BR "sysgenid) {subcommand}\b', page, re.M), subcommand
            options |= set(re.findall(r"--[a-z-]+", run(subcommand, "--help").stdout))
    assert {option for option in options if option not in page} == {"--"} & options
    for name in re.findall(r"SYSGENID_\w+", run("--help").stdout + run("watch", "--help").stdout):
        assert name in page

    # Exit statuses: those that the help lists, and those of the source.
    listed = re.findall(r"^  (\d+) +\S", run("--help").stdout.split("Exit status:")[1], re.M)
    sources = (ROOT / "crate/src/bin/sysgenid/exit.rs").read_text()
    constants = re.findall(r"^pub\(crate\) const \w+: u8 = (\d+);", sources, re.M)
    assert {*listed} == {"0", "2", *constants}
    section = page.split(".SH EXIT STATUS")[1].split(".SH")[0]
    assert re.findall(r"^\.B (\d+)$", section, re.M) == listed


@pytest.mark.parametrize("shell", SHELLS)
def test_completion(shell: str) -> None:
    done = run("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("status", "settle", "watch", "json", "timeout", "no-retry"):
        assert word in done.stdout


def test_completion_in_bash(tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(run("completion", "bash").stdout)

    def completions(*words: str) -> set[str]:
        program = f". {script}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1};"
        program += f"_sysgenid sysgenid {words[-1]} {words[-2]}; echo ${{COMPREPLY[*]}}"
        done = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return set(done.stdout.split())

    assert completions("sysgenid", "se") == {"settle"}
    assert completions("sysgenid", "wait", "--ti") == {"--timeout"}
    assert {"bash", "zsh"} <= completions("sysgenid", "completion", "''")


def test_the_program_is_small_and_needs_no_other_file() -> None:
    headers = subprocess.run(
        ["readelf", "--program-headers", "--dynamic", "--wide", crate.command()],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "INTERP" not in headers and "NEEDED" not in headers
    assert crate.command().stat().st_size < 1_800_000
