#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A guest with both modules loaded, to play with: its console on this terminal.

QEMU's own monitor is on the same terminal. A snapshot that the user writes
there is started as a clone, with an ID of its own, as soon as QEMU ends.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from vm import Spec

SNAPSHOT = Path("/tmp/clone")

HINT = f"""\
An ID changes when a guest is cloned. To make a clone of this one and go on in it:
  Ctrl-A c                      (from the console to QEMU's monitor)
  migrate file:{SNAPSHOT}
  quit
To leave: exit, or Ctrl-A x at any time.
"""


def main() -> None:
    """Runs guests on the terminal until one ends without having left a snapshot."""
    print(HINT, flush=True)
    spec = Spec(guid="auto", append="quiet guest_shell=1")
    incoming: list[str] = []
    while True:
        ports = ["-serial", "mon:stdio", "-serial", "null"]
        subprocess.run(["setpriv", "--pdeathsig", "KILL", *spec.arguments(), *ports, *incoming])
        if not SNAPSHOT.exists():
            return
        restored = SNAPSHOT.rename(f"{SNAPSHOT}.restored")
        incoming = ["-incoming", f"file:{restored}"]
        print("\nThe clone, where the snapshot was taken (press Enter):", flush=True)


if __name__ == "__main__":
    main()
