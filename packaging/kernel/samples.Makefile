# SPDX-License-Identifier: GPL-2.0
userprogs-always-$(CONFIG_SAMPLE_SYSGENID) += control library poller reader

userccflags += -I usr/include -I $(src) -pthread

obj-$(CONFIG_SAMPLE_SYSGENID_NOTIFIER) += notifier.o
