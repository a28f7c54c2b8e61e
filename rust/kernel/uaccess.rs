// SPDX-License-Identifier: GPL-2.0

//! Single words of user space: by a plain pointer without the detour over a slice, or by an
//! iterator over several segments.
//!
//! C headers: [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h),
//! [`include/linux/uio.h`](srctree/include/linux/uio.h)

use crate::bindings::{
    get_user_u32,
    put_user_u32, //
};
use kernel::{
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    prelude::*,
    uaccess::UserPtr, //
};

/// Where a `read()` goes.
pub(crate) trait Destination {
    /// How many bytes there are.
    fn len(&self) -> usize;

    /// Stores a word in native byte order. `EFAULT` if there is nothing to write to. May sleep.
    fn put_u32(self, value: u32) -> Result;
}

/// Where a `write()` comes from.
pub(crate) trait Source {
    /// How many bytes there are.
    fn len(&self) -> usize;

    /// Loads a word in native byte order. `EFAULT` if there is nothing to read from. May sleep.
    fn get_u32(self) -> Result<u32>;
}

/// The buffer of a plain `read()` or `write()`.
pub(crate) struct Buffer {
    ptr: UserPtr,
    len: usize,
}

impl Buffer {
    /// Wraps what the system call was given.
    #[inline]
    pub(crate) fn new(ptr: UserPtr, len: usize) -> Self {
        Self { ptr, len }
    }
}

impl Destination for Buffer {
    #[inline]
    fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn put_u32(self, value: u32) -> Result {
        put_u32(self.ptr, value)
    }
}

impl Source for Buffer {
    #[inline]
    fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn get_u32(self) -> Result<u32> {
        // SAFETY: `get_user()` takes any address, and checks it.
        let value = unsafe { get_user_u32(self.ptr.as_const_ptr().cast()) };

        // `to_result()` is a call that is not inlined.
        if value < 0 {
            Err(EFAULT)
        } else {
            Ok(value as u32)
        }
    }
}

impl Destination for &mut IovIterDest<'_> {
    fn len(&self) -> usize {
        IovIterDest::len(self)
    }

    fn put_u32(self, value: u32) -> Result {
        if self.copy_to_iter(&value.to_ne_bytes()) == size_of::<u32>() {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }
}

impl Source for &mut IovIterSource<'_> {
    fn len(&self) -> usize {
        IovIterSource::len(self)
    }

    fn get_u32(self) -> Result<u32> {
        let mut bytes = [0; size_of::<u32>()];

        if self.copy_from_iter(&mut bytes) == bytes.len() {
            Ok(u32::from_ne_bytes(bytes))
        } else {
            Err(EFAULT)
        }
    }
}

/// Writes a word to user space. `EFAULT` if there is nothing to write to. May sleep.
#[inline]
pub(crate) fn put_u32(to: UserPtr, value: u32) -> Result {
    // SAFETY: `put_user()` takes any address, and checks it.
    match unsafe { put_user_u32(value, to.as_mut_ptr().cast()) } {
        0 => Ok(()),
        _ => Err(EFAULT),
    }
}
