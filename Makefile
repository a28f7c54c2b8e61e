# SPDX-License-Identifier: GPL-2.0
#
# Two kinds of targets: those that build and install the modules for a kernel
# of this machine, and those that try them in virtual machines, inside a build
# root and with a kernel that they get from Debian. "make help" lists them.

CACHE ?= $(CURDIR)/.cache
export SYSGENID_CACHE := $(CACHE)

# RELEASE: of a Debian kernel. T: options for pytest.
RELEASE ?=
T ?=

running := $(shell uname -r)
prepared := $(CACHE)/kernel/$(running)/build

# What "make kdir" prepared for the running kernel is used without asking, in
# the build root, since it wants the very compilers that prepared it.
ifneq ($(wildcard $(prepared)/../.complete),)
KDIR ?= $(prepared)
else
KDIR ?= /lib/modules/$(running)/build
endif
cached := $(patsubst $(CACHE)/%,%,$(filter $(CACHE)/kernel/%,$(KDIR)))

.NOTPARALLEL:
.PHONY: modules modules_install kdir
modules:
ifneq ($(cached),)
	@qemu/enter $(MAKE) -C /cache/$(cached) M=/src modules
else
	@test -e $(KDIR)/rust/libkernel.rmeta || { \
		echo "no Rust metadata in $(KDIR): \"make kdir\" prepares a tree for a Debian kernel; for others: KDIR=<tree with \"make LLVM=1 prepare\" done>" >&2; \
		exit 1; }
	@$(MAKE) -C $(KDIR) M=$(CURDIR) modules
endif

modules_install:
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules_install

kdir:
	@qemu/setup kernel $(or $(RELEASE),$(running))

.PHONY: guest run test shell
guest:
	@qemu/setup guest $(RELEASE)

export SYSGENID_RELEASE := $(RELEASE)

run: guest
	@qemu/enter qemu/demo.py

test: guest
	@qemu/enter python3 -m pytest -p no:cacheprovider $(T) qemu/tests

shell: guest
	@qemu/enter qemu/shell.py

.PHONY: clean distclean help
clean:
distclean:
help:
