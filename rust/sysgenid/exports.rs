// SPDX-License-Identifier: GPL-2.0

//! The functions that `sysgenid.ko` exports. Their contracts are in `include/linux/sysgenid.h`,
//! their `EXPORT_SYMBOL_GPL()` in `rust/sysgenid/exports.c`.

use crate::{
    attached_source::AttachedSource,
    bindings::sysgenid_source,
    device::Device,
    generation::Generation,
    hwid,
    misc_device::Single, //
};
use core::ptr::NonNull;
use kernel::{
    error::from_result,
    ffi::c_int,
    prelude::*, //
};

/// The counter that the exported functions act on, if there is one: built into the kernel, the
/// callers are there even if the initialisation has failed, or is still to come.
///
/// # Safety
///
/// Only for the exported functions: their caller keeps this module from being unloaded.
unsafe fn generation<'a>() -> Option<&'a Generation> {
    // SAFETY: A registered device stays until the module is unloaded: nothing in its initialisation
    // fails after that.
    unsafe { Device::registered().try_get() }.map(|device| &device.generation)
}

/// # Safety
///
/// `source` must be valid until it is unregistered or this fails.
#[no_mangle]
unsafe extern "C" fn sysgenid_register_source(source: *mut sysgenid_source) -> c_int {
    from_result(|| {
        let source = NonNull::new(source).ok_or(EINVAL)?;
        // SAFETY: The caller promises what `from_raw()` asks for; `detach()` returns when the last
        // copy has gone.
        let source = unsafe { AttachedSource::from_raw(source) }?;

        // SAFETY: This is an exported function.
        unsafe { generation() }.ok_or(ENODEV)?.attach(source)?;
        Ok(0)
    })
}

/// # Safety
///
/// None; not `safe` only because of the signature that C wants.
#[no_mangle]
unsafe extern "C" fn sysgenid_unregister_source(source: *mut sysgenid_source) {
    // SAFETY: This is an exported function.
    if let Some(generation) = unsafe { generation() } {
        generation.detach(source);
    }
}

/// # Safety
///
/// None; not `safe` only because of the signature that C wants.
#[no_mangle]
unsafe extern "C" fn sysgenid_notify_source(_source: *mut sysgenid_source) {
    // SAFETY: This is an exported function.
    if let Some(generation) = unsafe { generation() } {
        generation.notify();
    }
}

/// # Safety
///
/// None; not `safe` only because of the signature that C wants.
#[no_mangle]
unsafe extern "C" fn sysgenid_source_is_pending(_source: *mut sysgenid_source) -> bool {
    // SAFETY: This is an exported function.
    unsafe { generation() }.is_some_and(Generation::is_pending)
}

/// # Safety
///
/// None; not `safe` only because of the signature that C wants.
#[no_mangle]
unsafe extern "C" fn sysgenid_process_source(_source: *mut sysgenid_source) {
    // SAFETY: This is an exported function.
    if let Some(generation) = unsafe { generation() } {
        generation.process_at_once();
    }
}

/// # Safety
///
/// `hwid` must be valid for writes of `SYSGENID_HWID_SIZE` bytes.
#[no_mangle]
unsafe extern "C" fn sysgenid_source_hwid(_source: *mut sysgenid_source, hwid: *mut u8) {
    // SAFETY: This is an exported function.
    if let Some(generation) = unsafe { generation() } {
        let id = generation.hwid().to_bytes();

        // SAFETY: The caller promises it.
        unsafe { hwid.cast::<[u8; hwid::SIZE]>().write(id) };
    }
}

/// # Safety
///
/// None; not `safe` only because of the signature that C wants.
#[no_mangle]
unsafe extern "C" fn sysgenid_bump_generation() {
    // SAFETY: This is an exported function.
    if let Some(generation) = unsafe { generation() } {
        generation.bump();
    }
}
