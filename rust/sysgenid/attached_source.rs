// SPDX-License-Identifier: GPL-2.0

//! A source of a hardware ID, as the counter sees it: what another module has registered.
//!
//! C header: `include/linux/sysgenid.h`

use crate::{
    bindings::sysgenid_source,
    publication::HwId, //
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
/// The pointer is valid, its name is a string, and those callbacks that are set can be called as
/// `include/linux/sysgenid.h` says, until unregistering the source has returned. Nobody has a copy
/// of this object any longer by then.
#[derive(Clone, Copy)]
pub(crate) struct AttachedSource(NonNull<sysgenid_source>);

// SAFETY: A source may be used from any thread; the callbacks are specified so.
unsafe impl Send for AttachedSource {}

impl AttachedSource {
    /// Wraps what a module registers. `EINVAL` for a source without a name.
    ///
    /// # Safety
    ///
    /// `source` must be valid, with a name that is a string or null, and stay so until the last
    /// copy of the object has gone. Its callbacks must be callable as
    /// `include/linux/sysgenid.h` says.
    pub(crate) unsafe fn from_raw(source: NonNull<sysgenid_source>) -> Result<Self> {
        // SAFETY: The caller promises that the pointer is valid.
        if unsafe { source.as_ref() }.name.is_null() {
            return Err(EINVAL);
        }

        // INVARIANT: The caller promises it.
        Ok(Self(source))
    }

    fn raw(&self) -> &sysgenid_source {
        // SAFETY: By the type invariant the pointer is valid. Nobody changes what it points to.
        unsafe { self.0.as_ref() }
    }

    /// The name of the device that has the ID.
    pub(crate) fn name(&self) -> &CStr {
        // SAFETY: By the type invariant.
        unsafe { CStr::from_char_ptr(self.raw().name) }
    }

    /// The physical address of the live ID.
    pub(crate) fn paddr(self) -> u64 {
        self.raw().hwid
    }

    /// Whether this is the source at `source`.
    pub(crate) fn is(&self, source: *mut sysgenid_source) -> bool {
        self.0.as_ptr() == source
    }

    /// Mixes the first ID of a source into the RNG. May sleep.
    pub(crate) fn mix(self, hwid: HwId) {
        if let Some(mix) = self.raw().mix {
            // SAFETY: By the type invariant; the ID has the size that the callback reads.
            unsafe { mix(self.0.as_ptr(), hwid.to_bytes().as_ptr()) };
        }
    }

    /// Mixes a new ID into the RNG and reseeds it. Does not sleep. One at a time.
    pub(crate) fn reseed(self, hwid: HwId) -> Result {
        match self.raw().reseed {
            // SAFETY: By the type invariant; the ID has the size that the callback reads.
            Some(reseed) => to_result(unsafe { reseed(self.0.as_ptr(), hwid.to_bytes().as_ptr()) }),
            None => Ok(()),
        }
    }

    /// Reports a change, when all else is done. May sleep. One at a time.
    pub(crate) fn report(self, hwid: HwId, reseeded: Result) {
        if let Some(report) = self.raw().report {
            let reseeded = reseeded.err().map_or(0, Error::to_errno);

            // SAFETY: By the type invariant; the ID has the size that the callback reads.
            unsafe { report(self.0.as_ptr(), hwid.to_bytes().as_ptr(), reseeded) };
        }
    }
}
