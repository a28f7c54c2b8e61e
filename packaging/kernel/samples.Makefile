# SPDX-License-Identifier: GPL-2.0
userprogs-always-y += control library poller reader

userccflags += -I usr/include -pthread
