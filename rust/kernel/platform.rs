// SPDX-License-Identifier: GPL-2.0

//! Platform devices that another driver is bound to.
//!
//! C header: [`include/linux/platform_device.h`](srctree/include/linux/platform_device.h)

use core::{
    iter::successors,
    ptr::{
        null_mut,
        NonNull, //
    }, //
};
use kernel::{
    acpi::IdTable,
    bindings,
    device::Device,
    ffi::{
        c_int,
        c_void, //
    },
    sync::aref::ARef, //
};

/// The platform devices that firmware describes with one of the IDs of `table` and that are bound
/// to a driver, which may be unbound from them at any time. May sleep.
pub(crate) fn bound<T>(table: IdTable<T>) -> impl Iterator<Item = ARef<Device>> {
    successors(next_bound(table, None), move |dev| {
        next_bound(table, Some(dev))
    })
}

/// The first of them, or the next one after `start`, which is one of them.
fn next_bound<T>(table: IdTable<T>, start: Option<&Device>) -> Option<ARef<Device>> {
    let start = start.map_or(null_mut(), |dev| (&raw const *dev).cast_mut().cast());

    // SAFETY: `matches()` takes what is passed here. The bus is always there, and `start` is null
    // or a device that was found on it.
    let dev = unsafe {
        bindings::bus_find_device(
            &raw const bindings::platform_bus_type,
            start,
            table.as_ptr().cast(),
            Some(matches),
        )
    };

    // SAFETY: `bus_find_device()` returns null or a valid device with a reference that is ours;
    // `Device` is a transparent wrapper of it.
    NonNull::new(dev).map(|dev| unsafe { ARef::from_raw(dev.cast()) })
}

/// # Safety
///
/// `dev` must be valid and `table` point to a table of `acpi_device_id` that ends with a zero one.
unsafe extern "C" fn matches(dev: *mut bindings::device, table: *const c_void) -> c_int {
    // SAFETY: The caller promises both. The driver is only compared with null.
    let is_match = unsafe {
        !(*dev).driver.is_null() && !bindings::acpi_match_device(table.cast(), dev).is_null()
    };

    c_int::from(is_match)
}
