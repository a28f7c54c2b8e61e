// SPDX-License-Identifier: GPL-2.0

//! Registering a source of a hardware ID with `sysgenid.ko`.
//!
//! C header: `include/linux/sysgenid.h`

use crate::bindings::{
    sysgenid_notify_source,
    sysgenid_process_source,
    sysgenid_register_source,
    sysgenid_source,
    sysgenid_source_hwid,
    sysgenid_source_is_pending,
    sysgenid_unregister_source,
    SYSGENID_HWID_SIZE, //
};
use kernel::{
    container_of,
    error::to_result,
    ffi::c_int,
    prelude::*,
    types::Opaque, //
};

/// The bytes of a hardware ID, in memory order.
pub(crate) type HwIdBytes = [u8; SYSGENID_HWID_SIZE as usize];

/// What the counter asks of a source.
///
/// No method is called at the same time as itself.
pub(crate) trait Source: Send + Sync + 'static {
    /// The name of the device that has the ID.
    fn name(&self) -> &CStr;

    /// Mixes the first ID into the RNG, without credit. May sleep.
    fn mix(&self, hwid: &HwIdBytes);

    /// Mixes a new ID into the RNG, without credit, and reseeds it before returning. Must not
    /// sleep.
    fn reseed(&self, hwid: &HwIdBytes) -> Result;

    /// Tells of a change those for whom there is time. May sleep.
    fn report(&self, hwid: &HwIdBytes, reseeded: Result);
}

/// A registered source, unregistered when this is dropped.
///
/// # Invariants
///
/// `raw` is registered with the callbacks of `Self`.
#[pin_data(PinnedDrop)]
pub(crate) struct SourceRegistration<T: Source> {
    source: T,
    #[pin]
    raw: Opaque<sysgenid_source>,
}

// SAFETY: The counter may be called from any thread; `source` is `Send`.
unsafe impl<T: Source> Send for SourceRegistration<T> {}
// SAFETY: As above, and `source` is `Sync`.
unsafe impl<T: Source> Sync for SourceRegistration<T> {}

impl<T: Source> SourceRegistration<T> {
    /// Registers the live ID at physical address `paddr`. May sleep.
    ///
    /// For the errors see `sysgenid_register_source()`.
    pub(crate) fn new(paddr: u64, source: T) -> impl PinInit<Self, Error> {
        try_pin_init!(&this in Self {
            source,
            raw <- Opaque::try_ffi_init(move |slot: *mut sysgenid_source| {
                // SAFETY: `source` was initialised, and stays as it is.
                let name = unsafe { (*this.as_ptr()).source.name() };

                // SAFETY: `slot` is valid for writes.
                unsafe {
                    slot.write(sysgenid_source {
                        name: name.as_char_ptr(),
                        hwid: paddr,
                        mix: Some(Self::mix_callback),
                        reseed: Some(Self::reseed_callback),
                        report: Some(Self::report_callback),
                    })
                };

                // SAFETY: `slot` was initialised, and stays where it is until it is unregistered
                // when `self` is dropped; so was `source`, which the callbacks use. Nothing after
                // this can fail.
                to_result(unsafe { sysgenid_register_source(slot) })
            }),
        })
    }

    /// Tells the counter that the ID may have changed. May sleep.
    pub(crate) fn notify(&self) {
        // SAFETY: By the type invariant the source is registered.
        unsafe { sysgenid_notify_source(self.raw.get()) };
    }

    /// Whether the ID has changed. In any context.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        // SAFETY: By the type invariant the source is registered.
        unsafe { sysgenid_source_is_pending(self.raw.get()) }
    }

    /// Lets the counter process a change without waking anybody, see `sysgenid_process_source()`.
    #[inline]
    pub(crate) fn process_at_once(&self) {
        // SAFETY: By the type invariant the source is registered.
        unsafe { sysgenid_process_source(self.raw.get()) };
    }

    /// The physical address of the live ID.
    pub(crate) fn paddr(&self) -> u64 {
        // SAFETY: `raw` was initialised, and is not written after that.
        unsafe { (*self.raw.get()).hwid }
    }

    /// The current ID, once a pending change has been processed. May sleep.
    pub(crate) fn hwid(&self) -> HwIdBytes {
        let mut hwid = HwIdBytes::default();

        // SAFETY: By the type invariant the source is registered; an ID has this size.
        unsafe { sysgenid_source_hwid(self.raw.get(), hwid.as_mut_ptr()) };
        hwid
    }

    /// # Safety
    ///
    /// `raw` must be what [`Self::new`] has registered.
    unsafe fn source<'a>(raw: *mut sysgenid_source) -> &'a T {
        // SAFETY: The caller promises that it is the field of a `Self` whose `source` is
        // initialised. Only that is borrowed, not what is around it.
        unsafe { &(*container_of!(raw.cast::<Opaque<sysgenid_source>>(), Self, raw)).source }
    }

    /// # Safety
    ///
    /// For the counter only, with what [`Self::new`] has registered and an ID.
    unsafe extern "C" fn mix_callback(raw: *mut sysgenid_source, hwid: *const u8) {
        // SAFETY: The caller promises just this.
        let (source, hwid) = unsafe { (Self::source(raw), &*hwid.cast()) };
        source.mix(hwid);
    }

    /// # Safety
    ///
    /// For the counter only, with what [`Self::new`] has registered and an ID.
    unsafe extern "C" fn reseed_callback(raw: *mut sysgenid_source, hwid: *const u8) -> c_int {
        // SAFETY: The caller promises just this.
        let (source, hwid) = unsafe { (Self::source(raw), &*hwid.cast()) };
        source.reseed(hwid).err().map_or(0, Error::to_errno)
    }

    /// # Safety
    ///
    /// For the counter only, with what [`Self::new`] has registered and an ID.
    unsafe extern "C" fn report_callback(
        raw: *mut sysgenid_source,
        hwid: *const u8,
        reseeded: c_int,
    ) {
        // SAFETY: The caller promises just this.
        let (source, hwid) = unsafe { (Self::source(raw), &*hwid.cast()) };
        source.report(hwid, to_result(reseeded));
    }
}

#[pinned_drop]
impl<T: Source> PinnedDrop for SourceRegistration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant the source is registered. When this returns, no callback
        // runs any longer.
        unsafe { sysgenid_unregister_source(self.raw.get()) };
    }
}
