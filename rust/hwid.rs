// SPDX-License-Identifier: GPL-2.0

//! Hardware IDs: sixteen bytes that the hypervisor rewrites behind the kernel's back.

use crate::bindings::SYSGENID_HWID_SIZE;
use core::{
    ptr::NonNull,
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    },
};
use kernel::{
    bindings,
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// Size of a hardware ID in bytes.
pub(crate) const SIZE: usize = SYSGENID_HWID_SIZE as usize;

/// A hardware ID: its bytes in memory order, as two native words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct HwId(pub(crate) [u64; 2]);

impl HwId {
    /// The bytes in memory order.
    pub(crate) fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];

        bytes[..8].copy_from_slice(&self.0[0].to_ne_bytes());
        bytes[8..].copy_from_slice(&self.0[1].to_ne_bytes());
        bytes
    }
}

/// A kernel mapping of the live ID.
///
/// # Invariants
///
/// `addr` is aligned to 8 bytes and valid for reads of [`SIZE`] bytes until `memunmap()`.
struct Mapping {
    paddr: u64,
    addr: NonNull<u64>,
}

// SAFETY: The mapping is a kernel mapping, the same from every thread, and is only read.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(paddr: u64) -> Result<Self> {
        // A torn read is only recognised where the two halves are read in one piece each.
        if paddr == 0 || paddr % 8 != 0 {
            return Err(EINVAL);
        }

        // The host writes the ID in the clear, so that an encrypted guest has to read it so.
        //
        // SAFETY: `memremap()` takes any range and fails where there is nothing to map.
        let addr = unsafe {
            bindings::memremap(
                paddr,
                SIZE,
                (bindings::MEMREMAP_WB | bindings::MEMREMAP_DEC) as usize,
            )
        };

        // INVARIANT: `memremap()` has succeeded, and keeps the offset into the page.
        Ok(Self {
            paddr,
            addr: NonNull::new(addr.cast()).ok_or(ENOMEM)?,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this is what `memremap()` returned, and it ends here.
        unsafe { bindings::memunmap(self.addr.as_ptr().cast()) };
    }
}

/// The live ID of the attached source, if there is one.
///
/// Readers take no lock and no RCU read side: a mapping is kept once made, and used again when a
/// source comes back to the same address, so that a reader who has just loaded the pointer of a
/// detached source reads memory that is still mapped. What this costs is a page of address space
/// per address that firmware ever names.
///
/// # Invariants
///
/// `current` is null or the `addr` of one of `kept`. `kept` only grows.
#[pin_data]
pub(crate) struct LiveHwId {
    current: AtomicPtr<u64>,
    #[pin]
    kept: Mutex<KVec<Mapping>>,
}

impl LiveHwId {
    /// A live ID without a source.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            current: AtomicPtr::new(core::ptr::null_mut()),
            kept <- new_mutex!(KVec::new()),
        })
    }

    /// Follows the ID at physical address `paddr` from now on.
    ///
    /// `EINVAL` for address 0 or one that is not aligned to 8 bytes, `ENOMEM` if it cannot be
    /// mapped. May sleep.
    pub(crate) fn attach(&self, paddr: u64) -> Result {
        let mut kept = self.kept.lock();

        let addr = match kept.iter().find(|mapping| mapping.paddr == paddr) {
            Some(mapping) => mapping.addr,
            None => {
                let mapping = Mapping::new(paddr)?;
                let addr = mapping.addr;
                kept.push(mapping, GFP_KERNEL)?;
                addr
            }
        };

        // INVARIANT: `addr` is that of one of `kept`.
        self.current.store(addr.as_ptr(), Ordering::Release);
        Ok(())
    }

    /// Follows no ID any longer.
    pub(crate) fn detach(&self) {
        self.current.store(core::ptr::null_mut(), Ordering::Release);
    }

    /// Reads the live ID, each half in one piece, the first one first.
    ///
    /// The virtual machine may have been stopped and restored between the two halves; see
    /// [`Self::read_stable`].
    #[inline]
    pub(crate) fn read(&self) -> Option<HwId> {
        let addr = NonNull::new(self.current.load(Ordering::Acquire))?;

        // SAFETY: By the type invariant `addr` is the address of one of `kept`, which only grows
        // as long as `self` lives, and by the invariant of `Mapping` both halves can be read.
        // Volatile, as the hypervisor changes them.
        Some(unsafe {
            HwId([
                addr.as_ptr().read_volatile(),
                addr.as_ptr().add(1).read_volatile(),
            ])
        })
    }

    /// Reads the live ID until it comes out twice the same.
    ///
    /// The hypervisor rewrites the ID while the virtual machine is stopped. A stop between the two
    /// loads of a read gives a mixture of two IDs; the next read then begins after the restore and
    /// differs. An ID that never comes to rest is none; after some attempts, whatever is there is
    /// taken, rather than never returning.
    pub(crate) fn read_stable(&self) -> Option<HwId> {
        let mut last = self.read()?;

        for _ in 0..1000 {
            let next = self.read()?;
            if next == last {
                break;
            }
            last = next;
        }
        Some(last)
    }
}
