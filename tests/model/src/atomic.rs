// SPDX-License-Identifier: GPL-2.0

//! What the driver's files take from the kernel: atomics, here those of loom.

pub(crate) use loom::sync::atomic::{
    fence,
    Ordering, //
};

use loom::sync::atomic;
use std::cell::Cell;

/// The most threads that a scenario has.
const THREADS: usize = 4;

loom::thread_local! {
    /// The number of a scenario's thread. `None` in the one that starts them.
    static THREAD: Cell<Option<usize>> = Cell::new(None);
}

/// Makes the calling thread that of a number.
pub(crate) fn enter(thread: usize) {
    THREAD.with(|current| current.set(Some(thread)));
}

/// Tells loom of all loads that a store comes before or after.
///
/// To find the orders to run, loom remembers the last access to each atomic. If thread A loads, and
/// B loads and then stores, that is B's load, and loom does not try A's load after the store. So a
/// load also exchanges a word of its thread's own, and a store those of all other threads: there no
/// load hides another one. Loom takes this and the access itself for one step, which orders nothing
/// that the access does not.
#[derive(Default)]
struct Loads([atomic::AtomicU32; THREADS]);

impl Loads {
    /// After a load.
    fn loaded(&self) {
        self.exchange(|loader, thread| loader == thread);
    }

    /// After a store or an exchange.
    fn stored(&self) {
        self.exchange(|loader, thread| loader != thread);
    }

    fn exchange(&self, is_meant: impl Fn(usize, usize) -> bool) {
        let Some(thread) = THREAD.with(Cell::get) else {
            return;
        };

        loom::stop_exploring();
        for (loader, word) in self.0.iter().enumerate() {
            if is_meant(loader, thread) {
                word.fetch_add(0, Ordering::Relaxed);
            }
        }
        loom::explore();
    }
}

/// An atomic on which some store, and others load.
pub(crate) struct AtomicU32 {
    word: atomic::AtomicU32,
    loads: Loads,
}

impl AtomicU32 {
    pub(crate) fn new(value: u32) -> Self {
        Self {
            word: atomic::AtomicU32::new(value),
            loads: Loads::default(),
        }
    }

    pub(crate) fn load(&self, order: Ordering) -> u32 {
        let value = self.word.load(order);

        self.loads.loaded();
        value
    }

    pub(crate) fn store(&self, value: u32, order: Ordering) {
        self.word.store(value, order);
        self.loads.stored();
    }
}

/// An atomic on which some store, others load, and others exchange.
///
/// Nothing comes between the load and the store of an exchange. Loom does not know that of plain
/// stores: an exchange may go by what was there before a store, and yet come after it. So a store
/// is an exchange here. That orders more in one way only: a thread that loads its value with
/// acquire semantics also sees what was before the values that it has replaced.
pub(crate) struct AtomicU64 {
    word: atomic::AtomicU64,
    loads: Loads,
}

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> Self {
        Self {
            word: atomic::AtomicU64::new(value),
            loads: Loads::default(),
        }
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        let value = self.word.load(order);

        self.loads.loaded();
        value
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        self.word.swap(value, order);
        self.loads.stored();
    }

    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        let old = self.word.fetch_add(value, order);

        self.loads.stored();
        old
    }

    pub(crate) fn compare_exchange(
        &self,
        old: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        let result = self.word.compare_exchange(old, new, success, failure);

        self.loads.stored();
        result
    }
}
