// SPDX-License-Identifier: GPL-2.0

//! What differs between the `kernel` crates of the supported versions, and nothing else.

// Neither of the two modules needs all of it.
#![allow(dead_code, unused_imports, unused_macros)]

use core::{
    borrow::Borrow,
    ffi::c_int, //
};
use kernel::{
    bindings,
    error::Error, //
};

/// [`kernel::acpi_device_table!`], which names the table for modpost by itself since Linux 7.3.
macro_rules! acpi_device_table {
    ($table:ident, $module_table:ident, $id_info:ty, $data:tt) => {
        #[cfg(LINUX_7_3)]
        kernel::acpi_device_table!($table, $id_info, $data);
        #[cfg(not(LINUX_7_3))]
        kernel::acpi_device_table!($table, $module_table, $id_info, $data);
    };
}
pub(crate) use acpi_device_table;

/// [`kernel::of_device_table!`], likewise.
macro_rules! of_device_table {
    ($table:ident, $module_table:ident, $id_info:ty, $data:tt) => {
        #[cfg(LINUX_7_3)]
        kernel::of_device_table!($table, $id_info, $data);
        #[cfg(not(LINUX_7_3))]
        kernel::of_device_table!($table, $module_table, $id_info, $data);
    };
}
pub(crate) use of_device_table;

/// The value of a module parameter, which `value()` gives by reference before Linux 7.3.
pub(crate) fn parameter<T: Copy>(value: impl Borrow<T>) -> T {
    *value.borrow()
}

/// Whether an error is `ENODATA`, for which the kernel crate has a name since Linux 7.3.
pub(crate) fn is_enodata(err: Error) -> bool {
    err.to_errno() == -(bindings::ENODATA as c_int)
}

/// A full memory barrier, whose kind is an argument since Linux 7.3.
#[inline(always)]
pub(crate) fn smp_mb() {
    #[cfg(LINUX_7_3)]
    kernel::sync::barrier::smp_mb(kernel::sync::atomic::ordering::Full);
    #[cfg(not(LINUX_7_3))]
    kernel::sync::barrier::smp_mb();
}

/// What handlers of interrupts return: since Linux 7.3 a type of its own, which bindgen makes.
#[cfg(LINUX_7_3)]
mod irqreturn {
    use super::bindings::irqreturn;

    pub(crate) const IRQ_HANDLED: irqreturn = irqreturn::IRQ_HANDLED;
    pub(crate) const IRQ_NONE: irqreturn = irqreturn::IRQ_NONE;
    pub(crate) const IRQ_WAKE_THREAD: irqreturn = irqreturn::IRQ_WAKE_THREAD;
}
#[cfg(not(LINUX_7_3))]
mod irqreturn {
    use super::bindings;

    pub(crate) const IRQ_HANDLED: bindings::irqreturn_t = bindings::irqreturn_IRQ_HANDLED;
    pub(crate) const IRQ_NONE: bindings::irqreturn_t = bindings::irqreturn_IRQ_NONE;
    pub(crate) const IRQ_WAKE_THREAD: bindings::irqreturn_t = bindings::irqreturn_IRQ_WAKE_THREAD;
}
pub(crate) use irqreturn::{
    IRQ_HANDLED,
    IRQ_NONE,
    IRQ_WAKE_THREAD, //
};
