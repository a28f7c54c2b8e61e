// SPDX-License-Identifier: GPL-2.0

//! Single words of user space, without the detour over a slice.
//!
//! C header: [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h)

use crate::bindings::{
    sysgenid_helper_get_user,
    sysgenid_helper_put_user, //
};
use kernel::{
    error::to_result,
    prelude::*,
    uaccess::UserPtr, //
};

/// Writes a word to user space. `EFAULT` if there is nothing to write to. May sleep.
#[inline]
pub(crate) fn put_u32(to: UserPtr, value: u32) -> Result {
    // SAFETY: `put_user()` takes any address, and checks it.
    to_result(unsafe { sysgenid_helper_put_user(value, to.as_mut_ptr().cast()) })
}

/// Reads a word from user space. `EFAULT` if there is nothing to read from. May sleep.
#[inline]
pub(crate) fn get_u32(from: UserPtr) -> Result<u32> {
    let mut value = 0;

    // SAFETY: `get_user()` takes any address, and checks it; `value` is valid for a write.
    to_result(unsafe { sysgenid_helper_get_user(&mut value, from.as_const_ptr().cast()) })?;
    Ok(value)
}
