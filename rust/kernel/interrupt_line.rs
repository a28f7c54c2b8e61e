// SPDX-License-Identifier: GPL-2.0

//! Listening on an interrupt line that is somebody else's, or shared with somebody else.
//!
//! Interrupts of others are noticed, never claimed: whether the line's owner has had something to
//! do is the owner's to say.
//!
//! C headers: [`include/linux/interrupt.h`](srctree/include/linux/interrupt.h),
//! [`include/trace/events/irq.h`](srctree/include/trace/events/irq.h)

use crate::{
    bindings::{
        find_tracepoint,
        irq_goes_to,
        irq_may_move,
        irq_move_to,
        tracepoint_probe_register,
        tracepoint_probe_unregister, //
    },
    compat::{
        IRQ_HANDLED,
        IRQ_NONE,
        IRQ_WAKE_THREAD, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::to_result,
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    impl_has_work,
    new_work,
    prelude::*,
    sync::Arc,
    types::ForeignOwnable,
    workqueue::{
        Queue,
        Work,
        WorkItem, //
    }, //
};

/// Who listens.
pub(crate) trait Listener: Send + Sync + 'static {
    /// There was an interrupt. Returns whether [`Self::follow_up`] is to be called soon.
    ///
    /// Called in a hard interrupt, possibly on several processors for different lines.
    fn interrupt(&self) -> bool;

    /// Whether the line is of a device of the listener's, so that its interrupts are to be claimed.
    fn is_owner(&self) -> bool;

    /// What is left to do. Called in process context, may sleep.
    fn follow_up(&self);
}

/// A line that is shared with its owner, or with anybody by its owner.
///
/// # Invariants
///
/// The handlers of `T` are installed on `irq` with the address of what `target` refers to.
pub(crate) struct SharedLine<T: Listener> {
    irq: u32,
    target: Arc<T>,
}

impl<T: Listener> SharedLine<T> {
    /// Listens on a line that its owner shares. May sleep.
    ///
    /// `EBUSY` if the owner does not share it.
    pub(crate) fn new(irq: u32, name: &'static CStr, target: Arc<T>) -> Result<Self> {
        // Who handles in a thread alone, as ACPI does, keeps the line masked until that is done,
        // and all others have to agree. The handler is one for hard interrupts, also where the
        // kernel would make a thread of it.
        let flags = bindings::IRQF_SHARED | bindings::IRQF_COND_ONESHOT | bindings::IRQF_NO_THREAD;

        // SAFETY: The handlers take what is passed here, which `target` keeps until they are
        // removed. The name lives as long as this module.
        to_result(unsafe {
            bindings::request_threaded_irq(
                irq,
                Some(Self::handler),
                Some(Self::thread),
                flags as usize,
                name.as_char_ptr(),
                Self::cookie(&target),
            )
        })?;

        // INVARIANT: Just installed.
        Ok(Self { irq, target })
    }

    fn cookie(target: &Arc<T>) -> *mut c_void {
        (&raw const **target).cast_mut().cast()
    }

    /// # Safety
    ///
    /// For the interrupt only, with what [`Self::new`] has installed.
    unsafe extern "C" fn handler(_irq: c_int, target: *mut c_void) -> bindings::irqreturn_t {
        // SAFETY: `free_irq()` waits for this before `target` goes.
        let target = unsafe { &*target.cast::<T>() };

        if target.interrupt() {
            IRQ_WAKE_THREAD
        } else {
            Self::handled(target)
        }
    }

    /// # Safety
    ///
    /// For the interrupt's thread only, with what [`Self::new`] has installed.
    unsafe extern "C" fn thread(_irq: c_int, target: *mut c_void) -> bindings::irqreturn_t {
        // SAFETY: `free_irq()` waits for this before `target` goes.
        let target = unsafe { &*target.cast::<T>() };

        target.follow_up();
        Self::handled(target)
    }

    fn handled(target: &T) -> bindings::irqreturn_t {
        if target.is_owner() {
            IRQ_HANDLED
        } else {
            IRQ_NONE
        }
    }
}

impl<T: Listener> Drop for SharedLine<T> {
    fn drop(&mut self) {
        // Waits for the handlers.
        //
        // SAFETY: By the type invariant.
        unsafe { bindings::free_irq(self.irq, Self::cookie(&self.target)) };
    }
}

/// What the tracepoint and the worker of a [`TracedLine`] use.
#[pin_data]
struct Traced<T: Listener> {
    irq: u32,
    target: Arc<T>,
    #[pin]
    work: Work<Self>,
}

impl_has_work! {
    impl{T: Listener} HasWork<Self> for Traced<T> { self.work }
}

impl<T: Listener> WorkItem for Traced<T> {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.target.follow_up();
    }
}

/// A line whose owner does not share it: the kernel's own tracepoint tells of each interrupt.
///
/// # Invariants
///
/// The probe of `T` is registered with `tracepoint` and `traced`, which is an `Arc<Traced<T>>` that
/// `into_foreign()` has given away.
pub(crate) struct TracedLine<T: Listener> {
    tracepoint: NonNull<bindings::tracepoint>,
    traced: *mut c_void,
    _target: PhantomData<Arc<T>>,
}

// SAFETY: A tracepoint is there for ever, and may be used by any thread.
unsafe impl<T: Listener> Send for TracedLine<T> {}
// SAFETY: As above.
unsafe impl<T: Listener> Sync for TracedLine<T> {}

impl<T: Listener> TracedLine<T> {
    /// Listens on a line. May sleep.
    ///
    /// `ENOENT` if the kernel has no such tracepoint.
    pub(crate) fn new(irq: u32, target: Arc<T>) -> Result<Self> {
        // SAFETY: The name is a string.
        let tracepoint = unsafe { find_tracepoint(c"irq_handler_entry".as_char_ptr()) };
        let tracepoint = NonNull::new(tracepoint).ok_or(ENOENT)?;
        let traced = Arc::pin_init(
            pin_init!(Traced {
                irq,
                target,
                work <- new_work!("interrupt_line"),
            }),
            GFP_KERNEL,
        )?;

        let traced = traced.into_foreign();

        // SAFETY: The probe is of the type that this tracepoint calls, and takes what is passed
        // here, which is taken back after it has been unregistered.
        let registered = to_result(unsafe {
            tracepoint_probe_register(tracepoint.as_ptr(), Self::probe(), traced)
        });
        if let Err(err) = registered {
            // SAFETY: Given away above, and nobody else has it.
            drop(unsafe { Arc::<Traced<T>>::from_foreign(traced) });
            return Err(err);
        }

        // INVARIANT: Just registered.
        Ok(Self {
            tracepoint,
            traced,
            _target: PhantomData,
        })
    }

    fn probe() -> *mut c_void {
        Self::handler as unsafe extern "C" fn(_, _, _) as *mut c_void
    }

    /// # Safety
    ///
    /// For the tracepoint `irq_handler_entry` only, with what [`Self::new`] has registered.
    unsafe extern "C" fn handler(
        traced: *mut c_void,
        irq: c_int,
        _action: *mut bindings::irqaction,
    ) {
        // SAFETY: `drop()` waits for this before it takes `traced` back.
        let traced = unsafe { Arc::<Traced<T>>::borrow(traced) };

        if irq as u32 == traced.irq && traced.target.interrupt() {
            // Workers of high priority, who come before ordinary tasks.
            //
            // SAFETY: A queue of the system is there for ever.
            let workers = unsafe { Queue::from_raw(bindings::system_highpri_wq) };

            // If it is queued already, it has not begun yet.
            let _ = workers.enqueue(Arc::from(traced));
        }
    }
}

impl<T: Listener> Drop for TracedLine<T> {
    fn drop(&mut self) {
        // The probe does not run any longer when this returns.
        //
        // SAFETY: By the type invariant.
        unsafe {
            tracepoint_probe_unregister(self.tracepoint.as_ptr(), Self::probe(), self.traced);
        }
        // SAFETY: By the type invariant; nobody borrows it any longer.
        let traced = unsafe { Arc::<Traced<T>>::from_foreign(self.traced) };

        // SAFETY: The work is initialised, and nobody else queues it.
        unsafe { bindings::flush_work(Work::raw_get(&raw const traced.work)) };
    }
}

/// Lets a line go to processor `cpu`, if it may go to any so far: where somebody has chosen some,
/// that stays. Returns whether the line is still to move, as some do with their next interrupt
/// only. May sleep.
///
/// Nothing takes this back: that would be pending until the next interrupt as well, and could not
/// be told from somebody's choice meanwhile.
pub(crate) fn prefer_cpu(irq: u32, cpu: c_uint) -> bool {
    // SAFETY: These take any number of a line, and check it.
    unsafe { irq_may_move(irq, cpu) && irq_move_to(irq, cpu) == 0 && !irq_goes_to(irq, cpu) }
}
