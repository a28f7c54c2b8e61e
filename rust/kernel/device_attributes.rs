// SPDX-License-Identifier: GPL-2.0

//! Attributes on a device that is not this module's own.
//!
//! C header: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::sysfs::{
    kobject,
    AttributeGroup, //
};
use kernel::{
    bindings,
    device::Device,
    error::to_result,
    prelude::*,
    sync::aref::ARef, //
};

/// Attributes that are there on a device, which another driver may be bound to, until this is
/// dropped.
///
/// # Invariants
///
/// `group` is there on `dev`, unless that was removed.
pub(crate) struct DeviceAttributes<T: Send + Sync + 'static> {
    dev: ARef<Device>,
    group: AttributeGroup<T>,
}

impl<T: Send + Sync> DeviceAttributes<T> {
    /// Adds the attributes. May sleep.
    pub(crate) fn new(dev: &Device, group: AttributeGroup<T>) -> Result<Self> {
        // SAFETY: The device is there, and stays so as it is referenced below. So does the group.
        to_result(unsafe { bindings::sysfs_create_group(kobject(dev), group.as_ptr()) })?;

        // INVARIANT: Just added.
        Ok(Self {
            dev: dev.into(),
            group,
        })
    }
}

impl<T: Send + Sync> Drop for DeviceAttributes<T> {
    fn drop(&mut self) {
        let kobj = kobject(&self.dev);

        // If the device was removed, its folder has gone with all that was in it, after waiting
        // for readers; to remove the group would be warned of.
        //
        // SAFETY: The object is valid, as the device is referenced.
        if unsafe { (*kobj).state_in_sysfs() } == 0 {
            return;
        }

        // Waits for those who read them.
        //
        // SAFETY: By the type invariant.
        unsafe { bindings::sysfs_remove_group(kobj, self.group.as_ptr()) };
    }
}
