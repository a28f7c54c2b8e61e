// SPDX-License-Identifier: GPL-2.0

//! Uevents.
//!
//! C header: [`include/linux/kobject.h`](srctree/include/linux/kobject.h)

use crate::sysfs::kobject;
use core::ptr::null_mut;
use kernel::{
    bindings,
    device::Device,
    error::to_result,
    prelude::*, //
};

/// Sends a `change` uevent for a device, with `variable`, `NAME=value`, besides what the device
/// itself has to say. May sleep.
pub(crate) fn send_change(dev: &Device, variable: &CStr) -> Result {
    let mut variables = [variable.as_char_ptr().cast_mut(), null_mut()];

    // SAFETY: The device is valid; the variables end with null and are only read.
    to_result(unsafe {
        bindings::kobject_uevent_env(
            kobject(dev),
            bindings::kobject_action_KOBJ_CHANGE,
            variables.as_mut_ptr(),
        )
    })
}
