// SPDX-License-Identifier: GPL-2.0

//! Platform devices that belong to other drivers.
//!
//! C headers: [`include/linux/platform_device.h`](srctree/include/linux/platform_device.h),
//! [`include/linux/device/driver.h`](srctree/include/linux/device/driver.h)

use crate::bindings::{
    device_lock,
    device_unlock, //
};
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
    container_of,
    device::Device,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    sync::aref::ARef, //
};

/// The platform devices that firmware describes with one of the IDs of `table` and that are bound
/// to a driver, which may be unbound from them at any time, but not to the one named `own`. May
/// sleep: waits for a driver that is being bound.
pub(crate) fn bound_to_another<T>(
    table: IdTable<T>,
    own: &CStr,
) -> impl Iterator<Item = ARef<Device>> + '_ {
    let ids = table.as_ptr().cast();

    // SAFETY: A table ends with a zero one.
    unsafe { all(ids) }.filter(|dev| is_bound_to_another(dev, own))
}

/// The platform devices that firmware describes with the ID `id`, of at most 15 characters.
pub(crate) fn with_id(id: &CStr) -> Result<KVec<ARef<Device>>> {
    let mut ids = [bindings::acpi_device_id::default(); 2];
    let mut devices = KVec::new();

    for (to, from) in ids[0].id.iter_mut().zip(id.to_bytes()) {
        *to = *from;
    }
    // SAFETY: The table ends with a zero one, and outlives the iterator.
    for dev in unsafe { all(ids.as_ptr()) } {
        devices.push(dev, GFP_KERNEL)?;
    }
    Ok(devices)
}

/// An interrupt line of a device.
pub(crate) struct Line {
    pub(crate) irq: u32,
    /// Whether firmware says that the line may be shared.
    pub(crate) is_shareable: bool,
}

/// The interrupt lines of a platform device.
pub(crate) fn lines(dev: &Device) -> impl Iterator<Item = Line> + '_ {
    (0..).map_while(move |number| {
        // SAFETY: All devices of this file are platform devices, which have their resources as
        // long as they are there.
        let resource = unsafe {
            let pdev = container_of!(raw(dev), bindings::platform_device, dev);
            bindings::platform_get_resource(pdev, bindings::IORESOURCE_IRQ, number).as_ref()
        }?;

        Some(Line {
            irq: resource.start as u32,
            is_shareable: resource.flags as u32 & bindings::IORESOURCE_IRQ_SHAREABLE != 0,
        })
    })
}

/// The devices with one of some IDs.
///
/// # Safety
///
/// `ids` must point to a table that ends with a zero one, as long as the iterator is used.
unsafe fn all(ids: *const bindings::acpi_device_id) -> impl Iterator<Item = ARef<Device>> {
    // SAFETY: The caller promises it.
    let next = move |start: Option<&Device>| unsafe { next(ids, start) };

    successors(next(None), move |dev| next(Some(dev)))
}

/// The first device with one of the IDs, or the next one after `start`, which is one.
///
/// # Safety
///
/// `ids` must point to a table that ends with a zero one.
unsafe fn next(
    ids: *const bindings::acpi_device_id,
    start: Option<&Device>,
) -> Option<ARef<Device>> {
    let start = start.map_or(null_mut(), raw);

    // SAFETY: `matches()` takes what is passed here. The bus is always there, and `start` is null
    // or a device that was found on it.
    let dev = unsafe {
        bindings::bus_find_device(
            &raw const bindings::platform_bus_type,
            start,
            ids.cast(),
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
    // SAFETY: The caller promises both.
    let is_match = unsafe { !bindings::acpi_match_device(table.cast(), dev).is_null() };

    c_int::from(is_match)
}

/// Whether a driver is bound whose probe has succeeded, and which is not the one named `own`.
fn is_bound_to_another(dev: &Device, own: &CStr) -> bool {
    let dev = raw(dev);

    // SAFETY: The device is valid. Under its lock no driver is bound or unbound, so that one that
    // is bound stays as long as its name, which is a string, is looked at.
    unsafe {
        device_lock(dev);
        let is_other =
            bindings::device_is_bound(dev) && CStr::from_char_ptr((*(*dev).driver).name) != own;
        device_unlock(dev);
        is_other
    }
}

fn raw(dev: &Device) -> *mut bindings::device {
    // `Device` is a transparent wrapper.
    (&raw const *dev).cast_mut().cast()
}
