// SPDX-License-Identifier: GPL-2.0

//! Sources of a hardware ID as the counter sees them.
//!
//! C header: `include/linux/sysgenid.h`

use crate::{
    bindings::sysgenid_source,
    hwid::HwId, //
};
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// A source that another module has registered.
///
/// # Invariants
///
/// The pointer is valid, and those callbacks that are set can be called in process context, until
/// the module unregisters the source, which ends the life of this object.
pub(crate) struct Source(NonNull<sysgenid_source>);

// SAFETY: A source may be used from any thread; the callbacks are specified so.
unsafe impl Send for Source {}

impl Source {
    /// Wraps what a module registers.
    ///
    /// # Safety
    ///
    /// `source` must be valid and stay so until the object is dropped, and its callbacks must be
    /// callable in process context.
    pub(crate) unsafe fn from_raw(source: NonNull<sysgenid_source>) -> Self {
        // INVARIANT: The caller promises it.
        Self(source)
    }

    /// The physical address of the live ID.
    pub(crate) fn paddr(&self) -> u64 {
        // SAFETY: By the type invariant the pointer is valid.
        unsafe { self.0.as_ref() }.hwid
    }

    /// Whether this is the source at `source`.
    pub(crate) fn is(&self, source: *mut sysgenid_source) -> bool {
        self.0.as_ptr() == source
    }

    /// Mixes the first ID of a source into the RNG. May sleep.
    pub(crate) fn mix(&mut self, hwid: HwId) {
        // SAFETY: By the type invariant. `&mut` keeps callbacks from running at the same time.
        if let Some(mix) = unsafe { self.0.as_ref() }.mix {
            // SAFETY: By the type invariant; the ID has the size that the callback reads.
            unsafe { mix(self.0.as_ptr(), hwid.to_bytes().as_ptr()) };
        }
    }

    /// Mixes a new ID into the RNG and reseeds it. May sleep.
    pub(crate) fn reseed(&mut self, hwid: HwId) -> Result {
        // SAFETY: By the type invariant. `&mut` keeps callbacks from running at the same time.
        match unsafe { self.0.as_ref() }.reseed {
            // SAFETY: By the type invariant; the ID has the size that the callback reads.
            Some(reseed) => to_result(unsafe { reseed(self.0.as_ptr(), hwid.to_bytes().as_ptr()) }),
            None => Ok(()),
        }
    }

    /// Reports a change, when all else is done. May sleep.
    pub(crate) fn report(&mut self, reseeded: Result) {
        // SAFETY: By the type invariant. `&mut` keeps callbacks from running at the same time.
        if let Some(report) = unsafe { self.0.as_ref() }.report {
            let reseeded = reseeded.err().map_or(0, Error::to_errno);

            // SAFETY: By the type invariant.
            unsafe { report(self.0.as_ptr(), reseeded) };
        }
    }
}
