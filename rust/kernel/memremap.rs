// SPDX-License-Identifier: GPL-2.0

//! Memory that firmware or the hypervisor has at a physical address, which is not the kernel's to
//! allocate.
//!
//! C headers: [`include/linux/io.h`](srctree/include/linux/io.h),
//! [`include/linux/ioport.h`](srctree/include/linux/ioport.h)

use crate::bindings::has_encrypted_memory;
use core::ptr::NonNull;
use kernel::{
    bindings,
    ffi::c_uint,
    page::PAGE_SIZE,
    prelude::*, //
};

/// A range of such memory in the kernel's address space.
///
/// # Invariants
///
/// `addr` is what `memremap()` has returned for `len` bytes.
pub(crate) struct MappedMemory {
    addr: NonNull<u8>,
    len: usize,
}

// SAFETY: The mapping is the kernel's, the same from every thread.
unsafe impl Send for MappedMemory {}

impl MappedMemory {
    /// Maps `len` bytes at `paddr`, keeping the offset into the page. May sleep.
    ///
    /// `ENOMEM` if there is nothing to map, or RAM in a part of the range only.
    pub(crate) fn new(paddr: u64, len: usize) -> Result<Self> {
        // Beyond what the processor can address, `memremap()` would warn with a backtrace.
        //
        // SAFETY: The end of the root resource is set at boot and only read here.
        if paddr > unsafe { bindings::iomem_resource.end } - (len as u64 - 1) {
            return Err(ENOMEM);
        }
        // At what is RAM in parts as well.
        if ram_in(paddr, len) == bindings::REGION_MIXED {
            return Err(ENOMEM);
        }

        // The host writes such memory in the clear, so that an encrypted guest has to read it so.
        //
        // SAFETY: `memremap()` takes any range and fails where there is nothing to map.
        let addr = unsafe {
            bindings::memremap(
                paddr,
                len,
                (bindings::MEMREMAP_WB | bindings::MEMREMAP_DEC) as usize,
            )
        };

        // INVARIANT: Just returned.
        Ok(Self {
            addr: NonNull::new(addr.cast()).ok_or(ENOMEM)?,
            len,
        })
    }

    /// The address of the first byte, which is valid as long as `self`.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.addr.as_ptr()
    }

    /// The bytes, each as it is when it is looked at: others may write them at any time.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        // SAFETY: By the type invariant all `len` bytes can be read. Volatile, as they are not
        // ours.
        (0..self.len).map(|offset| unsafe { self.addr.as_ptr().add(offset).read_volatile() })
    }
}

impl Drop for MappedMemory {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::memunmap(self.addr.as_ptr().cast()) };
    }
}

/// How much of a range is ordinary RAM: one of `REGION_*`.
fn ram_in(paddr: u64, len: usize) -> c_uint {
    // SAFETY: Compares numbers with the resource tree.
    let ram = unsafe {
        bindings::region_intersects(
            paddr,
            len,
            bindings::IORESOURCE_SYSTEM_RAM as usize,
            bindings::IORES_DESC_NONE as usize,
        )
    };
    ram as c_uint
}

/// Number of a page frame that any process may see.
///
/// # Invariants
///
/// When this was made, the frame was not RAM of the running kernel, and what is in it was found fit
/// to be seen.
#[derive(Clone, Copy)]
pub(crate) struct PublicFrame(usize);

impl PublicFrame {
    /// The frame that `paddr` is in, if `is_public` says of what is in it that anybody may see it.
    /// May sleep.
    ///
    /// None in a guest with encrypted memory: the mapping of a process would decrypt what the host
    /// has written in the clear.
    pub(crate) fn new(paddr: u64, is_public: impl FnOnce(&MappedMemory) -> bool) -> Option<Self> {
        let page = paddr - paddr % PAGE_SIZE as u64;

        // SAFETY: Only asks.
        if unsafe { has_encrypted_memory() } || ram_in(page, PAGE_SIZE) != bindings::REGION_DISJOINT
        {
            return None;
        }
        let content = MappedMemory::new(page, PAGE_SIZE).ok()?;

        // INVARIANT: Both has just been checked.
        is_public(&content).then_some(Self((paddr / PAGE_SIZE as u64) as usize))
    }

    /// The number of the frame.
    pub(crate) fn pfn(self) -> usize {
        self.0
    }
}
