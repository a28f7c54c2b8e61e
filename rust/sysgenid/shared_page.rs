// SPDX-License-Identifier: GPL-2.0

//! The page that the driver shares with user space, `struct sysgenid_page`.

use crate::{
    bindings::{
        page_address,
        sysgenid_page,
        SYSGENID_PAGE_HWID, //
    },
    hwid::HwId, //
};
use core::{
    mem::offset_of,
    ptr::NonNull,
    sync::atomic::{
        AtomicU32,
        AtomicU64,
        Ordering, //
    },
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

    #[inline]
    fn hwid_half(&self, half: usize) -> &AtomicU64 {
        let offset = offset_of!(sysgenid_page, hwid) + 8 * half;

        // SAFETY: By the type invariant, and as `hwid` is at a multiple of 8 in `sysgenid_page`,
        // which this function's callers address the two halves of, the half is valid and aligned;
        // all accesses to it are atomic.
        unsafe { AtomicU64::from_ptr(self.addr.as_ptr().add(offset).cast()) }
    }

    /// The generation that was stored last.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.word(offset_of!(sysgenid_page, generation))
            .load(Ordering::Acquire)
    }

    /// Stores the generation.
    pub(crate) fn set_generation(&self, generation: u32) {
        self.word(offset_of!(sysgenid_page, generation))
            .store(generation, Ordering::Release);
    }

    /// Stores the hardware ID that the generation, which is to be stored before, accounts for.
    pub(crate) fn set_hwid(&self, hwid: HwId) {
        self.hwid_half(0).store(hwid.0[0], Ordering::Release);
        self.hwid_half(1).store(hwid.0[1], Ordering::Release);
    }

    /// Tells that page 1 can be mapped and shows the live ID at `offset`, or that it cannot.
    pub(crate) fn set_hwid_offset(&self, offset: Option<u32>) {
        let flags = match offset {
            Some(offset) => {
                self.word(offset_of!(sysgenid_page, hwid_offset))
                    .store(offset, Ordering::Relaxed);
                SYSGENID_PAGE_HWID
            }
            None => 0,
        };

        // After the offset, for those who look at the flag first.
        self.word(offset_of!(sysgenid_page, flags))
            .store(flags, Ordering::Release);
    }

    /// Whether page 1 can be mapped. If so, the caller finds its frame.
    pub(crate) fn has_hwid_offset(&self) -> bool {
        self.word(offset_of!(sysgenid_page, flags))
            .load(Ordering::Acquire)
            & SYSGENID_PAGE_HWID
            != 0
    }

    /// The page itself, for mappings.
    pub(crate) fn page(&self) -> &Page {
        &self.page
    }
}

const _: () = assert!(offset_of!(sysgenid_page, hwid) % 8 == 0);
const _: () = assert!(size_of::<sysgenid_page>() <= bindings::PAGE_SIZE);
