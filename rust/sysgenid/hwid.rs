// SPDX-License-Identifier: GPL-2.0

//! Hardware IDs: sixteen bytes that the hypervisor rewrites behind the kernel's back.

use crate::bindings::SYSGENID_HWID_SIZE;
use core::{
    ptr::NonNull,
    sync::atomic::{
        AtomicPtr,
        AtomicU64,
        AtomicUsize,
        Ordering, //
    },
};
use kernel::{
    bindings,
    ffi::c_uint,
    new_mutex,
    page::PAGE_SIZE,
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

/// Number of a page frame that any process may see: not RAM of the running kernel, and found to be
/// zero but for a hardware ID, which is no secret.
///
/// # Invariants
///
/// The frame is as described above.
#[derive(Clone, Copy)]
pub(crate) struct FirmwareFrame(usize);

impl FirmwareFrame {
    /// The frame that holds the ID at `paddr`, if it is fit to be seen. May sleep.
    fn new(paddr: u64) -> Option<Self> {
        let offset = (paddr % PAGE_SIZE as u64) as usize;
        let page = paddr - offset as u64;

        if ram_in(page, PAGE_SIZE) != bindings::REGION_DISJOINT {
            return None;
        }

        let page = Mapped::new(page, PAGE_SIZE).ok()?;
        let rest_is_zero = (0..PAGE_SIZE)
            .filter(|byte| !(offset..offset + SIZE).contains(byte))
            // SAFETY: The mapping has the size of a page. Volatile, as it is not ours.
            .all(|byte| unsafe { page.0.cast::<u8>().add(byte).read_volatile() } == 0);

        // INVARIANT: Both has just been checked.
        rest_is_zero.then_some(Self((paddr / PAGE_SIZE as u64) as usize))
    }

    /// The number of the frame.
    pub(crate) fn pfn(self) -> usize {
        self.0
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

/// Memory of the firmware in the kernel's address space.
///
/// # Invariants
///
/// The pointer is what `memremap()` has returned.
struct Mapped(NonNull<u64>);

impl Mapped {
    /// Maps `len` bytes at `paddr`, keeping the offset into the page. May sleep.
    fn new(paddr: u64, len: usize) -> Result<Self> {
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

        // The host writes the ID in the clear, so that an encrypted guest has to read it so.
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
        Ok(Self(NonNull::new(addr.cast()).ok_or(ENOMEM)?))
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::memunmap(self.0.as_ptr().cast()) };
    }
}

/// A place where a live ID is.
///
/// # Invariants
///
/// `mapped` is aligned to 8 bytes and valid for reads of [`SIZE`] bytes.
struct Place {
    paddr: u64,
    mapped: Mapped,
    frame: Option<FirmwareFrame>,
}

// SAFETY: The mapping is the kernel's, the same from every thread, and is only read.
unsafe impl Send for Place {}

impl Place {
    fn new(paddr: u64) -> Result<Self> {
        // A torn read is only recognised where the two halves are read in one piece each.
        if paddr == 0 || paddr % 8 != 0 {
            return Err(EINVAL);
        }

        // INVARIANT: The alignment was checked, the length is that of the mapping.
        Ok(Self {
            paddr,
            mapped: Mapped::new(paddr, SIZE)?,
            frame: FirmwareFrame::new(paddr),
        })
    }
}

/// The ID of the attached source as it is at this moment, and as it was when the last change was
/// processed. They differ while a change is pending.
///
/// Readers take no lock and no RCU read side: a mapping is kept once made, and used again when a
/// source comes back to the same address, so that a reader who has just loaded the pointer of a
/// detached source reads memory that is still mapped. What this costs is a page of address space
/// per address that firmware ever names.
///
/// The atomics are those of `core`: the comparison is on the fast path of every system call, where
/// a call of a helper for each load costs more than the loads do.
///
/// # Invariants
///
/// `live` is `mapped` of one of `kept` or, as long as no source is attached, `processed` itself.
/// `kept` only grows. `frame` is that of a [`FirmwareFrame`], if it is one.
#[pin_data]
pub(crate) struct TrackedHwId {
    live: AtomicPtr<u64>,
    processed: [AtomicU64; 2],
    /// The number of the latest frame with an ID that may be seen, or `NO_FRAME`.
    frame: AtomicUsize,
    #[pin]
    kept: Mutex<KVec<Place>>,
}

/// No page has this number.
const NO_FRAME: usize = usize::MAX;

impl TrackedHwId {
    /// No source yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        // INVARIANT: No source is attached.
        pin_init!(&this in Self {
            processed: [const { AtomicU64::new(0) }; 2],
            // SAFETY: `this` is the place that is being initialised, and stays.
            live: AtomicPtr::new(unsafe { &raw mut (*this.as_ptr()).processed }.cast()),
            frame: AtomicUsize::new(NO_FRAME),
            kept <- new_mutex!(KVec::new()),
        })
    }

    /// Follows the ID at physical address `paddr` from now on.
    ///
    /// Returns whether processes may see the frame that holds it. `EINVAL` for address 0 or one
    /// that is not aligned to 8 bytes, `ENOMEM` if it cannot be mapped. May sleep.
    pub(crate) fn attach(&self, paddr: u64) -> Result<bool> {
        let mut kept = self.kept.lock();

        let index = match kept.iter().position(|place| place.paddr == paddr) {
            Some(index) => index,
            None => {
                kept.push(Place::new(paddr)?, GFP_KERNEL)?;
                kept.len() - 1
            }
        };
        let place = &kept[index];

        // INVARIANT: This is one of `kept`.
        self.live.store(place.mapped.0.as_ptr(), Ordering::Release);
        if let Some(FirmwareFrame(frame)) = place.frame {
            self.frame.store(frame, Ordering::Release);
        }
        Ok(place.frame.is_some())
    }

    /// The frame of the latest source which had one that processes may see. Stays when the source
    /// goes, so that mappings stay readable.
    pub(crate) fn frame(&self) -> Option<FirmwareFrame> {
        match self.frame.load(Ordering::Acquire) {
            NO_FRAME => None,
            // INVARIANT: By the type invariant.
            frame => Some(FirmwareFrame(frame)),
        }
    }

    /// Follows no ID any longer.
    pub(crate) fn detach(&self) {
        // INVARIANT: No source is attached.
        self.live.store(self.nowhere(), Ordering::Release);
    }

    /// Where `live` points as long as no source is attached.
    fn nowhere(&self) -> *mut u64 {
        self.processed[0].as_ptr()
    }

    /// Whether the live ID is not the processed one.
    ///
    /// If it is, whoever asks sees all that was stored before [`Self::set_processed`].
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        Self::load(self.live.load(Ordering::Acquire)) != self.processed()
    }

    /// The processed ID.
    #[inline]
    pub(crate) fn processed(&self) -> HwId {
        HwId([
            self.processed[0].load(Ordering::Acquire),
            self.processed[1].load(Ordering::Acquire),
        ])
    }

    /// Stores the processed ID: no change is pending any longer.
    pub(crate) fn set_processed(&self, hwid: HwId) {
        self.processed[0].store(hwid.0[0], Ordering::Release);
        self.processed[1].store(hwid.0[1], Ordering::Release);
    }

    /// Reads an ID, each half in one piece, the first one first.
    ///
    /// `addr` must be what `live` was at some time.
    #[inline]
    fn load(addr: *mut u64) -> HwId {
        // SAFETY: By the type invariant this is the address of `processed` or of one of `kept`,
        // which only grows; both live as long as `self`. By the invariant of `Place` both halves
        // can be read. Volatile, as the hypervisor changes them.
        unsafe { HwId([addr.read_volatile(), addr.add(1).read_volatile()]) }
    }

    /// Reads the live ID, if there is a source, until it comes out twice the same.
    ///
    /// The hypervisor rewrites the ID while the virtual machine is stopped. A stop between the two
    /// loads of a read gives a mixture of two IDs; the next read then begins after the restore and
    /// differs. An ID that never comes to rest is none; after some attempts, whatever is there is
    /// taken, rather than never returning.
    pub(crate) fn read_stable(&self) -> Option<HwId> {
        let addr = self.live.load(Ordering::Acquire);
        if addr == self.nowhere() {
            return None;
        }

        let mut last = Self::load(addr);
        for _ in 0..1000 {
            let next = Self::load(addr);
            if next == last {
                break;
            }
            last = next;
        }
        Some(last)
    }
}
