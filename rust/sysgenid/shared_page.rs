// SPDX-License-Identifier: GPL-2.0

//! The page that the driver shares with user space, `struct sysgenid_page`: where it is. What is
//! stored there in which order is in `publication.rs`.

use crate::{
    atomic::{
        AtomicU32,
        AtomicU64, //
    },
    bindings::{
        page_address,
        sysgenid_page, //
    },
    publication::PageWords, //
};
use core::{
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    page::Page,
    prelude::*, //
};

/// The shared page.
///
/// Only the kernel writes it. The atomics are those of `core`, as the readers are programs, outside
/// of the kernel's memory model.
///
/// # Invariants
///
/// `addr` is the address of the content of `page` in the kernel's own mapping.
pub(crate) struct SharedPage {
    page: Page,
    addr: NonNull<u8>,
}

// SAFETY: The content is only accessed by atomic operations.
unsafe impl Send for SharedPage {}
// SAFETY: As above.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// A page of zeroes: generation 0, no hardware ID. May sleep.
    pub(crate) fn new() -> Result<Self> {
        // Not `__GFP_HIGHMEM`, so that the page has an address for all its life.
        let page = Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?;

        // SAFETY: `page` is a page that was allocated from low memory.
        let addr = unsafe { page_address(page.as_ptr().cast()) };

        // INVARIANT: This is the address of the page.
        Ok(Self {
            page,
            addr: NonNull::new(addr.cast()).ok_or(ENOMEM)?,
        })
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: By the type invariant, and as the offsets are those of 32-bit fields of
        // `sysgenid_page`, the word is valid and aligned; all accesses to it are atomic.
        unsafe { AtomicU32::from_ptr(self.addr.as_ptr().add(offset).cast()) }
    }

    /// The page itself, for mappings.
    pub(crate) fn page(&self) -> &Page {
        &self.page
    }
}

impl PageWords for SharedPage {
    #[inline]
    fn generation_word(&self) -> &AtomicU32 {
        self.word(offset_of!(sysgenid_page, generation))
    }

    #[inline]
    fn flags_word(&self) -> &AtomicU32 {
        self.word(offset_of!(sysgenid_page, flags))
    }

    #[inline]
    fn hwid_offset_word(&self) -> &AtomicU32 {
        self.word(offset_of!(sysgenid_page, hwid_offset))
    }

    #[inline]
    fn hwid_halves(&self) -> [&AtomicU64; 2] {
        // SAFETY: By the type invariant, and as `hwid` is at a multiple of 8 in `sysgenid_page` and
        // has 16 bytes, both halves are valid and aligned; all accesses to them are atomic.
        unsafe {
            let first = self
                .addr
                .as_ptr()
                .add(offset_of!(sysgenid_page, hwid))
                .cast();

            [
                AtomicU64::from_ptr(first),
                AtomicU64::from_ptr(first.add(1)),
            ]
        }
    }
}

const _: () = assert!(offset_of!(sysgenid_page, hwid) % 8 == 0);
const _: () = assert!(size_of::<sysgenid_page>() <= bindings::PAGE_SIZE);
