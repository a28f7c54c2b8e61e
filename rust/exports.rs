// SPDX-License-Identifier: GPL-2.0

//! The functions that `sysgenid.ko` exports. Their contracts are in `include/linux/sysgenid.h`,
//! their `EXPORT_SYMBOL_GPL()` in `rust/exports.c`.

use crate::{
    bindings::sysgenid_source,
    generation::Generation,
    hwid,
    source::Source, //
};
use core::{
    ptr::{
        null_mut,
        NonNull, //
    },
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    },
};
use kernel::{
    error::from_result,
    ffi::c_int,
    prelude::*,
    sync::Arc, //
};

/// Null or the counter that is kept alive by the one [`Published`].
static GENERATION: AtomicPtr<Generation> = AtomicPtr::new(null_mut());

/// The counter that the exported functions act on, part of the module's own state.
///
/// # Invariants
///
/// `GENERATION` is the address of what `_generation` refers to.
pub(crate) struct Published {
    _generation: Arc<Generation>,
}

impl Published {
    /// Publishes the counter.
    pub(crate) fn new(generation: Arc<Generation>) -> Self {
        GENERATION.store((&raw const *generation).cast_mut(), Ordering::Release);
        // INVARIANT: Just stored.
        Self {
            _generation: generation,
        }
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        GENERATION.store(null_mut(), Ordering::Release);
    }
}

/// Calls `f` with the counter, if there is one.
///
/// # Safety
///
/// Only for the exported functions: their caller keeps this module from being unloaded.
unsafe fn with<R>(f: impl FnOnce(&Generation) -> R) -> Option<R> {
    let generation = NonNull::new(GENERATION.load(Ordering::Acquire))?;

    // SAFETY: The pointer was stored by a `Published`, which the module keeps from the end of its
    // initialisation until it is unloaded; by this function's requirement that cannot happen now.
    // A failing initialisation drops it before another module could be linked to this one.
    Some(f(unsafe { generation.as_ref() }))
}

/// # Safety
///
/// `source` must be valid until it is unregistered or this fails.
#[no_mangle]
unsafe extern "C" fn sysgenid_register_source(source: *mut sysgenid_source) -> c_int {
    from_result(|| {
        let source = NonNull::new(source).ok_or(EINVAL)?;
        // SAFETY: The caller promises what `from_raw()` asks for.
        let source = unsafe { Source::from_raw(source) };

        // SAFETY: This is an exported function.
        unsafe { with(|generation| generation.attach(source)) }.ok_or(ENODEV)??;
        Ok(0)
    })
}

/// # Safety
///
/// None; not `safe` only because of the signature that C wants.
#[no_mangle]
unsafe extern "C" fn sysgenid_unregister_source(source: *mut sysgenid_source) {
    // SAFETY: This is an exported function.
    unsafe { with(|generation| generation.detach(source)) };
}

/// # Safety
///
/// None; not `safe` only because of the signature that C wants.
#[no_mangle]
unsafe extern "C" fn sysgenid_notify_source(_source: *mut sysgenid_source) {
    // SAFETY: This is an exported function.
    unsafe { with(Generation::notify) };
}

/// # Safety
///
/// `hwid` must be valid for writes of `SYSGENID_HWID_SIZE` bytes.
#[no_mangle]
unsafe extern "C" fn sysgenid_source_hwid(_source: *mut sysgenid_source, hwid: *mut u8) {
    // SAFETY: This is an exported function.
    let id = unsafe { with(Generation::hwid) };

    if let Some(id) = id {
        // SAFETY: The caller promises it.
        unsafe { hwid.cast::<[u8; hwid::SIZE]>().write(id.to_bytes()) };
    }
}

/// # Safety
///
/// None; not `safe` only because of the signature that C wants.
#[no_mangle]
unsafe extern "C" fn sysgenid_bump_generation() {
    // SAFETY: This is an exported function.
    unsafe { with(Generation::bump) };
}
