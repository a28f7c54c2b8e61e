// SPDX-License-Identifier: GPL-2.0

//! `rust/kernel/wait_queue.rs`, whose list is C's: who waits is in a list with a lock, and whoever
//! wakes looks without the lock whether anybody does.
//!
//! Time-outs and signals do not come, so that a thread that nobody wakes sleeps for ever. Loom
//! reports that as a deadlock.

use crate::atomic::{
    fence,
    AtomicU32,
    Ordering, //
};
use loom::sync::{
    Condvar,
    Mutex,
    MutexGuard, //
};
use std::{
    ops::ControlFlow,
    sync::Arc, //
};

/// How many are woken at a time. Here as few as possible.
const CHUNK: usize = 1;

/// An entry: a task, somebody in `poll()`, or a mark, whom nobody looks at.
pub(crate) struct Waiter {
    /// How often it was woken, since a task has looked: its flag `WQ_FLAG_WOKEN`.
    woken: Mutex<u32>,
    wake: Condvar,
}

impl Waiter {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            woken: Mutex::new(0),
            wake: Condvar::new(),
        })
    }

    /// How often somebody in `poll()` was woken.
    pub(crate) fn woken(&self) -> u32 {
        *self.woken.lock().unwrap()
    }
}

/// The list, first entry first, under its lock.
struct List<'a> {
    entries: MutexGuard<'a, Vec<Arc<Waiter>>>,
    queue: &'a WaitQueue,
}

impl List<'_> {
    fn place_of(&self, entry: &Arc<Waiter>) -> Option<usize> {
        self.entries
            .iter()
            .position(|other| Arc::ptr_eq(other, entry))
    }

    fn insert(&mut self, place: usize, entry: &Arc<Waiter>) {
        self.entries.insert(place, entry.clone());
        self.queue.is_used.store(1, Ordering::Relaxed);
    }

    fn push(&mut self, entry: &Arc<Waiter>) {
        self.insert(self.entries.len(), entry);
    }

    fn remove(&mut self, entry: &Arc<Waiter>) {
        self.entries.retain(|other| !Arc::ptr_eq(other, entry));
        if self.entries.is_empty() {
            self.queue.is_used.store(0, Ordering::Relaxed);
        }
    }
}

pub(crate) struct WaitQueue {
    list: Mutex<Vec<Arc<Waiter>>>,
    /// The first pointer of the list, as far as it says whether anybody waits.
    is_used: AtomicU32,
    /// Of `std`, as it is no part of the queue: whether somebody walks.
    is_walked: std::sync::atomic::AtomicBool,
}

impl WaitQueue {
    pub(crate) fn new() -> Self {
        Self {
            list: Mutex::new(Vec::new()),
            is_used: AtomicU32::new(0),
            is_walked: false.into(),
        }
    }

    fn lock(&self) -> List<'_> {
        List {
            entries: self.list.lock().unwrap(),
            queue: self,
        }
    }

    pub(crate) fn wake_all(&self) {
        Self::wake_all_of([self]);
    }

    pub(crate) fn wake_all_of<const N: usize>(queues: [&Self; N]) {
        fence(Ordering::SeqCst);

        for queue in queues {
            if queue.is_used.load(Ordering::Relaxed) != 0 {
                queue.walk();
            }
        }
    }

    fn walk(&self) {
        let (at, end) = (Waiter::new(), Waiter::new());
        let mut list = self.lock();

        self.is_walked.store(true, Ordering::Relaxed);
        list.insert(0, &at);
        list.push(&end);

        loop {
            let mut next = list.place_of(&at).unwrap() + 1;
            for _ in 0..CHUNK {
                if Some(next) == list.place_of(&end) {
                    break;
                }
                let waiter = &list.entries[next];
                next += 1;
                *waiter.woken.lock().unwrap() += 1;
                waiter.wake.notify_one();
            }

            let is_over = Some(next) == list.place_of(&end);
            list.remove(&at);
            if is_over {
                break;
            }
            list.insert(next - 1, &at);

            drop(list);
            list = self.lock();
        }

        list.remove(&end);
        self.is_walked.store(false, Ordering::Relaxed);
    }

    /// `add_wait_queue()`
    fn add(&self, waiter: &Arc<Waiter>) {
        self.lock().insert(0, waiter);
    }

    /// `remove_wait_queue()`
    pub(crate) fn remove(&self, waiter: &Arc<Waiter>) {
        self.lock().remove(waiter);
    }

    /// `add_wait_queue_exclusive()`, for somebody in `poll()`, and whether somebody walks.
    pub(crate) fn add_exclusive(&self) -> (Arc<Waiter>, bool) {
        let waiter = Waiter::new();
        let mut list = self.lock();

        list.push(&waiter);
        (waiter, self.is_walked.load(Ordering::Relaxed))
    }

    pub(crate) fn wait<R>(&self, mut check: impl FnMut() -> ControlFlow<R>) -> R {
        let waiter = Waiter::new();

        self.add(&waiter);

        let result = loop {
            fence(Ordering::SeqCst);

            match check() {
                ControlFlow::Break(result) => break result,
                ControlFlow::Continue(()) => {
                    let mut woken = waiter.woken.lock().unwrap();
                    while *woken == 0 {
                        woken = waiter.wake.wait(woken).unwrap();
                    }
                    *woken = 0;
                }
            }
        };

        self.remove(&waiter);
        result
    }
}
