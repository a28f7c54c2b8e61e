// SPDX-License-Identifier: GPL-2.0

//! Capabilities of the calling task.
//!
//! C header: [`include/linux/capability.h`](srctree/include/linux/capability.h)

use kernel::{
    bindings,
    ffi::c_int, //
};

/// Whether the calling task has `CAP_CHECKPOINT_RESTORE`, or `CAP_SYS_ADMIN` which includes it, in
/// the initial user namespace.
pub(crate) fn may_checkpoint_restore() -> bool {
    // SAFETY: `capable()` may be called by any task with any capability.
    let capable = |capability: u32| unsafe { bindings::capable(capability as c_int) };

    capable(bindings::CAP_CHECKPOINT_RESTORE) || capable(bindings::CAP_SYS_ADMIN)
}
