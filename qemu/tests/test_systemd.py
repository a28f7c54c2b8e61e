# SPDX-License-Identifier: GPL-2.0
"""Services of a machine that runs systemd and udev, when it is cloned.

Run by "make test-packages".
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import ids
import pytest
from conftest import Systems

import debian
from vm import RELEASE, CommandFailed, Machine, Snapshot

pytestmark = pytest.mark.packages

SERVICE = """\
[Unit]
{unit}
[Service]
ExecStart=sleep infinity
ExecReload=sh -c 'sleep 1; echo reloaded >>/run/{name}'
[Install]
WantedBy=multi-user.target
"""

UNITS = {
    # reloaded by the uevent, whoever causes that
    "device": "ReloadPropagatedFrom=dev-sysgenid.device",
    # reloaded by the hook 50-reload, which waits for it
    "hook": "Before=sysgenid-hooks.service\nReloadPropagatedFrom=sysgenid-hooks.service",
    # waits for the device
    "bound": "Requires=dev-sysgenid.device\nAfter=dev-sysgenid.device",
}

# Slow, and it fails or hangs once if a test says so.
HOOK = """\
#!/bin/sh
sleep 3
if rm /run/fail 2>/dev/null; then
    echo "failed $SYSGENID_GENERATION" >>/run/hooks
    exit 1
fi
if rm /run/hang 2>/dev/null; then
    exec sleep 1000
fi
echo "done $SYSGENID_GENERATION" >>/run/hooks
"""

DROP_IN = """\
[Service]
Environment=SYSGENID_HOOKS_TIMEOUT=20
"""

QUIET_TIME = 5.0

ALL = "sysgenid-hooks.service " + " ".join(f"{name}.service" for name in UNITS)


def prepare(system: debian.System) -> None:
    """Adds services and a hook."""
    units = system.path("/etc/systemd/system")
    for name, unit in UNITS.items():
        (units / f"{name}.service").write_text(SERVICE.format(unit=unit, name=name))
    hook = system.path("/etc/sysgenid/after-restore.d/90-slow")
    hook.write_text(HOOK)
    hook.chmod(0o755)
    drop_in = units / "sysgenid-hooks.service.d/time.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(DROP_IN)
    system.sh("systemctl enable " + " ".join(UNITS))


@pytest.fixture(scope="module")
def snapshot(systems: Systems, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    """A machine on which all services run, and nothing has happened yet."""
    system = systems.installed().copy("systemd")
    folder = tmp_path_factory.mktemp("systemd")
    prepare(system)
    with debian.boot(system.machine(RELEASE, ids.A), "systemd") as vm:
        active = f'[ "$(systemctl is-active {ALL} | sort -u)" = active ]'
        vm.sh(f"until {active}; do sleep 2; done", timeout=600)
        vm.wait_for("cat /sys/class/misc/sysgenid/watchers", "^1$", timeout=120)
        assert [*happened(vm).values()] == [[], [], []]
        yield vm.snapshot(folder / "snapshot")
    shutil.rmtree(folder)
    system.remove()


def happened(vm: Machine) -> dict[str, list[str]]:
    """What the services and the hook have written down so far."""
    names = ("device", "hook", "hooks")
    return {name: vm.sh(f"cat /run/{name} 2>/dev/null", check=False).splitlines() for name in names}


def settle(vm: Machine) -> dict[str, list[str]]:
    """Waits for all watchers, as the first that anybody does, and tells what has happened."""
    vm.sh("sysgenid settle --timeout 200", timeout=210)
    return happened(vm)


def test_each_clone_runs_the_hooks_and_reloads(snapshot: Snapshot, tmp_path: Path) -> None:
    for first in (ids.B, ids.C):
        with snapshot.restore(first) as vm:
            told = settle(vm)
            assert told["hooks"] == ["done 1"]
            assert told["hook"] == ["reloaded"]
            vm.wait_for("cat /run/device", r"\Areloaded\n\Z")
            second = vm.snapshot(tmp_path / "second")
    with second.restore(ids.D) as vm:
        told = settle(vm)
        assert told["hooks"] == ["done 1", "done 2"]
        assert told["hook"] == ["reloaded"] * 2
        vm.wait_for("cat /run/device", r"\A(reloaded\n){2}\Z")
        assert vm.sh("systemctl --failed --no-legend") == ""


def test_who_settles_waits_for_the_hooks(snapshot: Snapshot) -> None:
    with snapshot.restore(ids.B) as vm:
        with pytest.raises(CommandFailed, match="sysgenid") as raised:
            vm.sh("sysgenid settle --timeout 1 2>&1")
        assert raised.value.status == 5
        assert happened(vm)["hooks"] == []
        assert settle(vm)["hooks"] == ["done 1"]


def test_a_mere_event_is_no_clone(snapshot: Snapshot) -> None:
    with snapshot.restore(ids.A) as vm:
        for action in ("change", "bind"):
            vm.sh(f"udevadm trigger --settle --action={action} /sys/class/misc/sysgenid")
        # As long as a reload takes, and then some.
        time.sleep(QUIET_TIME)
        assert [*happened(vm).values()] == [[], [], []]
        # The unit of the device has not gone either, nor does it when systemd looks at all again.
        vm.sh("systemctl daemon-reload", timeout=60)
        assert vm.sh(f"systemctl is-active {ALL} dev-sysgenid.device | sort -u") == "active\n"
        vm.sh("sysgenid trigger")
        told = settle(vm)
        assert (told["hook"], told["hooks"]) == (["reloaded"], ["done 1"])
        vm.wait_for("cat /run/device", r"\Areloaded\n\Z")


def test_a_hook_that_fails_runs_again(snapshot: Snapshot) -> None:
    with snapshot.restore(ids.A) as vm:
        vm.sh("touch /run/fail; sysgenid trigger")
        assert settle(vm)["hooks"] == ["failed 1", "done 1"]


def test_a_hook_that_hangs_is_ended(snapshot: Snapshot) -> None:
    with snapshot.restore(ids.A) as vm:
        vm.sh("touch /run/hang; sysgenid trigger")
        assert settle(vm)["hooks"] == ["done 1"]
        assert vm.sh("grep -lz '^1000$' /proc/[0-9]*/cmdline", check=False) == ""


def test_members_of_the_group_may_be_watchers(snapshot: Snapshot) -> None:
    take_part = "exec 3<>/dev/sysgenid; cat /proc/self/fdinfo/3"
    command = f"setpriv --reuid 4711 --regid 4711 {{}} sh -c '{take_part}'"
    with snapshot.restore(ids.A) as vm:
        group = vm.sh("getent group sysgenid").split(":")[2]
        assert "sysgenid_tracked:\t1" in vm.sh(command.format(f"--groups {group}"))
        with pytest.raises(CommandFailed, match="Permission denied"):
            vm.sh(command.format("--clear-groups"))
