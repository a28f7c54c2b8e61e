// SPDX-License-Identifier: GPL-2.0

//! Those in the kernel who have subscribed with `sysgenid_register_notifier()`.
//!
//! C header: `include/linux/sysgenid.h`

use crate::bindings::call_notifiers;

/// Calls all subscribers. May sleep.
pub(crate) fn call(generation: u32) {
    // SAFETY: The chain is a static of this module; its lock sleeps, which the caller allows.
    unsafe { call_notifiers(generation) };
}
