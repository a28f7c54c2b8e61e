// SPDX-License-Identifier: GPL-2.0

//! What firmware says about platform devices, also about those that belong to other drivers.
//!
//! C headers: [`include/linux/platform_device.h`](srctree/include/linux/platform_device.h),
//! [`include/linux/device/driver.h`](srctree/include/linux/device/driver.h)

use crate::bindings::{
    device_lock,
    device_unlock,
    matches_ids, //
};
use core::{
    iter::successors,
    ptr::{
        null_mut,
        NonNull, //
    }, //
};
use kernel::{
    acpi,
    bindings,
    container_of,
    device::Device,
    ffi::{
        c_int,
        c_void, //
    },
    of,
    prelude::*,
    sync::aref::ARef, //
};

/// The platform devices that firmware describes with one of the IDs of one of the tables and that
/// are bound to a driver, which may be unbound from them at any time, but not to the one named
/// `own`. May sleep: waits for a driver that is being bound.
pub(crate) fn bound_to_another<'a, T>(
    acpi_table: acpi::IdTable<T>,
    of_table: of::IdTable<T>,
    own: &'a CStr,
) -> impl Iterator<Item = ARef<Device>> + 'a {
    let ids = Ids {
        acpi: acpi_table.as_ptr().cast(),
        of: of_table.as_ptr().cast(),
    };

    // SAFETY: A table ends with a zero one, and is there for ever.
    unsafe { all(ids) }.filter(|dev| is_bound_to_another(dev, own))
}

/// The platform devices that ACPI describes with the ID `id`, of at most 15 characters.
#[cfg(CONFIG_ACPI)]
pub(crate) fn with_id(id: &CStr) -> Result<KVec<ARef<Device>>> {
    let mut ids = [bindings::acpi_device_id::default(); 2];
    let mut devices = KVec::new();

    for (to, from) in ids[0].id.iter_mut().zip(id.to_bytes()) {
        *to = *from;
    }
    let ids = Ids {
        acpi: ids.as_ptr(),
        of: core::ptr::null(),
    };
    // SAFETY: The table ends with a zero one, and outlives the iterator.
    for dev in unsafe { all(ids) } {
        devices.push(dev, GFP_KERNEL)?;
    }
    Ok(devices)
}

/// Whether it is the device tree that describes a device.
pub(crate) fn is_in_devicetree(dev: &Device) -> bool {
    // SAFETY: The device is valid; its node is set before it is there for drivers.
    !unsafe { (*raw(dev)).of_node }.is_null()
}

/// Memory of a device.
pub(crate) struct Memory {
    pub(crate) start: u64,
    pub(crate) size: u64,
}

/// The first memory that a platform device has.
pub(crate) fn memory(dev: &Device) -> Option<Memory> {
    let resource = resource(dev, bindings::IORESOURCE_MEM, 0)?;

    Some(Memory {
        start: resource.start,
        // The last address is that before the first one if there is nothing.
        size: resource.end.wrapping_sub(resource.start).wrapping_add(1),
    })
}

/// The first interrupt line that a platform device has. May sleep.
///
/// `ENXIO` if there is none, `EPROBE_DEFER` if it has a controller that is not there yet.
pub(crate) fn interrupt(dev: &Device) -> Result<u32> {
    // SAFETY: All devices of this file are platform devices.
    let irq = unsafe { bindings::platform_get_irq_optional(pdev(dev), 0) };

    u32::try_from(irq).map_err(|_| Error::from_errno(irq))
}

/// An interrupt line of a device.
#[cfg(CONFIG_ACPI)]
pub(crate) struct Line {
    pub(crate) irq: u32,
    /// Whether firmware says that the line may be shared.
    pub(crate) is_shareable: bool,
}

/// The interrupt lines of a platform device that ACPI describes.
#[cfg(CONFIG_ACPI)]
pub(crate) fn lines(dev: &Device) -> impl Iterator<Item = Line> + '_ {
    (0..).map_while(move |number| {
        let resource = resource(dev, bindings::IORESOURCE_IRQ, number)?;

        Some(Line {
            irq: resource.start as u32,
            is_shareable: resource.flags as u32 & bindings::IORESOURCE_IRQ_SHAREABLE != 0,
        })
    })
}

/// A resource of a platform device.
fn resource(dev: &Device, kind: u32, number: u32) -> Option<&bindings::resource> {
    // SAFETY: All devices of this file are platform devices, which have their resources as long as
    // they are there.
    unsafe { bindings::platform_get_resource(pdev(dev), kind, number).as_ref() }
}

/// The tables of IDs by which ACPI and the device tree describe devices, each null if there are
/// none.
#[derive(Clone, Copy)]
struct Ids {
    acpi: *const bindings::acpi_device_id,
    of: *const bindings::of_device_id,
}

/// The devices with one of some IDs.
///
/// # Safety
///
/// `ids` must point to tables that end with a zero one, as long as the iterator is used.
unsafe fn all(ids: Ids) -> impl Iterator<Item = ARef<Device>> {
    // SAFETY: The caller promises it.
    let next = move |start: Option<&Device>| unsafe { next(ids, start) };

    successors(next(None), move |dev| next(Some(dev)))
}

/// The first device with one of the IDs, or the next one after `start`, which is one.
///
/// # Safety
///
/// `ids` must point to tables that end with a zero one.
unsafe fn next(ids: Ids, start: Option<&Device>) -> Option<ARef<Device>> {
    let start = start.map_or(null_mut(), raw);

    // SAFETY: `matches()` takes what is passed here. The bus is always there, and `start` is null
    // or a device that was found on it.
    let dev = unsafe {
        bindings::bus_find_device(
            &raw const bindings::platform_bus_type,
            start,
            (&raw const ids).cast(),
            Some(matches),
        )
    };

    // SAFETY: `bus_find_device()` returns null or a valid device with a reference that is ours;
    // `Device` is a transparent wrapper of it.
    NonNull::new(dev).map(|dev| unsafe { ARef::from_raw(dev.cast()) })
}

/// # Safety
///
/// `dev` must be valid and `ids` point to [`Ids`] with tables that end with a zero one.
unsafe extern "C" fn matches(dev: *mut bindings::device, ids: *const c_void) -> c_int {
    // SAFETY: The caller promises both.
    let is_match = unsafe {
        let ids = *ids.cast::<Ids>();
        matches_ids(dev, ids.acpi, ids.of)
    };

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

/// All devices of this file are platform devices.
fn pdev(dev: &Device) -> *mut bindings::platform_device {
    // SAFETY: That is where the device lies in.
    unsafe { container_of!(raw(dev), bindings::platform_device, dev) }
}

fn raw(dev: &Device) -> *mut bindings::device {
    // `Device` is a transparent wrapper.
    (&raw const *dev).cast_mut().cast()
}
