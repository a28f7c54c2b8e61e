# SPDX-License-Identifier: GPL-2.0
"""What reaches the random number generator, as the kernel itself traces it."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field

from vm import Machine

TRACING = "/sys/kernel/tracing"
PROBES = (
    "p:mix add_device_randomness bytes=+0(%di):x8[16] size=%si:u64",
    "p:credit _credit_init_bits bits=%di:u64",
    "p:reseed crng_reseed",
)
OURS = r"sysgenid_\w+|_R.*(8sysgenid|7vmgenid).*"
# An interrupt has nothing to do with what it interrupts.
INTERRUPT = r"asm_.*|handle_softirqs"
# Of a trace with stacks, only the events that have one matching line: each byte that the guest
# gives away may be an interrupt, and enough of them seed the generator.
SELECT = """awk '
/^[a-z]/ {{ if (found) printf "%s", event; event = ""; found = 0 }}
/{line}/ {{ found = 1 }}
{{ event = event $0 "\\n" }}
END {{ if (found) printf "%s", event }}'"""


@dataclass
class Event:
    """A call, its arguments, and who called, innermost first."""

    name: str
    arguments: str
    callers: list[str] = field(default_factory=list)

    def is_by(self, pattern: str) -> bool:
        """Whether a function of such a name has called."""
        for caller in self.callers:
            if re.fullmatch(INTERRUPT, caller):
                return False
            if re.fullmatch(pattern, caller):
                return True
        return False

    def __str__(self) -> str:
        return f"{self.name} {self.arguments}".strip()


def add_probes(vm: Machine, *probes: str) -> None:
    """Traces further calls, from now on."""
    for probe in probes:
        vm.sh(f"echo '{probe}' >>{TRACING}/kprobe_events")
    vm.sh(f"echo 1 >{TRACING}/events/kprobes/enable")


def trace(vm: Machine) -> None:
    """Starts to trace what reaches the generator.

    Whoever reads the trace while it is written may miss events (Documentation/trace/ftrace.rst),
    and each process that comes or goes writes one. So nothing is written meanwhile.
    """
    vm.sh(f"mount -t tracefs tracefs {TRACING}")
    vm.sh(f"cd {TRACING}/options && echo 1 | tee pause-on-trace stacktrace && echo 0 >context-info")
    add_probes(vm, *PROBES)


def events(vm: Machine, by: str = OURS) -> list[str]:
    """What such functions have called so far."""
    found: list[Event] = []
    select = SELECT.format(line=f"^ => ({by})")
    for line in vm.sh(f"{select} {TRACING}/trace").splitlines():
        if call := re.fullmatch(r"(\w+): \(.*?\)(.*)", line):
            found.append(Event(call[1], call[2].strip()))
        elif caller := re.fullmatch(r" => (\S+).*", line):
            found[-1].callers.append(caller[1].split(".")[0])
    return [str(event) for event in found if event.is_by(by)]


def everything(vm: Machine) -> str:
    """All that was traced, and how often each probe was hit or missed, to be shown."""
    return vm.sh(f"cd {TRACING} && cat trace kprobe_profile per_cpu/cpu*/stats")


def mixed(guid: str) -> str:
    """The event that mixes an ID in."""
    values = ",".join(f"{byte:#x}" for byte in uuid.UUID(guid).bytes_le)
    return f"mix bytes={{{values}}} size=16"
