/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads: the project's own C interfaces, and constants that the
 * kernel crate's bindings lack.
 */
#include <linux/sysgenid.h>

#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/random.h>

#include "../helpers/helpers.h"

/* Function-like macros; bindgen only sees their values like this. */
const u32 RUST_CONST_HELPER_SYSGENID_SET_WATCHER_TRACKING = SYSGENID_SET_WATCHER_TRACKING;
const u32 RUST_CONST_HELPER_SYSGENID_WAIT_WATCHERS = SYSGENID_WAIT_WATCHERS;
const u32 RUST_CONST_HELPER_SYSGENID_TRIGGER_GEN_UPDATE = SYSGENID_TRIGGER_GEN_UPDATE;
const u32 RUST_CONST_HELPER_SYSGENID_GET_OUTDATED_WATCHERS = SYSGENID_GET_OUTDATED_WATCHERS;
const u32 RUST_CONST_HELPER_SYSGENID_GET_GENERATION = SYSGENID_GET_GENERATION;
const u32 RUST_CONST_HELPER_RNDRESEEDCRNG = RNDRESEEDCRNG;
const u32 RUST_CONST_HELPER_EPOLLIN = (__force u32)EPOLLIN;
const u32 RUST_CONST_HELPER_EPOLLRDNORM = (__force u32)EPOLLRDNORM;
/* That of the kernel crate is VM_MAYEXEC in Linux 7.2. */
const vm_flags_t RUST_CONST_HELPER_VM_MAYSHARE = VM_MAYSHARE;
const int RUST_CONST_HELPER_IOCB_NOWAIT = (__force int)IOCB_NOWAIT;
const u64 RUST_CONST_HELPER_JIFFIES_PER_SECOND = HZ;
