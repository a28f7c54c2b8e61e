// SPDX-License-Identifier: GPL-2.0

//! Interrupting all other processors from within an interrupt.
//!
//! C header: [`include/linux/smp.h`](srctree/include/linux/smp.h)

use crate::bindings::{
    cpu_count,
    cpu_online,
    kick_all_cpus_sync,
    this_cpu, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// What is called on the other processors.
pub(crate) trait Callee: Send + Sync + 'static {
    /// Called in a hard interrupt.
    fn called(&self);
}

/// The call of one processor: as long as it is on its way, a further one would be the same.
///
/// # Invariants
///
/// The content is that of a `call_single_data_t` which nobody but the kernel's cross calls changes.
#[repr(transparent)]
struct Call(Opaque<bindings::call_single_data_t>);

/// Calls `target` on other processors. When this is dropped, no call is on its way any longer.
pub(crate) struct CrossCall<T: Callee> {
    /// One for each processor that there may be. Never moved, as nothing is added.
    calls: KVVec<Call>,
    target: Arc<T>,
}

// SAFETY: The calls belong to the kernel, which takes them from any processor.
unsafe impl<T: Callee> Send for CrossCall<T> {}
// SAFETY: As above.
unsafe impl<T: Callee> Sync for CrossCall<T> {}

impl<T: Callee> CrossCall<T> {
    /// Prepares the calls. May sleep.
    pub(crate) fn new(target: Arc<T>) -> Result<Self> {
        // SAFETY: Set at boot and only read here.
        let count = unsafe { cpu_count() } as usize;
        let mut calls = KVVec::with_capacity(count, GFP_KERNEL)?;

        for _ in 0..count {
            let call = bindings::call_single_data_t {
                func: Some(Self::callback),
                info: (&raw const *target).cast_mut().cast(),
                ..Default::default()
            };

            // INVARIANT: Nobody has seen it yet.
            calls.push(Call(Opaque::new(call)), GFP_KERNEL)?;
        }
        Ok(Self { calls, target })
    }

    /// Calls the target on all other processors that are online, and does not wait for it. For hard
    /// interrupts.
    pub(crate) fn call(&self) {
        // SAFETY: A hard interrupt stays on its processor.
        let this = unsafe { this_cpu() };

        for (cpu, call) in self.calls.iter().enumerate() {
            // SAFETY: Only asks; the number is one of a possible processor, or of none, which is
            // not online.
            if cpu == this as usize || !unsafe { cpu_online(cpu as u32) } {
                continue;
            }
            // Refused if the processor has gone offline meanwhile, or an earlier call has not come
            // to its beginning yet: then it serves for this one as well.
            //
            // SAFETY: By the invariant of `Call`. It stays until `drop()` has waited for it.
            unsafe { bindings::smp_call_function_single_async(cpu as c_int, call.0.get()) };
        }
    }

    /// # Safety
    ///
    /// For the kernel's cross calls only, with what [`Self::new`] has prepared.
    unsafe extern "C" fn callback(target: *mut c_void) {
        // SAFETY: `drop()` waits for this before `target` goes.
        unsafe { &*target.cast::<T>() }.called();
    }
}

impl<T: Callee> Drop for CrossCall<T> {
    fn drop(&mut self) {
        // A processor takes its calls in their order, so that those on their way have come to an
        // end when this has, on all processors. One that goes offline takes its calls before.
        //
        // SAFETY: This is process context, with interrupts enabled.
        unsafe { kick_all_cpus_sync() };

        // Until here it was needed.
        let _ = &self.target;
    }
}
