// SPDX-License-Identifier: MIT OR Apache-2.0

//! The mapped pages of the device, as atomics.

use crate::{
    abi,
    check::Pages, //
};
use rustix::{
    fd::BorrowedFd,
    io::Result,
    mm::{
        self,
        MapFlags,
        ProtFlags, //
    }, //
};
use std::{
    ffi::c_void,
    ptr::NonNull,
    sync::atomic::{
        AtomicU32,
        AtomicU64,
        Ordering, //
    }, //
};

/// Page 0 and, where it can be mapped, page 1.
///
/// # Invariants
///
/// `start` is the beginning of a shared mapping of `len` bytes, readable, which this value has for
/// itself. `len` is that of one page, or of two. In the latter case `live` is the offset of the
/// live hardware ID in the second page; it is a multiple of 8, and the ID ends within the page.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<c_void>,
    len: usize,
    live: Option<usize>,
}

// SAFETY: The mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: All that can be done with a shared reference is atomic loads.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the device. `fd` has answered `SYSGENID_GET_GENERATION`, so it is the device.
    pub(crate) fn new(fd: BorrowedFd<'_>) -> Result<Self> {
        let page = rustix::param::page_size();

        // Elsewhere an atomic load of 8 bytes may be a store as well, which faults here. There
        // every check says that a system call is needed.
        if cfg!(target_pointer_width = "64") {
            if let Ok(mut both) = Self::map(fd, 2 * page) {
                // It has a meaning since page 1 was mapped, and does not change after that.
                let offset = both.word(abi::OFFSET_HWID_OFFSET).load(Ordering::Relaxed) as usize;

                if offset % 8 == 0 && offset <= page - abi::HWID_SIZE {
                    // INVARIANT: As just compared.
                    both.live = Some(page + offset);
                    return Ok(both);
                }
            }
        }
        Self::map(fd, page)
    }

    /// Maps so many bytes, one page or two, without a live ID for now.
    fn map(fd: BorrowedFd<'_>, len: usize) -> Result<Self> {
        // SAFETY: A new mapping at an address that the kernel chooses overlaps no other memory.
        let start = unsafe {
            mm::mmap(
                core::ptr::null_mut(),
                len,
                ProtFlags::READ,
                MapFlags::SHARED,
                fd,
                0,
            )
        }?;

        // INVARIANT: The kernel has just made it. It gives out no address 0, which is not
        // mapped without MAP_FIXED.
        match NonNull::new(start) {
            Some(start) => Ok(Self {
                start,
                len,
                live: None,
            }),
            None => Err(rustix::io::Errno::NOMEM),
        }
    }

    /// A field of page 0 of 4 bytes.
    fn word(&self, offset: usize) -> &AtomicU32 {
        debug_assert!(offset % 4 == 0 && offset + 4 <= self.len);
        // SAFETY: The offsets of `abi` are within the first page.
        let field = unsafe { self.start.byte_add(offset) };
        // SAFETY: It is a multiple of 4 within a page, so it is aligned. By the invariant the
        // memory is readable as long as `self` lives, whatever becomes of the driver and of the
        // descriptor. The kernel changes it, which atomics are for; this program cannot. They are
        // loaded as `check::Load` says, which works in memory that cannot be written to.
        unsafe { field.cast::<AtomicU32>().as_ref() }
    }

    /// Half of a hardware ID.
    fn half(&self, offset: usize) -> &AtomicU64 {
        debug_assert!(offset % 8 == 0 && offset + 8 <= self.len);
        // SAFETY: The ID of page 0 is within it, and that of page 1, by the invariant, too.
        let half = unsafe { self.start.byte_add(offset) };
        // SAFETY: As in `word()`. Here the hypervisor may be the one who writes, before the
        // processors of the clone run.
        unsafe { half.cast::<AtomicU64>().as_ref() }
    }

    /// What `check()` looks at.
    #[inline]
    pub(crate) fn pages(&self) -> Pages<'_, AtomicU32, AtomicU64> {
        Pages {
            generation: self.word(abi::OFFSET_GENERATION),
            flags: self.word(abi::OFFSET_FLAGS),
            hwid: [
                self.half(abi::OFFSET_HWID),
                self.half(abi::OFFSET_HWID + 8), //
            ],
            live: self
                .live
                .map(|offset| [self.half(offset), self.half(offset + 8)]),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: By the invariant it is this value's own. References into it borrow from the
        // value, so none is left.
        let _ = unsafe { mm::munmap(self.start.as_ptr(), self.len) };
    }
}
