// SPDX-License-Identifier: GPL-2.0

//! The kernel's own notification that the virtual machine was forked: called by the driver that
//! the kernel has for VMGENID, after it has reseeded the RNG.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use crate::{
    bindings::{
        register_vmfork_notifier,
        unregister_vmfork_notifier, //
    },
    notify::Notify, //
};
use kernel::{
    bindings,
    container_of,
    error::to_result,
    ffi::{
        c_int,
        c_ulong,
        c_void, //
    },
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// A registered notifier, unregistered when this is dropped.
///
/// # Invariants
///
/// `block` is registered.
#[pin_data(PinnedDrop)]
pub(crate) struct VmForkNotifier<T: Notify> {
    target: Arc<T>,
    #[pin]
    block: Opaque<bindings::notifier_block>,
}

// SAFETY: The chain may be used from any thread; `target` can be sent and shared.
unsafe impl<T: Notify> Send for VmForkNotifier<T> {}
// SAFETY: There is nothing to call through a shared reference.
unsafe impl<T: Notify> Sync for VmForkNotifier<T> {}

impl<T: Notify> VmForkNotifier<T> {
    /// Registers the notifier. May sleep.
    pub(crate) fn new(target: Arc<T>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            target,
            block <- Opaque::try_ffi_init(move |slot: *mut bindings::notifier_block| {
                // SAFETY: `slot` is valid for writes.
                unsafe {
                    slot.write(bindings::notifier_block {
                        notifier_call: Some(Self::callback),
                        ..Default::default()
                    })
                };

                // SAFETY: `slot` was initialised, and stays where it is until it is unregistered
                // when `self` is dropped; so was `target`, which the callback uses. Nothing after
                // this can fail.
                to_result(unsafe { register_vmfork_notifier(slot) })
            }),
        })
    }

    /// # Safety
    ///
    /// For the notifier chain only, with what [`Self::new`] has registered.
    unsafe extern "C" fn callback(
        block: *mut bindings::notifier_block,
        _action: c_ulong,
        _data: *mut c_void,
    ) -> c_int {
        // SAFETY: The caller promises that `block` is that of a `Self`. Only `target` is borrowed.
        let target = unsafe {
            let block = block.cast::<Opaque<bindings::notifier_block>>();
            &(*container_of!(block, Self, block)).target
        };

        target.notify();
        bindings::NOTIFY_DONE as c_int
    }
}

#[pinned_drop]
impl<T: Notify> PinnedDrop for VmForkNotifier<T> {
    fn drop(self: Pin<&mut Self>) {
        // Waits until no callback runs any longer.
        //
        // SAFETY: By the type invariant the block is registered.
        unsafe { unregister_vmfork_notifier(self.block.get()) };
    }
}
