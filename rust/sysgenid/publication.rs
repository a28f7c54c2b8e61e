// SPDX-License-Identifier: GPL-2.0

//! What programs and system calls see of a change without a lock: the words that it stores, and in
//! which order they are stored and loaded.
//!
//! Where the words are, `shared_page.rs` and `hwid.rs` know. `tests/model` has them elsewhere and
//! checks these lines as they are, so this file names nothing of the kernel.

use crate::{
    atomic::{
        AtomicU32,
        AtomicU64,
        Ordering, //
    },
    bindings::SYSGENID_PAGE_HWID, //
};

/// How often a change begins anew because the hardware ID has changed again meanwhile. It ends,
/// even if a broken hypervisor gives out new IDs faster than they can be processed.
pub(crate) const ATTEMPTS: usize = 16;

/// A hardware ID: its bytes in memory order, as two native words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct HwId(pub(crate) [u64; 2]);

/// The words of `struct sysgenid_page`.
pub(crate) trait PageWords {
    /// `generation`
    fn generation_word(&self) -> &AtomicU32;

    /// `flags`
    fn flags_word(&self) -> &AtomicU32;

    /// `hwid_offset`
    fn hwid_offset_word(&self) -> &AtomicU32;

    /// The two halves of `hwid`.
    fn hwid_halves(&self) -> [&AtomicU64; 2];

    /// The generation that was stored last.
    #[inline]
    fn generation(&self) -> u32 {
        self.generation_word().load(Ordering::Acquire)
    }

    /// Stores the generation.
    #[inline]
    fn set_generation(&self, generation: u32) {
        self.generation_word().store(generation, Ordering::Release);
    }

    /// Stores the hardware ID that the generation, which is to be stored before, accounts for.
    #[inline]
    fn set_hwid(&self, hwid: HwId) {
        let halves = self.hwid_halves();

        halves[0].store(hwid.0[0], Ordering::Release);
        halves[1].store(hwid.0[1], Ordering::Release);
    }

    /// Tells that page 1 can be mapped and shows the live ID at `offset`, or that it cannot.
    fn set_hwid_offset(&self, offset: Option<u32>) {
        let flags = match offset {
            Some(offset) => {
                self.hwid_offset_word().store(offset, Ordering::Relaxed);
                SYSGENID_PAGE_HWID
            }
            None => 0,
        };

        // After the offset, for those who look at the flag first.
        self.flags_word().store(flags, Ordering::Release);
    }

    /// Whether page 1 can be mapped. If so, the caller finds its frame and the offset.
    fn has_hwid_offset(&self) -> bool {
        self.flags_word().load(Ordering::Acquire) & SYSGENID_PAGE_HWID != 0
    }
}

/// A place that holds a live ID, which the hypervisor rewrites while the virtual machine is
/// stopped.
pub(crate) trait LiveId: Copy {
    /// Reads the ID, each half in one piece, the first one first.
    fn read(self) -> HwId;

    /// Reads the ID until it comes out twice the same.
    ///
    /// A stop between the two loads of a read gives a mixture of two IDs; the next read then begins
    /// after the restore and differs. An ID that never comes to rest is none; after some attempts,
    /// whatever is there is taken, rather than never returning.
    fn read_stable(self) -> HwId {
        let mut last = self.read();

        for _ in 0..1000 {
            let next = self.read();
            if next == last {
                break;
            }
            last = next;
        }
        last
    }
}

/// The hardware ID that was processed last. One change at a time stores it.
#[repr(transparent)]
pub(crate) struct Processed([AtomicU64; 2]);

impl Processed {
    /// No ID yet.
    pub(crate) fn new() -> Self {
        Self([AtomicU64::new(0), AtomicU64::new(0)])
    }

    /// The processed ID. A mixture of two, if it is being stored.
    #[inline]
    pub(crate) fn load(&self) -> HwId {
        HwId([
            self.0[0].load(Ordering::Acquire),
            self.0[1].load(Ordering::Acquire),
        ])
    }

    /// Stores the processed ID: no change is pending any longer.
    #[inline]
    fn store(&self, hwid: HwId) {
        self.0[0].store(hwid.0[0], Ordering::Release);
        self.0[1].store(hwid.0[1], Ordering::Release);
    }

    /// Stores the processed ID, for programs as well. The generation is to be stored before.
    #[inline]
    pub(crate) fn publish(&self, page: &impl PageWords, hwid: HwId) {
        page.set_hwid(hwid);
        self.store(hwid);
    }

    /// Whether the live ID, whose place `live` finds, is not the processed one.
    ///
    /// If it is, whoever asks sees all that was stored before [`Self::publish`].
    ///
    /// The four loads are not one: restores and changes may come in between. The processed ID is
    /// loaded first. That the live one is equal to it later says that what is live by then had been
    /// processed before; so the generation that is loaded after this is not older than the call,
    /// which is what matters. Where a change stores the processed ID between the loads of its
    /// halves, they are of two IDs, and equal to no live one. It takes for granted that no ID comes
    /// back, as the specification of the ID does.
    #[inline]
    pub(crate) fn is_pending<L: LiveId>(&self, live: impl FnOnce() -> L) -> bool {
        self.load() != live().read()
    }

    /// Lets `reseed` reseed the RNG for the live ID, unless that is the processed one. Returns the
    /// ID and what has come of it. For the one who may store the processed ID next.
    pub(crate) fn reseed<R>(
        &self,
        live: impl LiveId,
        reseed: impl Fn(HwId) -> R,
    ) -> Option<(HwId, R)> {
        let mut hwid = live.read_stable();
        if hwid == self.load() {
            return None;
        }

        let mut reseeded = reseed(hwid);
        for _ in 1..ATTEMPTS {
            // If a snapshot was taken since the ID was read, this may be one of its clones, and
            // the RNG may have the same state in all of them.
            let now = live.read_stable();
            if now == hwid {
                break;
            }
            hwid = now;
            reseeded = reseed(hwid);
        }
        Some((hwid, reseeded))
    }
}
