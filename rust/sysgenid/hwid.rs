// SPDX-License-Identifier: GPL-2.0

//! Hardware IDs: sixteen bytes that the hypervisor rewrites behind the kernel's back.

use crate::{
    bindings::SYSGENID_HWID_SIZE,
    memremap::{
        MappedMemory,
        PublicFrame, //
    },
    publication::{
        HwId,
        LiveId,
        Processed, //
    }, //
};
use core::{
    marker::PhantomData,
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    },
};
use kernel::{
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::Mutex, //
};

/// Size of a hardware ID in bytes.
pub(crate) const SIZE: usize = SYSGENID_HWID_SIZE as usize;

impl HwId {
    /// The bytes in memory order.
    pub(crate) fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];

        bytes[..8].copy_from_slice(&self.0[0].to_ne_bytes());
        bytes[8..].copy_from_slice(&self.0[1].to_ne_bytes());
        bytes
    }
}

/// Memory that holds a live ID.
///
/// # Invariants
///
/// `memory` is aligned to 8 bytes and valid for reads of [`SIZE`] bytes.
struct Kept {
    paddr: u64,
    memory: MappedMemory,
}

impl Kept {
    fn new(paddr: u64) -> Result<Self> {
        // A torn read is only recognised where the two halves are read in one piece each.
        if paddr == 0 || paddr % 8 != 0 {
            return Err(EINVAL);
        }

        // INVARIANT: The alignment was checked, the length is that of the mapping.
        Ok(Self {
            paddr,
            memory: MappedMemory::new(paddr, SIZE)?,
        })
    }
}

/// Where a live ID is, mapped as long as the [`TrackedHwId`] is there that has located it.
///
/// # Invariants
///
/// The pointer is aligned to 8 bytes and valid for reads of [`SIZE`] bytes as long as `'a` lasts.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a>(*mut u64, PhantomData<&'a TrackedHwId>);

impl LiveId for Place<'_> {
    #[inline]
    fn read(self) -> HwId {
        // SAFETY: By the type invariant both halves can be read. Volatile, as the hypervisor
        // changes them.
        unsafe { HwId([self.0.read_volatile(), self.0.add(1).read_volatile()]) }
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
/// `live` is the address of `memory` of one of `kept` or, as long as no source is attached, of
/// `processed` itself. `kept` only grows.
#[pin_data]
pub(crate) struct TrackedHwId {
    live: AtomicPtr<u64>,
    processed: Processed,
    #[pin]
    kept: Mutex<KVec<Kept>>,
    /// The page that processes may see.
    #[pin]
    shown: Mutex<Option<Shown>>,
}

/// The page of an ID that processes may see.
struct Shown {
    paddr: u64,
    frame: PublicFrame,
    /// Whether one has. Then a mapping may be there for as long as the device.
    is_seen: bool,
}

impl TrackedHwId {
    /// No source yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        // INVARIANT: No source is attached.
        pin_init!(&this in Self {
            processed: Processed::new(),
            // SAFETY: `this` is the place that is being initialised, and stays.
            live: AtomicPtr::new(unsafe { &raw mut (*this.as_ptr()).processed }.cast()),
            kept <- new_mutex!(KVec::new()),
            shown <- new_mutex!(None),
        })
    }

    /// Finds the ID at physical address `paddr`. May sleep.
    ///
    /// `EINVAL` for address 0 or one that is not aligned to 8 bytes, `ENOMEM` if it cannot be
    /// mapped.
    pub(crate) fn locate(&self, paddr: u64) -> Result<Place<'_>> {
        let mut kept = self.kept.lock();

        let index = match kept.iter().position(|kept| kept.paddr == paddr) {
            Some(index) => index,
            None => {
                kept.push(Kept::new(paddr)?, GFP_KERNEL)?;
                kept.len() - 1
            }
        };

        // INVARIANT: By the invariant of `Kept`; `kept` only grows.
        Ok(Place(kept[index].memory.as_ptr().cast(), PhantomData))
    }

    /// Follows the ID at a place of this object from now on.
    pub(crate) fn follow(&self, place: Place<'_>) {
        // INVARIANT: The place is that of one of `kept`.
        self.live.store(place.0, Ordering::Release);
    }

    /// Follows no ID any longer.
    pub(crate) fn follow_none(&self) {
        // INVARIANT: No source is attached.
        self.live.store(self.nowhere(), Ordering::Release);
    }

    /// Where `live` points as long as no source is attached.
    fn nowhere(&self) -> *mut u64 {
        (&raw const self.processed).cast_mut().cast()
    }

    /// Lets processes see the page that holds the ID at `paddr`, if it is fit to be seen. Returns
    /// whether they may from now on. May sleep.
    ///
    /// That is looked at each time. Once it was mapped, it is this page or none: were it exchanged
    /// for another, those who have mapped it would go on to look at it.
    pub(crate) fn show_page_of(&self, paddr: u64) -> bool {
        let offset = (paddr % PAGE_SIZE as u64) as usize;
        let frame = PublicFrame::new(paddr, |page| {
            page.bytes()
                .enumerate()
                .all(|(at, byte)| byte == 0 || (offset..offset + SIZE).contains(&at))
        });
        let Some(frame) = frame else {
            return false;
        };

        let mut shown = self.shown.lock();
        let is_fixed = shown.as_ref().is_some_and(|shown| shown.is_seen);

        if !is_fixed {
            *shown = Some(Shown {
                paddr,
                frame,
                is_seen: false,
            });
        }
        shown.as_ref().is_some_and(|shown| shown.paddr == paddr)
    }

    /// The frame that processes may see, if there ever was one, for a mapping. It stays when the
    /// source goes, so that mappings stay readable. May sleep.
    pub(crate) fn shown_frame(&self) -> Option<PublicFrame> {
        let mut shown = self.shown.lock();
        let shown = (*shown).as_mut()?;

        shown.is_seen = true;
        Some(shown.frame)
    }

    /// Whether the live ID is not the processed one, see [`Processed::is_pending`]. In any context.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.processed.is_pending(|| self.place())
    }

    /// Where `live` points.
    #[inline]
    fn place(&self) -> Place<'_> {
        // INVARIANT: By the type invariant this is the address of `processed` or of one of `kept`;
        // both live as long as `self`. By the invariant of `Kept` both halves can be read.
        Place(self.live.load(Ordering::Acquire), PhantomData)
    }

    /// The processed ID, for whoever may change it.
    #[inline]
    pub(crate) fn processed(&self) -> &Processed {
        &self.processed
    }

    /// Lets `reseed` reseed the RNG for a live ID that is not the processed one, see
    /// [`Processed::reseed`].
    pub(crate) fn reseed<R>(&self, reseed: impl Fn(HwId) -> R) -> Option<(HwId, R)> {
        let place = self.place();

        if place.0 == self.nowhere() {
            return None;
        }
        self.processed.reseed(place, reseed)
    }
}
