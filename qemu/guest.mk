# SPDX-License-Identifier: GPL-2.0
#
# The modules for a guest with the kernel $(RELEASE), and its initramfs: a
# busybox, the modules and those of tests/module, the kselftests, the tools of
# qemu/guest, and the samples. Made in the build root.

ifndef RELEASE
$(error RELEASE is not set)
endif

kdir	:= /cache/kernel/$(RELEASE)/build
MODULES	?= /cache/build/$(RELEASE)
guest	:= /cache/guest/$(RELEASE)
tools	:= $(patsubst qemu/guest/%.c,$(MODULES)/guest/%,$(wildcard qemu/guest/*.c))
samples	:= $(patsubst samples/%.c,$(MODULES)/samples/%,$(wildcard samples/*.c))
tree	:= /tmp/initramfs

.PHONY: initramfs modules test-modules kselftest
initramfs: modules test-modules kselftest $(tools) $(samples)
	mkdir -p $(addprefix $(tree)/,bin guest kselftest modules samples)
	cp /bin/busybox $(tree)/bin/
	for applet in $$(busybox --list | grep -vx busybox); do \
		ln -s busybox $(tree)/bin/$$applet || exit; \
	done
	install qemu/guest/init $(tree)/init
	for module in $(MODULES)/*.ko $(MODULES)/module/*/*.ko; do \
		objcopy --strip-debug $$module \
			$(tree)/modules/$${module##*/} || exit; \
	done
	find $(MODULES)/kselftest -maxdepth 1 -type f -executable \
		-exec cp -t $(tree)/kselftest {} +
	$(if $(tools),cp $(tools) $(tree)/guest/)
	$(if $(samples),cp $(samples) $(tree)/samples/)
	find $(tree) -exec touch -hd @0 {} +
	mkdir -p $(guest)
	cd $(tree) && find . | LC_ALL=C sort | \
		cpio --quiet -o -H newc --reproducible -R +0:+0 | \
		gzip -1n >$(guest)/initramfs.new
	mv $(guest)/initramfs.new $(guest)/initramfs.cpio.gz

# From a copy: what is built in the clone for other kernels is not in the way.
modules:
	mkdir -p $(MODULES)
	rsync -a --delete --exclude='*_generated.rs' --exclude='*.mod.c' \
		--include='*/' --include='*.[ch]' --include='*.rs' \
		--include=Kbuild --exclude='*' src rust include Kbuild $(MODULES)/
	$(MAKE) -C $(kdir) M=$(MODULES) modules

test-modules: modules
	for folder in tests samples; do \
		mkdir -p $(MODULES)/module/$$folder && \
		$(MAKE) -C $(kdir) M=$(CURDIR)/$$folder/module \
			MO=$(MODULES)/module/$$folder \
			KBUILD_EXTRA_SYMBOLS=$(MODULES)/Module.symvers modules || \
			exit; \
	done

kselftest:
	mkdir -p $(MODULES)/kselftest
	$(MAKE) -C tests/kselftest KSRC=$(kdir) OUTPUT=$(MODULES)/kselftest

$(tools) $(samples): include/uapi/linux/sysgenid.h lib/sysgenid.h | modules
$(tools): qemu/guest/instructions.h

define compile
	mkdir -p $(@D)
	gcc-14 -O2 -Wall -Wextra -Werror -static -pthread -Ilib -Iinclude/uapi \
		-o $@ $<
endef
$(MODULES)/guest/%: qemu/guest/%.c
	$(compile)
$(MODULES)/samples/%: samples/%.c
	$(compile)
