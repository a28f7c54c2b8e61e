# SPDX-License-Identifier: GPL-2.0
"""Sphinx: sphinx-build -W -n Documentation OUTPUT, in the build root.

The kernel's own extension reads the kernel-doc comments. It comes with the
source of the kernel that the modules are built for.
"""

import os
import sys
from pathlib import Path

release = os.environ.get("RELEASE") or "current"
kernel = Path(os.environ["SYSGENID_CACHE"], "kernel", release, "build")

# The extension finds the parser by this variable.
os.environ["srctree"] = str(kernel)
sys.path.insert(0, str(kernel / "Documentation/sphinx"))

project = "sysgenid"
extensions = ["kerneldoc"]
kerneldoc_srctree = str(Path(__file__).resolve().parents[1])
highlight_language = "none"
html_theme = "alabaster"

# -n complains of references that lead nowhere. Those to the kernel's own types do.
nitpick_ignore_regex = [("c:identifier", r"(?!sysgenid).*")]
