// SPDX-License-Identifier: GPL-2.0
/* The symbols that sysgenid.ko exports. Their code is in rust/sysgenid/exports.rs. */

#include <linux/export.h>
#include <linux/sysgenid.h>

/* There is no C function that the export could be below. */
#define EXPORT_RUST_GPL(name) EXPORT_SYMBOL_GPL(name)

EXPORT_RUST_GPL(sysgenid_register_source);
EXPORT_RUST_GPL(sysgenid_unregister_source);
EXPORT_RUST_GPL(sysgenid_notify_source);
EXPORT_RUST_GPL(sysgenid_source_is_pending);
EXPORT_RUST_GPL(sysgenid_process_source);
EXPORT_RUST_GPL(sysgenid_source_hwid);
EXPORT_RUST_GPL(sysgenid_bump_generation);
