// SPDX-License-Identifier: GPL-2.0

//! Wait queues on which thousands may wait.
//!
//! What [`kernel::sync::CondVar`] does not have: a wake-up costs next to nothing if nobody waits,
//! and lets interrupts and other tasks have their turn if many do; conditions may sleep.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use crate::{
    bindings::{
        cond_resched,
        spin_lock_irqsave,
        spin_unlock_irqrestore, //
    },
    compat::smp_mb, //
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    ops::ControlFlow,
    ptr::{
        null_mut,
        NonNull, //
    },
};
use kernel::{
    bindings,
    container_of,
    ffi::{
        c_int,
        c_uint, //
    },
    fs::File,
    prelude::*,
    sync::LockClassKey,
    time::Jiffies,
    types::Opaque, //
};

/// How many are woken at a time, without a chance for interrupts. A task takes some 1,700
/// instructions, an entry of an epoll set 180.
const CHUNK: usize = 8;

/// What a `poll()` that is going to wait queues with.
///
/// # Invariants
///
/// The table is valid as long as `'a` lasts, and has a function to queue with.
#[derive(Clone, Copy)]
pub(crate) struct PollTable<'a>(NonNull<bindings::poll_table>, PhantomData<&'a ()>);

impl PollTable<'_> {
    /// Wraps what `poll()` was called with. `None` if the caller only wants to know, which a table
    /// without a function to queue with says as well.
    ///
    /// # Safety
    ///
    /// `table` must be null or valid as long as the returned value is used.
    #[inline]
    pub(crate) unsafe fn from_raw(table: *mut bindings::poll_table) -> Option<Self> {
        let table = NonNull::new(table)?;

        // SAFETY: The caller promises that the table is valid.
        unsafe { table.as_ref() }._qproc?;
        // INVARIANT: Just checked; the caller promises the rest.
        Some(Self(table, PhantomData))
    }
}

/// A wait queue.
///
/// All that is in it belongs to a task in [`Self::wait`], or to somebody in `poll()`, whom dropping
/// the queue turns out.
#[pin_data(PinnedDrop)]
pub(crate) struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
    /// What is told to those in `poll()`: they only wake for events that they wait for.
    events: u32,
}

// SAFETY: A wait queue may be used by any thread, and has a lock of its own.
unsafe impl Send for WaitQueue {}
// SAFETY: As above.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// A queue on which nobody waits, for these `EPOLL*` events.
    pub(crate) fn new(
        events: u32,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The slot is valid and pinned; name and key live for ever.
            head <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.as_ptr())
            }),
            events,
        })
    }

    /// Lets somebody in `poll()` hear of every later wake-up. Call this before looking at what they
    /// wait for.
    pub(crate) fn register(&self, file: &File, table: PollTable<'_>) {
        // SAFETY: The file and the table are valid. The queue is pinned, and so is dropped before
        // its memory is used for something else, which turns out what is registered here.
        unsafe { bindings::poll_wait(file.as_ptr(), self.head.get(), table.0.as_ptr()) };
    }

    /// Wakes all who wait at this time. Call this after changing what they wait for, without a
    /// spinlock. May sleep.
    #[inline]
    pub(crate) fn wake_all(&self) {
        Self::wake_all_of([self]);
    }

    /// Wakes all who wait on any of some queues, see [`Self::wake_all`].
    #[inline]
    pub(crate) fn wake_all_of<const N: usize>(queues: [&Self; N]) {
        // Whoever begins to wait is seen here, or sees in `wait()`, or after `register()`, what
        // was changed before.
        smp_mb();

        for queue in queues {
            if !queue.is_empty() {
                queue.walk();
            }
        }
    }

    /// Whether nobody waits at this time.
    #[inline]
    fn is_empty(&self) -> bool {
        let head = self.head.get();

        // SAFETY: The queue is initialised. Its first pointer is read at once, as others may be
        // changing it; it is only compared.
        unsafe { (&raw const (*head).head.next).read_volatile() == &raw mut (*head).head }
    }

    /// Wakes all who wait, some at a time.
    ///
    /// Where to go on is marked by an entry of the list itself, and so is where it ends: more may
    /// be added meanwhile, but have begun to wait after the change.
    #[cold]
    fn walk(&self) {
        let (mut at, mut end) = (mark(), mark());
        let (at, end) = (&raw mut at, &raw mut end);
        let head = self.head.get();
        let events = self.events as usize as *mut c_void;

        // SAFETY: The marks are in the list, where nothing but this function uses them, from here
        // until they are taken out below, always under its lock. All other entries are valid under
        // the lock, with a function that takes its entry out at most.
        unsafe {
            let lock = &raw mut (*head).lock;
            let mut flags = spin_lock_irqsave(lock);
            insert_before((*head).head.next, &raw mut (*at).entry);
            insert_before(&raw mut (*head).head, &raw mut (*end).entry);

            loop {
                let mut next = (*at).entry.next;
                for _ in 0..CHUNK {
                    if next == &raw mut (*end).entry {
                        break;
                    }
                    let waiter = container_of!(next, bindings::wait_queue_entry, entry);
                    next = (*next).next;
                    if let Some(wake) = (*waiter).func {
                        wake(waiter, bindings::TASK_NORMAL, 0, events);
                    }
                }

                remove(&raw mut (*at).entry);
                if next == &raw mut (*end).entry {
                    break;
                }
                insert_before(next, &raw mut (*at).entry);

                spin_unlock_irqrestore(lock, flags);
                cond_resched();
                flags = spin_lock_irqsave(lock);
            }

            remove(&raw mut (*end).entry);
            spin_unlock_irqrestore(lock, flags);
        }
    }

    /// Sleeps, interruptibly, until `check` breaks with a result. It is called at once and after
    /// each wake-up, signal, and time-out, and says how long to sleep at most.
    pub(crate) fn wait<R>(&self, mut check: impl FnMut() -> ControlFlow<R, Jiffies>) -> R {
        let mut waiter = bindings::wait_queue_entry {
            flags: 0,
            private: current!().as_ptr().cast(),
            func: Some(bindings::woken_wake_function),
            entry: bindings::list_head::default(),
        };
        let waiter = &raw mut waiter;

        // SAFETY: The entry stays where it is until it is taken out below.
        unsafe { bindings::add_wait_queue(self.head.get(), waiter) };

        let result = loop {
            // See `wake_all()`.
            smp_mb();

            match check() {
                ControlFlow::Break(result) => break result,
                ControlFlow::Continue(timeout) => {
                    // The largest is no time-out at all.
                    let timeout = timeout.try_into().unwrap_or(isize::MAX);

                    // SAFETY: The entry is in a queue, and is that of the current task.
                    unsafe { bindings::wait_woken(waiter, bindings::TASK_INTERRUPTIBLE, timeout) };
                }
            }
        };

        // SAFETY: It was added above.
        unsafe { bindings::remove_wait_queue(self.head.get(), waiter) };
        result
    }
}

#[pinned_drop]
impl PinnedDrop for WaitQueue {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The queue is initialised. Whoever is in it for `poll()` leaves it, or is leaving
        // it under RCU.
        unsafe {
            bindings::__wake_up_pollfree(self.head.get());
            bindings::synchronize_rcu();
        }
    }
}

/// An entry that marks a place.
fn mark() -> bindings::wait_queue_entry {
    bindings::wait_queue_entry {
        flags: 0,
        private: null_mut(),
        func: Some(pass),
        entry: bindings::list_head::default(),
    }
}

/// What others see in a mark: nobody to wake.
///
/// # Safety
///
/// None; not `safe` only because of the signature that C wants.
unsafe extern "C" fn pass(
    _entry: *mut bindings::wait_queue_entry,
    _mode: c_uint,
    _flags: c_int,
    _key: *mut c_void,
) -> c_int {
    0
}

/// Puts an entry into a list.
///
/// # Safety
///
/// `next` must be in a list, or be its head, that nobody else uses at this time, and `new` in none.
unsafe fn insert_before(next: *mut bindings::list_head, new: *mut bindings::list_head) {
    // SAFETY: The caller promises it: `next` and what is before it are valid.
    unsafe {
        let prev = (*next).prev;

        new.write(bindings::list_head { next, prev });
        // At once, as `is_empty()` reads the head's without the lock.
        (&raw mut (*prev).next).write_volatile(new);
        (*next).prev = new;
    }
}

/// Takes an entry out of its list.
///
/// # Safety
///
/// `entry` must be in a list that nobody else uses at this time.
unsafe fn remove(entry: *mut bindings::list_head) {
    // SAFETY: The caller promises it: the neighbours are valid.
    unsafe {
        let bindings::list_head { next, prev } = *entry;

        (*next).prev = prev;
        // At once, see `insert_before()`.
        (&raw mut (*prev).next).write_volatile(next);
    }
}
