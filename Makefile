# SPDX-License-Identifier: GPL-2.0
#
# Two kinds of targets: those that build and install the modules for a kernel
# of this machine, and those that try them in virtual machines, in a build root
# and with a kernel that come from Debian. "make help" lists them.

CACHE	?= $(CURDIR)/.cache
override CACHE := $(abspath $(CACHE))
export SYSGENID_CACHE := $(CACHE)

# A kernel of our own goes by its name wherever a stock kernel goes by its release.
kernels := $(basename $(notdir $(filter-out %/base.config %/base-arm64.config,$(wildcard qemu/kernels/*.config))))
ifneq ($(KERNEL),)
$(if $(filter $(KERNEL),$(kernels)),,$(error there is no kernel $(KERNEL): KERNEL is one of $(kernels)))
override RELEASE := $(KERNEL)
endif
export ARCH RELEASE

.NOTPARALLEL:

# --- The modules for a kernel of this machine

# What "make kdir" prepared for the running kernel is preferred.
running	:= $(shell uname -r)
KDIR	?= $(firstword $(wildcard $(CACHE)/kernel/$(running)/build) \
		       /lib/modules/$(running)/build)
override KDIR := $(abspath $(KDIR))

# A tree out of the cache is of use to the very compilers only that prepared
# it, those of the build root.
in_cache := $(filter $(CACHE)/%,$(KDIR))

# Nor does it hold the key of Debian's modules, or a System.map, without which
# the kernel's own makefile does not call depmod.
unsigned := $(if $(in_cache),CONFIG_MODULE_SIG_ALL=)

.PHONY: modules
modules: | metadata
ifneq ($(in_cache),)
	@qemu/buildroot/enter $(notdir $(MAKE)) -C $(KDIR:$(CACHE)/%=/cache/%) M=/src modules
else
	@$(MAKE) -C $(KDIR) M=$(CURDIR) modules
endif

.PHONY: metadata
metadata:
	@[ -e $(KDIR)/rust/libkernel.rmeta ] || { \
		echo "$(KDIR) has no Rust metadata: run \"make kdir\" first, or set KDIR=" >&2; \
		exit 1; \
	}

.PHONY: modules_install
modules_install: release = $(file <$(KDIR)/include/config/kernel.release)
modules_install:
	@PATH="$$PATH:/sbin" command -v depmod >/dev/null || { \
		echo "depmod is missing here; as root: apt-get install kmod" >&2; \
		exit 1; \
	}
	@$(MAKE) -C $(KDIR) M=$(CURDIR) INSTALL_MOD_PATH=$(DESTDIR) $(unsigned) \
		modules_install
	@PATH="$$PATH:/sbin" depmod $(DESTDIR:%=--basedir %) $(release)

prefix	?= /usr/local

.PHONY: install
install: modules_install
	@install -D -m 644 -t $(DESTDIR)$(prefix)/share/man/man4 Documentation/man/*.4
	@install -D -m 644 -t $(DESTDIR)$(prefix)/include lib/sysgenid.h
	@install -D -m 644 -t $(DESTDIR)$(prefix)/include/linux \
		include/uapi/linux/sysgenid.h

.PHONY: kdir
kdir: release = $(or $(RELEASE),$(running))
kdir:
	@qemu/buildroot/setup kernel $(release)
	@echo "make modules KDIR=$(CACHE)/kernel/$(release)/build"

# --- Virtual machines

.PHONY: run
run: guest
	@qemu/buildroot/enter qemu/machine/demo.py

# Guests wait a lot, and two processors are seldom busy at once. Tests that
# share a guest are in one file.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile

.PHONY: test
test: guest
	@qemu/buildroot/enter env --chdir=qemu/tests \
		pytest -p no:cacheprovider $(PARALLEL) $(T)

.PHONY: model
model:
	@qemu/buildroot/setup root
	@qemu/buildroot/enter env CARGO_HOME=/cache/cargo $(BOUND:%=BOUND=%) \
		cargo test --quiet --release --locked --test model \
		--manifest-path tests/model/Cargo.toml --target-dir /cache/build/model \
		-- $(T)

PAIRS	?= 10

.PHONY: clones
clones: guest
	@qemu/buildroot/enter qemu/machine/clones.py $(PAIRS) $(ROWS)

RESTORES ?= 20

.PHONY: bench
bench: guest
	@qemu/buildroot/enter qemu/machine/bench.py $(RESTORES)
	@echo "The same as CSV: $(CACHE)/bench.csv"

MINUTES	?= 30

.PHONY: soak
soak: guest
	@qemu/buildroot/enter qemu/machine/soak.py $(MINUTES) $(SEED)

# The crate and the command: programs, lints, tests, and the package.
.PHONY: crate
crate:
	@qemu/buildroot/setup root
	@qemu/buildroot/enter $(MAKE) -s -C crate

# The drivers as patches for the source of the kernel, in the name of whoever
# makes them.
.PHONY: patches
patches: export SYSGENID_AUTHOR = $(shell git var GIT_AUTHOR_IDENT)
patches:
	@qemu/buildroot/setup kernel $(RELEASE)
	@qemu/buildroot/enter packaging/kernel/series.py /cache/patches
	@echo "The series is in $(CACHE)/patches."

.PHONY: shell
shell: guest
	@qemu/buildroot/enter qemu/machine/shell.py

.PHONY: guest
guest:
	@qemu/buildroot/setup guest $(RELEASE)

# --- Packages

.PHONY: deb
deb:
	@qemu/buildroot/setup kernel $(RELEASE)
	@$(files) --cached --exclude-standard | qemu/buildroot/enter packaging/build
	@ls -l $(CACHE)/deb/*.deb

.PHONY: test-packages
test-packages: guest deb
	@qemu/buildroot/enter env --chdir=qemu/tests \
		pytest -p no:cacheprovider -m packages $(T)

# --- The clone itself

# A clone that belongs to somebody else, as in many a container, is fine.
files := git -c safe.directory=$(CURDIR) ls-files --others

.PHONY: check
check:
	@qemu/buildroot/setup kernel $(RELEASE)
	@$(files) --cached --exclude-standard | qemu/buildroot/enter .ci/check

.PHONY: docs
docs:
	@qemu/buildroot/setup kernel $(RELEASE)
	@qemu/buildroot/enter sphinx-build -q -W -n -d /tmp/doctrees \
		Documentation /cache/docs
	@echo "Open $(CACHE)/docs/index.html in a browser."

# Files that git ignores; a cache in the clone is one of them.
.PHONY: clean
clean:
	@$(files) -z --ignored --exclude-from=.gitignore -- ':!.cache' | \
		xargs -0 -r rm -f
	@rm -rf $(addprefix $(CACHE)/,bench.csv build check deb docs guest patches)

.PHONY: distclean
distclean: clean
	@[ ! -e $(CACHE) ] || qemu/buildroot/ns rm -rf --one-file-system \
		$(addprefix $(CACHE)/,accelerator cargo debian kernel log pycache \
			root lock root.lock)
	@[ ! -e $(CACHE) ] || rmdir --ignore-fail-on-non-empty $(CACHE)

define help
In virtual machines (the first one fetches 3 GB into $(CACHE)):
  make run              snapshot a guest, restore two clones, see them told
  make test             all tests; T='-k NAME' for some
  make model            check the protocols in every order that C11 allows; T='NAME'
  make clones           count what pairs of clones share; PAIRS=100 for more
    ROWS='...'          in the settings of such names only; V=1 for each pair
  make soak             random use for MINUTES=30, and random clones; SEED=...
  make bench            count the instructions that everything takes
  make patches          the drivers as a series of patches for the kernel
  make shell            a guest with both modules loaded, to play with
  make crate            builds and tests the crate and the command in crate/
    RELEASE=...         with another kernel of trixie-backports
    ARCH=arm64          run, test: on QEMU's machine for arm64
    KERNEL=...          with a kernel of our own: $(kernels)
    CACHE=...           another folder for what is fetched and built

For this machine's kernel, $(running):
  make modules          builds sysgenid.ko and sysgenid_vmgenid.ko
    KDIR=...            for another kernel's tree
  make modules_install  installs them, as root
  make install          the manual pages and the headers as well
    prefix=...          elsewhere than in /usr/local
  make kdir             prepares a tree for a stock Debian kernel
    RELEASE=...         for another one than the running

  make deb              Debian packages, into $(CACHE)/deb
    RELEASE=...         with modules for another kernel of trixie-backports
  make test-packages    installs, upgrades and removes them in clean systems

  make check            formatting, lints, and static analysis
  make docs             the documentation as HTML
  make clean            removes what was built
  make distclean        and what was fetched
endef
.PHONY: help
help:
	$(info $(help))
	@:
