#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Writes the drivers as a series of patches for the source of a kernel.

    series.py FOLDER

FOLDER gets the patches, for the source of the kernel that is in the cache. What
a patch holds is said here; its message, which begins with its subject, is in
the file NN-*.txt beside this one, and what reads otherwise in the tree is in
differences.txt. SYSGENID_AUTHOR is "NAME <ADDRESS>" of whoever
signs them off. Runs in the build root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

CACHE = Path(os.environ.get("SYSGENID_CACHE", "/cache"))
PROJECT = Path(__file__).resolve().parents[2]
MESSAGES = Path(__file__).parent
DRIVERS = "drivers/virt/sysgenid"
SELFTESTS = "tools/testing/selftests/sysgenid"
SAMPLES = "samples/sysgenid"


def source() -> Path:
    """The source of the stock kernel, of which one of our own is built too."""
    release = os.environ.get("RELEASE", "")
    if not release or (PROJECT / f"qemu/kernels/{release}.config").exists():
        is_arm64 = "-arm64" in release or os.environ.get("ARCH") == "arm64"
        release = (CACHE / f"kernel/current{'-arm64' * is_arm64}").resolve().name
    return CACHE / "kernel" / release / "build"


SOURCE = source()

# Files of the kernel that the series changes.
CHANGED = (
    "Documentation/admin-guide/index.rst",
    "Documentation/driver-api/index.rst",
    "Documentation/misc-devices/index.rst",
    "Documentation/userspace-api/ioctl/ioctl-number.rst",
    "Documentation/virt/index.rst",
    "MAINTAINERS",
    "drivers/virt/Kconfig",
    "drivers/virt/Makefile",
    "samples/Kconfig",
    "samples/Makefile",
    "tools/testing/selftests/Makefile",
)

# What is about building out of tree has no place in the kernel's documentation.
OUT_OF_TREE_SECTIONS = (
    *("Which kernels", "Installing", "Kernels without modules"),
    *("Kernel upgrade", "Uninstalling", "The command"),
)
# And paragraphs.
COMMAND = re.compile(
    r"(?s)The command ``sysgenid``, see below,.*?Without the command, there are two ways"
)


class SeriesError(Exception):
    """The series cannot be made; the text says why."""


# How files change on their way into the tree


def differences() -> dict[str, list[tuple[str, str]]]:
    """What files say otherwise in the tree, see differences.txt."""
    found: dict[str, list[tuple[str, str]]] = {}
    text = (MESSAGES / "differences.txt").read_text()
    for section in re.split(r"(?m)^file ", text)[1:]:
        name, _, rest = section.partition("\n")
        pairs = re.findall(r"here\n((?:\|.*\n)+)there\n((?:\|.*\n)*)", rest)
        found[name] = [(unquoted(here), unquoted(there)) for here, there in pairs]
    return found


def unquoted(lines: str) -> str:
    return "\n".join(line.removeprefix("|") for line in lines.splitlines())


DIFFERENCES = differences()


def differently(name: str, text: str) -> str:
    """A file with what it says otherwise in the tree."""
    for here, there in DIFFERENCES.get(name, ()):
        if here not in text:
            raise SeriesError(f"{name} does not say any longer, as differences.txt has it:\n{here}")
        text = text.replace(here, there)
    return text


def driver(name: str, text: str) -> str:
    """A file of the drivers, without the code for older kernels: the tree has one version."""
    text = differently(name, text)
    if not name.endswith(".rs"):
        return text
    # All that is left of a list with one name.
    text = re.sub(
        r"(?m)^use crate::\{\n    (\w+)::\{\n((?:        .*\n)+)    \}, //\n\};\n",
        lambda found: f"use crate::{found[1]}::{{\n" + found[2].replace(" " * 8, " " * 4) + "};\n",
        text,
    )
    lines, result = iter(text.splitlines(keepends=True)), []
    for line in lines:
        if old := re.match(r"(\s*)#\[cfg\(not\(LINUX_7_3\)\)\]$", line):
            # The item, or the statement, ends where its indentation comes back.
            end = re.compile(rf"{old[1]}(\S.*;|[}})].*)$")
            while not end.match(next(lines)):
                pass
        elif not re.match(r"\s*#\[cfg\(LINUX_7_3\)\]$", line):
            result.append(line)
    return "".join(result)


def makefile(text: str) -> str:
    """Without what an external module needs, which has a comment above it each."""
    text = re.sub(r"(?m)^(#.*\n)+ifneq \(\$\(KBUILD_EXTMOD\),\)\n(?s:.*?)^endif\n\n?", "", text)
    text = re.sub(r"(?m)^(#.*\n)+rustflags-y .*LINUX_7_3.*\n\n?", "", text)
    # What Kconfig forbids
    text = re.sub(r"(?m)^\$\(if .*\$\(error .*\n", "", text)
    return "# SPDX-License-Identifier: GPL-2.0\n" + text.removeprefix(
        "# SPDX-License-Identifier: GPL-2.0\n"
    ).lstrip("\n")


def without_source(text: str) -> str:
    """Kconfig or Makefile as they are before there is a source."""
    text = re.sub(r"(?ms)^config SYSGENID_VMGENID\n.*", "", text).rstrip("\n") + "\n"
    return re.sub(r"(?m)^(obj-|sysgenid_vmgenid-).*VMGENID.*\n(?:.*\\\n)*(?:\t.*\n)?", "", text)


def without_license(text: str) -> str:
    """Without the first line, which files for a parser do not have."""
    return text.split("\n", 1)[1]


def sample(text: str) -> str:
    """Without how it is built out of the tree."""
    return re.sub(r"(?s) \*\n \*\t(?:cc|make) .*?\n \*/", " */", text, count=1)


def library(text: str) -> str:
    """Without what C90 of other projects needs."""

    def realign(line: re.Match[str]) -> str:
        width = len(line[2].expandtabs(8)) - len("__inline__") + len("inline")
        return f"static inline {line[1]}\n" + "\t" * (width // 8) + " " * (width % 8)

    text = re.sub(r"static __inline__ (.*,)\n(\s+)", realign, text)
    return text.replace("static __inline__ ", "static inline ")


def documentation(name: str, text: str) -> str:
    """A page, without what is out of the tree, and with the names that things have in it."""
    text = differently(f"Documentation/{name}.rst", text)
    for title in OUT_OF_TREE_SECTIONS:
        text = re.sub(rf"(?ms)^{title}\n=+\n.*?(?=^[^\n]+\n===+\n)", "", text)
    text = COMMAND.sub("There are two ways", text)
    # The model is not in the tree.
    text = re.sub(r"\s:doc:`sysgenid-model`[^.]*\.", "", text)
    text = re.sub(r"\bsamples/(udev/)?(\w+\.c\b|outdated\b|90-)", rf"{SAMPLES}/\2", text)
    text = text.replace(f"{SAMPLES}/outdated", f"{SAMPLES}/outdated.sh")
    return text.replace("lib/sysgenid.h", f"{SAMPLES}/sysgenid.h")


# How files of the kernel change


def after(anchor: str, line: str) -> Callable[[str], str]:
    """Adds a line after the last one that `anchor`, a regular expression, matches."""

    def edit(text: str) -> str:
        found = list(re.finditer(rf"(?m)^{anchor}.*\n", text))
        if not found:
            raise SeriesError(f"no line matches {anchor!r}")
        return text[: found[-1].end()] + line + "\n" + text[found[-1].end() :]

    return edit


def before(anchor: str, line: str) -> Callable[[str], str]:
    """Adds a line before the first one that `anchor` matches."""

    def edit(text: str) -> str:
        found = re.search(rf"(?m)^{anchor}", text)
        if not found:
            raise SeriesError(f"no line matches {anchor!r}")
        return text[: found.start()] + line + "\n" + text[found.start() :]

    return edit


@dataclass(frozen=True)
class Patch:
    """One patch: files that are added, from where, and files that are changed."""

    name: str
    add: dict[str, tuple[str, Callable[[str], str] | None]] = field(default_factory=dict)
    change: dict[str, Callable[[str], str]] = field(default_factory=dict)
    # Patterns for the entry in MAINTAINERS
    maintained: tuple[str, ...] = ()


def same(*names: str) -> dict[str, tuple[str, None]]:
    """Files with the same place in both trees."""
    return {name: (name, None) for name in names}


def sources(*patterns: str) -> dict[str, tuple[str, Callable[[str], str] | None]]:
    """Files of the drivers."""
    found = {}
    for pattern in patterns:
        names = sorted(path.relative_to(PROJECT) for path in PROJECT.glob(pattern))
        if not names:
            raise SeriesError(f"there is no {pattern}")
        for name in map(str, names):
            if name != "rust/bindings/compat.rs":
                found[f"{DRIVERS}/{name}"] = (name, partial(driver, name))
    return found


def documents(*names: str) -> dict[str, tuple[str, Callable[[str], str] | None]]:
    """Pages of Documentation."""
    return {
        f"Documentation/{name}.rst": (f"Documentation/{name}.rst", partial(documentation, name))
        for name in names
    }


def modules_of(root: str) -> list[str]:
    """The files that the file of a crate's root names as its modules."""
    text = (PROJECT / root).read_text()
    folder = Path(root).parent
    return [
        os.path.normpath(folder / path)
        for path in re.findall(r'#\[path = "(\.\./rust/[^"]+)"\]', text)
    ]


def objects_of(module: str) -> list[str]:
    """The C files that Kbuild names for a module."""
    text = (PROJECT / "Kbuild").read_text().replace("\\\n", " ")
    line = re.search(rf"(?m)^{module}-y := (.*)$", text)
    if not line:
        raise SeriesError(f"Kbuild does not say what {module} is made of")
    return [name[:-1] + "c" for name in line[1].split() if name.startswith("rust/")]


def series() -> list[Patch]:
    """All patches, in their order."""
    counter = [*modules_of("src/sysgenid.rs"), *objects_of("sysgenid")]
    source = [
        name
        for name in (*modules_of("src/vmgenid.rs"), *objects_of("sysgenid_vmgenid"))
        if name not in counter
    ]
    headers = ["rust/helpers/helpers.h", "rust/bindings/bindings_helper.h"]
    named = {*counter, *source, *headers}
    # Those that are modules of modules come with what names them.
    left = [
        name
        for name in (
            str(path.relative_to(PROJECT)) for path in sorted(PROJECT.glob("rust/*/**/*.*"))
        )
        if name not in named and Path(name).suffix in (".rs", ".c", ".h")
    ]
    own = [name for name in (*counter, *left) if name.startswith("rust/sysgenid/")]
    common = [name for name in (*counter, *source, *left) if not name.startswith("rust/sysgenid/")]
    return [
        Patch(
            "01-interface",
            add=same("include/uapi/linux/sysgenid.h")
            | {
                "Documentation/ABI/testing/sysfs-class-misc-sysgenid": (
                    "packaging/kernel/sysfs-class-misc-sysgenid",
                    without_license,
                )
            },
            change={
                "Documentation/userspace-api/ioctl/ioctl-number.rst": before(
                    "0xE5 ",
                    "0xE4  01-05  uapi/linux/sysgenid.h" + " " * 37 + "System generation ID",
                )
            },
            maintained=(
                "Documentation/ABI/testing/sysfs-class-misc-sysgenid",
                "include/uapi/linux/sysgenid.h",
            ),
        ),
        Patch(
            "02-abstractions",
            add=sources(*common, *headers),
            maintained=(f"{DRIVERS}/",),
        ),
        Patch(
            "03-counter",
            add=same("include/linux/sysgenid.h")
            | sources("src/sysgenid.rs", "src/sysgenid/*.rs", *own)
            | {
                f"{DRIVERS}/Kconfig": ("Kconfig", without_source),
                f"{DRIVERS}/Makefile": ("Kbuild", lambda text: without_source(makefile(text))),
            },
            change={
                "drivers/virt/Kconfig": after(
                    'source "drivers/virt/acrn/Kconfig"',
                    '\nsource "drivers/virt/sysgenid/Kconfig"',
                ),
                "drivers/virt/Makefile": after(
                    r"obj-\$\(CONFIG_ACRN_HSM\)", "obj-$(CONFIG_SYSGENID)\t\t+= sysgenid/"
                ),
            },
            maintained=("include/linux/sysgenid.h",),
        ),
        Patch(
            "04-source",
            add=sources("src/vmgenid.rs", "src/vmgenid/**/*.rs")
            | sources(*(name for name in source if name.startswith("rust/sysgenid/")))
            | documents("virt/sysgenid-interrupt-lines", "virt/vmgenid"),
            change={
                "Documentation/virt/index.rst": after(
                    "   hyperv/index", "   sysgenid-interrupt-lines\n   vmgenid"
                ),
                f"{DRIVERS}/Kconfig": lambda _: (PROJECT / "Kconfig").read_text(),
                f"{DRIVERS}/Makefile": lambda _: makefile((PROJECT / "Kbuild").read_text()),
            },
            maintained=(
                "Documentation/virt/sysgenid-interrupt-lines.rst",
                "Documentation/virt/vmgenid.rst",
            ),
        ),
        Patch(
            "05-selftests",
            add={
                f"{SELFTESTS}/{path.name}": (f"tests/kselftest/{path.name}", None)
                for path in sorted((PROJECT / "tests/kselftest").iterdir())
                if path.suffix in (".c", ".h", "") and path.name != "library.c"
            }
            | {
                f"{SELFTESTS}/Makefile": (
                    "tests/kselftest/Makefile",
                    partial(differently, "tests/kselftest/Makefile"),
                ),
                f"{SELFTESTS}/.gitignore": ("packaging/kernel/selftests.gitignore", None),
            },
            change={
                "tools/testing/selftests/Makefile": after(
                    "TARGETS [+]= sysctl", "TARGETS += sysgenid"
                )
            },
            maintained=(f"{SELFTESTS}/",),
        ),
        Patch(
            "06-samples",
            add={
                f"{SAMPLES}/{path.name}": (f"samples/{path.name}", sample)
                for path in sorted((PROJECT / "samples").glob("*.c"))
            }
            | {
                f"{SAMPLES}/notifier.c": ("samples/module/notifier.c", sample),
                f"{SAMPLES}/outdated.sh": ("samples/outdated", None),
                f"{SAMPLES}/90-sysgenid.rules": ("samples/udev/90-sysgenid.rules", None),
                f"{SAMPLES}/sysgenid.h": ("lib/sysgenid.h", library),
                f"{SAMPLES}/Makefile": ("packaging/kernel/samples.Makefile", None),
                f"{SAMPLES}/.gitignore": ("packaging/kernel/samples.gitignore", None),
            },
            change={
                "samples/Kconfig": before(
                    "config SAMPLE_TIMER",
                    without_license((MESSAGES / "samples.Kconfig").read_text()),
                ),
                "samples/Makefile": before(
                    r"subdir-\$\(CONFIG_SAMPLE_TIMER\)",
                    "subdir-$(CONFIG_SAMPLE_SYSGENID)\t+= sysgenid\n"
                    "obj-$(CONFIG_SAMPLE_SYSGENID_NOTIFIER)\t+= sysgenid/",
                ),
            },
            maintained=(f"{SAMPLES}/",),
        ),
        Patch(
            "07-documentation",
            add=documents(
                "admin-guide/sysgenid",
                "driver-api/sysgenid",
                "misc-devices/sysgenid",
                "virt/sysgenid-comparison",
                "virt/sysgenid-guarantee",
            ),
            change={
                "Documentation/admin-guide/index.rst": after("   sysrq", "   sysgenid"),
                "Documentation/driver-api/index.rst": after("   sync_file", "   sysgenid"),
                "Documentation/misc-devices/index.rst": after(
                    "   spear-pcie-gadget", "   sysgenid"
                ),
                "Documentation/virt/index.rst": after(
                    "   hyperv/index",
                    "   sysgenid-comparison\n   sysgenid-guarantee",
                ),
            },
            maintained=("Documentation/*/sysgenid*.rst",),
        ),
    ]


def entry(patterns: list[str], ident: str) -> str:
    """The entry in MAINTAINERS."""
    return "".join(
        [
            "SYSTEM GENERATION ID\n",
            f"M:\t{ident}\n",
            "L:\tlinux-kernel@vger.kernel.org\n",
            "L:\trust-for-linux@vger.kernel.org\n",
            "S:\tMaintained\n",
            *(f"F:\t{pattern}\n" for pattern in sorted(patterns)),
        ]
    )


class Repository:
    """A repository of the files alone that the series changes, which is made in a second."""

    def __init__(self, folder: Path, source: Path, author: str) -> None:
        self.folder = folder
        name, _, address = author.partition(" <")
        self.environment = os.environ | {
            f"GIT_{whose}_{what}": value
            for whose in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", address.removesuffix(">")))
        }
        self.git("init", "-q", "-b", "series")
        for name in CHANGED:
            self.write(name, (source / name).read_text())
        self.commit("base")

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=self.environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def commit(self, message: str) -> None:
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "-s", "-m", message)


def fill(repository: Repository, patch: Patch, patterns: list[str], ident: str) -> None:
    """Makes the files as they are after a patch."""
    for name, (origin, convert) in patch.add.items():
        text = (PROJECT / origin).read_text()
        repository.write(name, convert(text) if convert else text)
        if os.access(PROJECT / origin, os.X_OK):
            (repository.folder / name).chmod(0o755)
    for name, change in patch.change.items():
        old = repository.read(name)
        new = change(old)
        if new == old:
            raise SeriesError(f"{patch.name} does not change {name}")
        repository.write(name, new)
    if patch.maintained:
        old = entry(patterns, ident) + "\n" if patterns else ""
        patterns.extend(patch.maintained)
        text = repository.read("MAINTAINERS").replace(old, "", 1)
        new = before("SYSTEM RESET/SHUTDOWN DRIVERS", entry(patterns, ident))
        repository.write("MAINTAINERS", new(text))


def message(name: str) -> str:
    """A patch's message, without the line on its license."""
    return without_license((MESSAGES / f"{name}.txt").read_text()).strip() + "\n"


def write(folder: Path, author: str, source: Path = SOURCE) -> list[Path]:
    """Writes all patches and the letter to go with them, which is the first one."""
    with tempfile.TemporaryDirectory() as temporary:
        repository = Repository(Path(temporary), source, author)
        patterns: list[str] = []
        for patch in series():
            fill(repository, patch, patterns, author)
            repository.commit(message(patch.name))
        shutil.rmtree(folder, ignore_errors=True)
        repository.git("format-patch", "-q", "--cover-letter", "-o", str(folder), ":/^base")
    letter, *patches = sorted(folder.iterdir())
    subject, _, body = message("00-cover").partition("\n")
    text = letter.read_text().replace("*** SUBJECT HERE ***", subject)
    letter.write_text(text.replace("*** BLURB HERE ***", body.strip()))
    return [letter, *patches]


def main() -> None:
    # git adds the time.
    author = re.match(r"[^<>]+ <[^<>]+>", os.environ.get("SYSGENID_AUTHOR", ""))
    if not author:
        sys.exit('series.py: patches have an author: set "git config user.name" and "user.email"')
    try:
        write(Path(sys.argv[1]), author[0])
    except SeriesError as error:
        sys.exit(f"series.py: {error}")


if __name__ == "__main__":
    main()
