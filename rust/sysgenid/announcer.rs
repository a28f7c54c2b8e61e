// SPDX-License-Identifier: GPL-2.0

//! Tells of changes of the generation those who may take their time: subscribers in the kernel,
//! programs that listen for uevents, and the log of the source.
//!
//! A change itself does not sleep. What may sleep is left to a worker, so that a subscriber may do
//! what anybody may: nobody waits for it, neither a system call that has noticed the change nor a
//! lock.

use crate::{
    attached_source::AttachedSource,
    irq_lock::{
        new_irq_spin_lock,
        IrqSpinLock, //
    },
    notifiers,
    publication::HwId,
    uevent, //
};
use core::sync::atomic::{
    AtomicBool,
    Ordering, //
};
use kernel::{
    bindings,
    device::Device,
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
    time::{
        delay::fsleep,
        Delta, //
    },
    workqueue::{
        Queue as WorkQueue,
        Work,
        WorkItem, //
    }, //
};

/// How often, and how long at a time, whoever announces waits for the memory that uevents take.
const TRIES: usize = 10;
const PAUSE: Delta = Delta::from_millis(100);

/// How many announcements may be pending.
const PENDING: usize = 64;

/// What a source has to report of a change.
#[derive(Clone, Copy)]
pub(crate) struct Report {
    /// Attached, at least until [`Announcer::finish`] has returned.
    pub(crate) source: AttachedSource,
    /// The hardware ID that the RNG was reseeded for.
    pub(crate) hwid: HwId,
    /// What has come of that.
    pub(crate) reseeded: Result,
}

/// A change that has happened.
#[derive(Clone, Copy)]
pub(crate) struct Announcement {
    /// The generation since then.
    pub(crate) generation: u32,
    /// If it was a source that has changed it.
    pub(crate) report: Option<Report>,
}

/// A ring of pending announcements.
struct Pending {
    ring: [Option<Announcement>; PENDING],
    first: usize,
    len: usize,
    /// Whether there is a device that somebody could listen to, so that the ring gets emptied.
    has_device: bool,
}

impl Pending {
    /// Adds one, in place of the latest if there is no room. Returns whether it is the only one.
    fn push(&mut self, announcement: Announcement) -> bool {
        if self.len < PENDING {
            self.len += 1;
        }
        self.ring[(self.first + self.len - 1) % PENDING] = Some(announcement);
        self.len == 1
    }

    /// Takes the oldest.
    fn pop(&mut self) -> Option<Announcement> {
        if self.len == 0 {
            return None;
        }

        let announcement = self.ring[self.first].take();
        self.first = (self.first + 1) % PENDING;
        self.len -= 1;
        announcement
    }
}

/// What the worker works on.
#[pin_data]
struct Queue {
    /// Filled by one at a time, who holds the lock of changes outside of this one.
    #[pin]
    pending: IrqSpinLock<Pending>,
    /// Whether there is no room in the ring, and somebody makes some. Written under `pending`.
    is_full: AtomicBool,
    /// The device, once there is one. Locked by whoever empties the ring.
    #[pin]
    device: Mutex<Option<ARef<Device>>>,
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
    /// Changes the ring.
    #[inline]
    fn with_pending<R>(&self, f: impl FnOnce(&mut Pending) -> R) -> R {
        let mut pending = self.pending.lock();
        let result = f(&mut pending);

        // Nobody would make room, nor listens to what is lost, as long as there is no device.
        self.is_full.store(
            pending.len == PENDING && pending.has_device,
            Ordering::Relaxed,
        );
        result
    }

    /// Tells of all that is pending, unless there is no device yet. May sleep.
    #[cold]
    fn empty(&self) {
        let device = self.device.lock();
        let Some(dev) = &*device else {
            return;
        };
        // Not for each announcement: somebody may wait for the end of this.
        let mut tries = TRIES;

        loop {
            let next = self.with_pending(Pending::pop);
            let Some(Announcement { generation, report }) = next else {
                return;
            };

            notifiers::call(generation);

            if let Err(err) = Self::send(dev, generation, &mut tries) {
                pr_warn!("no uevent for generation {generation}: {err:?}\n");
            }

            // Last, as a line on a console takes longer than all else together.
            if let Some(report) = report {
                report.source.report(report.hwid, report.reseeded);
            }
        }
    }

    /// Sends the uevent of a generation. Without memory this waits for some, as often as `tries`
    /// says. May sleep.
    fn send(dev: &Device, generation: u32, tries: &mut usize) -> Result {
        loop {
            let sent = CString::try_from_fmt(fmt!("SYSGENID={generation}"))
                .and_then(|variable| uevent::send_change(dev, &variable));

            // ENOENT says that there was none for the path of the device.
            let is_short_of_memory = match &sent {
                Ok(()) => false,
                Err(err) => *err == ENOMEM || *err == ENOENT,
            };
            if *tries == 0 || !is_short_of_memory {
                return sent;
            }
            *tries -= 1;
            fsleep(PAUSE);
        }
    }
}

/// Tells of changes, one after the other and in their order. When this is dropped, no worker is at
/// it any longer.
pub(crate) struct Announcer(Arc<Queue>);

impl Announcer {
    /// For no device yet. May sleep.
    pub(crate) fn new() -> Result<Self> {
        let queue = pin_init!(Queue {
            pending <- new_irq_spin_lock!(
                Pending {
                    ring: [None; PENDING],
                    first: 0,
                    len: 0,
                    has_device: false,
                },
                c"sysgenid_pending"
            ),
            is_full: AtomicBool::new(false),
            device <- new_mutex!(None, "sysgenid_announcer"),
            work <- new_work!("sysgenid_announcer"),
        });

        Ok(Self(Arc::pin_init(queue, GFP_KERNEL)?))
    }

    /// Sends the uevents of later changes, or none any longer, for this device, after telling of
    /// what is pending. May sleep.
    pub(crate) fn set_device(&self, dev: Option<&Device>) {
        self.0.empty();
        *self.0.device.lock() = dev.map(Into::into);
        self.0
            .with_pending(|pending| pending.has_device = dev.is_some());
        self.0.empty();
    }

    /// Whether there is room for another announcement. There is until somebody makes one.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        !self.0.is_full.load(Ordering::Relaxed)
    }

    /// Lets the worker tell of a change soon. In any context.
    ///
    /// Must be called by one at a time. Without room this takes the place of the latest one, so
    /// that whoever listens hears of the current generation at last. Those of before there is a
    /// device are told of once there is one.
    pub(crate) fn push(&self, announcement: Announcement) {
        let queue = &self.0;

        // Where others are pending, whoever takes those finds this one as well.
        if queue.with_pending(|pending| pending.push(announcement)) {
            // The kernel crate's functions for queues of the system lack this one.
            //
            // SAFETY: A queue of the system is there for ever.
            let workers = unsafe { WorkQueue::from_raw(bindings::system_dfl_wq) };

            // If the work is pending already, it has not yet looked at the ring.
            let _ = workers.enqueue(queue.clone());
        }
    }

    /// Tells of all that is pending, to make room. May sleep.
    #[cold]
    pub(crate) fn make_room(&self) {
        self.0.empty();
    }

    /// Waits until the worker has told of all that was pending before. May sleep.
    pub(crate) fn finish(&self) {
        // SAFETY: The work is initialised, and is not dropped before `self` is.
        unsafe { bindings::flush_work(Work::raw_get(&raw const self.0.work)) };
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        // The worker runs code of this module, and nobody can enqueue it any longer.
        self.finish();
    }
}
