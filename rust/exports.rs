// SPDX-License-Identifier: GPL-2.0

//! The functions that `sysgenid.ko` exports. Their contracts are in `include/linux/sysgenid.h`,
//! their `EXPORT_SYMBOL_GPL()` in `rust/exports.c`.

use crate::{
    bindings::sysgenid_source,
    generation::Generation,
    hwid,
    source::Source,
    watcher::DEVICE, //
};
use core::ptr::NonNull;
use kernel::{
    error::from_result,
    ffi::c_int,
    prelude::*, //
};

/// The counter that the exported functions act on.
///
/// # Safety
///
/// Only for the exported functions: their caller keeps this module, whose initialisation has
/// succeeded before another one could be linked to it, from being unloaded.
unsafe fn generation<'a>() -> &'a Generation {
    // SAFETY: The device is registered from the end of the module's initialisation until it is
    // unloaded.
    &unsafe { DEVICE.get() }.generation
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
        unsafe { generation() }.attach(source)?;
        Ok(0)
    })
}

/// # Safety
///
/// None; not `safe` only because of the signature that C wants.
#[no_mangle]
unsafe extern "C" fn sysgenid_unregister_source(source: *mut sysgenid_source) {
    // SAFETY: This is an exported function.
    unsafe { generation() }.detach(source);
}

/// # Safety
///
/// None; not `safe` only because of the signature that C wants.
#[no_mangle]
unsafe extern "C" fn sysgenid_notify_source(_source: *mut sysgenid_source) {
    // SAFETY: This is an exported function.
    unsafe { generation() }.notify();
}

/// # Safety
///
/// `hwid` must be valid for writes of `SYSGENID_HWID_SIZE` bytes.
#[no_mangle]
unsafe extern "C" fn sysgenid_source_hwid(_source: *mut sysgenid_source, hwid: *mut u8) {
    // SAFETY: This is an exported function.
    let id = unsafe { generation() }.hwid();

    // SAFETY: The caller promises it.
    unsafe { hwid.cast::<[u8; hwid::SIZE]>().write(id.to_bytes()) };
}

/// # Safety
///
/// None; not `safe` only because of the signature that C wants.
#[no_mangle]
unsafe extern "C" fn sysgenid_bump_generation() {
    // SAFETY: This is an exported function.
    unsafe { generation() }.bump();
}
