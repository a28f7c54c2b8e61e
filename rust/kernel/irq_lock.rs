// SPDX-License-Identifier: GPL-2.0

//! Spinlocks that are taken in hard interrupts as well.
//!
//! The one of the `kernel` crate of Linux 7.3 counts how often interrupts were disabled, and the
//! one of 7.2 does not disable them.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)

use crate::bindings::{
    begin_unless_rt,
    end_unless_rt,
    spin_lock_irqsave,
    spin_trylock_irqsave,
    spin_unlock_irqrestore, //
};
use kernel::{
    bindings,
    ffi::{
        c_char,
        c_ulong, //
    },
    sync::lock::{
        spinlock::SpinLockBackend,
        Backend,
        Lock, //
    }, //
};

/// A lock that disables interrupts on its processor while it is held.
pub(crate) type IrqSpinLock<T> = Lock<T, IrqSpinLockBackend>;

/// Initialises an [`IrqSpinLock`] with a lock class of its own.
macro_rules! new_irq_spin_lock {
    ($inner:expr, $name:expr) => {
        $crate::irq_lock::IrqSpinLock::new($inner, $name, kernel::static_lock_class!())
    };
}
pub(crate) use new_irq_spin_lock;

/// The functions of an [`IrqSpinLock`].
pub(crate) struct IrqSpinLockBackend;

// SAFETY: `spinlock_t` ensures mutual exclusion, whatever function takes it; `relock()` is the
// default one.
unsafe impl Backend for IrqSpinLockBackend {
    type State = bindings::spinlock_t;
    /// Whether interrupts were enabled before.
    type GuardState = c_ulong;

    unsafe fn init(ptr: *mut Self::State, name: *const c_char, key: *mut bindings::lock_class_key) {
        // SAFETY: The caller promises the same.
        unsafe { SpinLockBackend::init(ptr, name, key) }
    }

    #[inline]
    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: The caller promises that the lock is initialised.
        unsafe { spin_lock_irqsave(ptr) }
    }

    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
        let mut flags = 0;

        // SAFETY: The caller promises that the lock is initialised.
        unsafe { spin_trylock_irqsave(ptr, &mut flags) }.then_some(flags)
    }

    #[inline]
    unsafe fn unlock(ptr: *mut Self::State, flags: &Self::GuardState) {
        // SAFETY: The caller promises to own the lock; the flags are what `lock()` has returned.
        unsafe { spin_unlock_irqrestore(ptr, *flags) }
    }

    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: The caller promises that the lock is initialised.
        unsafe { SpinLockBackend::assert_is_held(ptr) }
    }
}

/// Calls `f`, which takes spinlocks although this is a hard interrupt, and returns what it does;
/// where spinlocks sleep (`PREEMPT_RT`), does nothing, and returns `None`.
///
/// With `PROVE_RAW_LOCK_NESTING` lockdep wants a kernel without `PREEMPT_RT` to be fit for it as
/// well, and has to be told that `f` is not called there.
#[inline]
pub(crate) fn unless_rt<R>(f: impl FnOnce() -> R) -> Option<R> {
    if cfg!(CONFIG_PREEMPT_RT) {
        return None;
    }

    // SAFETY: In any context; what lockdep takes for a lock is released below, by the same context,
    // as nothing here sleeps.
    unsafe { begin_unless_rt() };
    let result = f();
    // SAFETY: As above.
    unsafe { end_unless_rt() };
    Some(result)
}
