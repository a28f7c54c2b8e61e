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
    // SAFETY: Any task may ask for any capability; the namespace is there for ever.
    let capable = |capability: u32| unsafe {
        bindings::ns_capable(&raw mut bindings::init_user_ns, capability as c_int)
    };

    capable(bindings::CAP_CHECKPOINT_RESTORE) || capable(bindings::CAP_SYS_ADMIN)
}
