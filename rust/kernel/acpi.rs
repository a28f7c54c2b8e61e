// SPDX-License-Identifier: GPL-2.0

//! ACPI beyond matching: evaluating an object, and notifications.
//!
//! C headers: [`include/acpi/acpixf.h`](srctree/include/acpi/acpixf.h),
//! [`include/acpi/actypes.h`](srctree/include/acpi/actypes.h)

use crate::{
    bindings::{
        acpi_handle,
        disable_timer_event,
        install_timer_handler,
        remove_timer_handler, //
    },
    notify::Notify, //
};
use core::{
    ptr::null_mut,
    slice, //
};
use kernel::{
    bindings,
    device::Device,
    ffi::c_void,
    prelude::*,
    sync::Arc, //
};

/// `AE_OK`, which C defines by a cast.
const AE_OK: bindings::acpi_status = 0;

/// A node of the ACPI namespace that belongs to a device.
#[derive(Clone, Copy)]
pub(crate) struct Handle(bindings::acpi_handle);

// SAFETY: ACPICA takes handles from any thread, and checks them.
unsafe impl Send for Handle {}
// SAFETY: As above.
unsafe impl Sync for Handle {}

impl Handle {
    /// The node of a device, if it is one of ACPI.
    pub(crate) fn of(dev: &Device) -> Option<Self> {
        let dev: *mut bindings::device = (&raw const *dev).cast_mut().cast();

        // SAFETY: `Device` is a transparent wrapper of a valid `struct device`.
        let handle = unsafe { acpi_handle(dev) };
        (!handle.is_null()).then_some(Self(handle))
    }

    /// Evaluates the object or method `name` below the node, without arguments. May sleep.
    ///
    /// The error is the ACPI status, `AE_*`.
    pub(crate) fn evaluate(self, name: &CStr) -> Result<Value, u32> {
        let mut buffer = bindings::acpi_buffer {
            // `ACPI_ALLOCATE_BUFFER`, which is of another type in C.
            length: u64::MAX,
            pointer: null_mut(),
        };

        // SAFETY: The handle was obtained from a device; ACPICA only reads the name and writes to
        // the buffer that it allocates.
        let status = unsafe {
            bindings::acpi_evaluate_object(
                self.0,
                name.as_char_ptr().cast_mut(),
                null_mut(),
                &mut buffer,
            )
        };

        if status == AE_OK {
            // INVARIANT: ACPICA has stored an object there, or nothing.
            Ok(Value(buffer.pointer.cast()))
        } else {
            Err(status)
        }
    }
}

/// What an evaluation has returned, possibly nothing.
///
/// # Invariants
///
/// The pointer is null, or a valid object in memory that ACPICA has allocated for the caller.
pub(crate) struct Value(*mut bindings::acpi_object);

impl Value {
    /// The object.
    pub(crate) fn object(&self) -> Option<Object<'_>> {
        // SAFETY: By the type invariant the pointer is null or valid as long as `self` is.
        unsafe { self.0.as_ref() }.map(Object)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. `ACPI_FREE()` is `kfree()` on Linux, which takes null.
        unsafe { bindings::kfree(self.0.cast()) };
    }
}

/// An ACPI object of any type.
#[derive(Clone, Copy)]
pub(crate) struct Object<'a>(&'a bindings::acpi_object);

impl<'a> Object<'a> {
    fn is(self, object_type: u32) -> bool {
        // SAFETY: All variants of the union begin with the type.
        unsafe { self.0.type_ == object_type }
    }

    /// The number, if this is an integer.
    pub(crate) fn integer(self) -> Option<u64> {
        if !self.is(bindings::ACPI_TYPE_INTEGER) {
            return None;
        }

        // SAFETY: The type tells which variant it is.
        Some(unsafe { self.0.integer.value })
    }

    /// The elements, if this is a package.
    pub(crate) fn package(self) -> Option<impl ExactSizeIterator<Item = Object<'a>>> {
        if !self.is(bindings::ACPI_TYPE_PACKAGE) {
            return None;
        }

        // SAFETY: The type tells which variant it is.
        let package = unsafe { self.0.package };
        let elements: &[bindings::acpi_object] = if package.count == 0 {
            &[]
        } else {
            // SAFETY: A package that is not empty has an array of `count` valid elements, which
            // lives as long as the package itself.
            unsafe { slice::from_raw_parts(package.elements, package.count as usize) }
        };
        Some(elements.iter().map(Object))
    }
}

/// A handler of the device-specific notifications of a node, removed when this is dropped.
///
/// # Invariants
///
/// The handler is installed on `handle` with the address of what `_target` refers to.
pub(crate) struct NotifyHandler<T: Notify> {
    handle: Handle,
    _target: Arc<T>,
}

impl<T: Notify> NotifyHandler<T> {
    /// Installs the handler. May sleep.
    ///
    /// The error is the ACPI status, `AE_*`: for example `AE_ALREADY_EXISTS`.
    pub(crate) fn install(handle: Handle, target: Arc<T>) -> Result<Self, u32> {
        // SAFETY: `handler` takes what is registered here; `target` keeps it alive until the
        // handler is removed.
        let status = unsafe {
            bindings::acpi_install_notify_handler(
                handle.0,
                bindings::ACPI_DEVICE_NOTIFY,
                Some(Self::handler),
                Self::context(&target),
            )
        };

        if status == AE_OK {
            // INVARIANT: Just installed.
            Ok(Self {
                handle,
                _target: target,
            })
        } else {
            Err(status)
        }
    }

    fn context(target: &Arc<T>) -> *mut c_void {
        (&raw const **target).cast_mut().cast()
    }

    /// # Safety
    ///
    /// For ACPICA only, with the context that [`Self::install`] has registered.
    unsafe extern "C" fn handler(
        _handle: bindings::acpi_handle,
        _event: u32,
        context: *mut c_void,
    ) {
        // SAFETY: This is what `install()` has registered, and `drop()` waits for running handlers
        // before the reference that keeps it alive goes.
        unsafe { &*context.cast::<T>() }.notify();
    }
}

impl<T: Notify> Drop for NotifyHandler<T> {
    fn drop(&mut self) {
        // Waits until no handler runs any longer. Fails only for a handler that is not there.
        //
        // SAFETY: By the type invariant the handler is installed.
        unsafe {
            bindings::acpi_remove_notify_handler(
                self.handle.0,
                bindings::ACPI_DEVICE_NOTIFY,
                Some(Self::handler),
            )
        };
    }
}

/// The line of the system control interrupt, by which firmware announces general-purpose events.
/// `None` on platforms without one (hardware-reduced ACPI), or without ACPI.
pub(crate) fn system_control_line() -> Option<u32> {
    // SAFETY: Read at boot and not changed after that.
    let (is_disabled, flags, gsi) = unsafe {
        let fadt = &raw const bindings::acpi_gbl_FADT;
        (
            bindings::acpi_disabled,
            (*fadt).flags,
            (*fadt).sci_interrupt,
        )
    };
    let mut irq = 0;

    if is_disabled != 0 || flags & bindings::ACPI_FADT_HW_REDUCED != 0 {
        return None;
    }
    // SAFETY: Takes any number, and writes to a variable of ours.
    (unsafe { bindings::acpi_gsi_to_irq(gsi.into(), &mut irq) } == 0).then_some(irq)
}

/// Makes the platform raise one system control interrupt within the next seconds, for what happens
/// with the next interrupt only: the timer of ACPI runs over every 2.3 s.
///
/// # Invariants
///
/// The handler is installed, and `irq` is the line of the interrupt.
pub(crate) struct TimerEvent {
    irq: u32,
}

impl TimerEvent {
    /// Asks for the interrupt on `irq`, which is [`system_control_line`]. `None` if somebody else
    /// uses the timer's event, or there is no such timer. May sleep.
    pub(crate) fn new(irq: u32) -> Option<Self> {
        // SAFETY: The handler takes no context.
        let status = unsafe { install_timer_handler(Some(Self::handler)) };

        // INVARIANT: Just installed.
        (status == AE_OK).then_some(Self { irq })
    }

    /// # Safety
    ///
    /// For ACPICA only.
    unsafe extern "C" fn handler(_context: *mut c_void) -> u32 {
        // One is enough.
        //
        // SAFETY: A handler may disable its own event.
        unsafe { disable_timer_event() };
        bindings::ACPI_INTERRUPT_HANDLED
    }
}

impl Drop for TimerEvent {
    fn drop(&mut self) {
        // Removing does not wait for a handler, and complains of an event that has none. So it has
        // to be over before.
        //
        // SAFETY: By the type invariant.
        unsafe {
            disable_timer_event();
            bindings::synchronize_irq(self.irq);
            remove_timer_handler(Some(Self::handler));
        }
    }
}
