// SPDX-License-Identifier: GPL-2.0

//! Uevents.
//!
//! C header: [`include/linux/kobject.h`](srctree/include/linux/kobject.h)

use crate::sysfs::kobject;
use core::{
    ptr::null_mut,
    sync::atomic::{
        AtomicU32,
        Ordering, //
    },
};
use kernel::{
    bindings,
    device::Device,
    error::to_result,
    impl_has_work,
    new_mutex,
    new_work,
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        Arc,
        Mutex, //
    },
    workqueue::{
        Queue as WorkQueue,
        Work,
        WorkItem, //
    }, //
};

/// Sends a `change` uevent for a device, with `variable`, `NAME=value`, besides what the device
/// itself has to say. May sleep.
fn send_change(dev: &Device, variable: &CStr) -> Result {
    let mut variables = [variable.as_char_ptr().cast_mut(), null_mut()];

    // SAFETY: The device is valid; the variables end with null and are only read.
    to_result(unsafe {
        bindings::kobject_uevent_env(
            kobject(dev),
            bindings::kobject_action_KOBJ_CHANGE,
            variables.as_mut_ptr(),
        )
    })
}

/// How many uevents may be pending.
const PENDING: usize = 64;
// So that the numbers of the ring may wrap.
const _: () = assert!(PENDING.is_power_of_two());

/// The `change` uevents of a device, one for each generation and in their order, sent by a worker:
/// nobody who waits for an answer has to wait for them.
///
/// A ring, filled by one at a time and emptied by one at a time. The atomics are those of `core`: a
/// trigger takes no longer for its uevent than the few loads and stores.
#[pin_data]
struct Queue {
    /// The device, once there is one. Locked by whoever empties the ring.
    #[pin]
    device: Mutex<Option<ARef<Device>>>,
    generations: [AtomicU32; PENDING],
    /// How many were ever put into the ring, and taken out.
    filled: AtomicU32,
    emptied: AtomicU32,
    #[pin]
    work: Work<Self>,
}

impl_has_work! {
    impl HasWork<Self> for Queue { self.work }
}

impl WorkItem for Queue {
    type Pointer = Arc<Self>;

    fn run(queue: Arc<Self>) {
        queue.empty();
    }
}

impl Queue {
    fn slot(&self, number: u32) -> &AtomicU32 {
        &self.generations[number as usize % PENDING]
    }

    /// Sends all that is pending, unless there is no device yet. May sleep.
    #[cold]
    fn empty(&self) {
        let device = self.device.lock();
        let Some(dev) = &*device else {
            return;
        };

        loop {
            let number = self.emptied.load(Ordering::Relaxed);
            if number == self.filled.load(Ordering::SeqCst) {
                break;
            }
            let generation = self.slot(number).load(Ordering::Relaxed);
            self.emptied.store(number.wrapping_add(1), Ordering::SeqCst);

            let sent = CString::try_from_fmt(fmt!("SYSGENID={generation}"))
                .and_then(|variable| send_change(dev, &variable));
            if let Err(err) = sent {
                pr_warn!("no uevent for generation {generation}: {err:?}\n");
            }
        }
    }
}

/// The uevents of a device. When this is dropped, no worker is at them any longer.
pub(crate) struct Uevents(Arc<Queue>);

impl Uevents {
    /// Uevents of no device yet. May sleep.
    pub(crate) fn new() -> Result<Self> {
        let queue = pin_init!(Queue {
            device <- new_mutex!(None, "sysgenid_uevents"),
            generations: [const { AtomicU32::new(0) }; PENDING],
            filled: AtomicU32::new(0),
            emptied: AtomicU32::new(0),
            work <- new_work!("sysgenid_uevents"),
        });

        Ok(Self(Arc::pin_init(queue, GFP_KERNEL)?))
    }

    /// Sends the uevents of later generations, or none any longer, for this device, after what is
    /// pending. May sleep.
    pub(crate) fn set_device(&self, dev: Option<&Device>) {
        self.0.empty();
        *self.0.device.lock() = dev.map(Into::into);
        self.0.empty();
    }

    /// Sends the uevent of a generation soon.
    ///
    /// Must be called by one at a time. May sleep: if too many are pending, they are sent here.
    /// Those of before there is a device are sent once there is one.
    pub(crate) fn send(&self, generation: u32) {
        let queue = &self.0;
        let number = queue.filled.load(Ordering::Relaxed);
        let pending = || number.wrapping_sub(queue.emptied.load(Ordering::Acquire)) as usize;

        if pending() == PENDING {
            queue.empty();
            if pending() == PENDING {
                // There is no device yet that somebody could listen to.
                return;
            }
        }
        queue.slot(number).store(generation, Ordering::Relaxed);
        queue.filled.store(number.wrapping_add(1), Ordering::SeqCst);

        // Where one before is still in the ring, whoever takes that out finds this one as well:
        // of the two who each store one index and then load the other, one sees the other's.
        if queue.emptied.load(Ordering::SeqCst) == number {
            // The kernel crate's functions for queues of the system lack this one.
            //
            // SAFETY: A queue of the system is there for ever.
            let workers = unsafe { WorkQueue::from_raw(bindings::system_dfl_wq) };

            // If the work is pending already, it has not yet looked at the ring.
            let _ = workers.enqueue(queue.clone());
        }
    }
}

impl Drop for Uevents {
    fn drop(&mut self) {
        // The worker runs code of this module.
        //
        // SAFETY: The work is initialised, and nobody can enqueue it any longer.
        unsafe { bindings::flush_work(Work::raw_get(&raw const self.0.work)) };
    }
}
