// SPDX-License-Identifier: MIT OR Apache-2.0

//! Clones that happen in a test.

#![forbid(unsafe_code)]

use crate::{
    abi,
    check::Pages,
    Generation, //
};
use std::sync::{
    atomic::{
        AtomicU32,
        AtomicU64,
        Ordering, //
    },
    Arc,
    Mutex,
    PoisonError, //
};

/// A counter within the process, to test programs with where there is no device.
///
/// What it gives is a [`Generation`] as any other, down to the window between the restore of a
/// clone and the moment when somebody notices it.
///
/// ```
/// use sysgenid::{Simulation, State};
///
/// # fn main() -> sysgenid::Result<()> {
/// let simulation = Simulation::new();
/// let generation = simulation.generation();
/// let known = generation.current()?;
/// assert_eq!(generation.check(known), State::Current);
///
/// simulation.restore();
/// assert_eq!(generation.check(known), State::Pending);
/// assert_eq!(generation.current()?, known + 1);
/// assert_eq!(generation.check(known), State::Changed);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Simulation {
    memory: Arc<Memory>,
}

/// The two pages.
#[derive(Debug)]
pub(crate) struct Memory {
    generation: AtomicU32,
    flags: AtomicU32,
    hwid: [AtomicU64; 2],
    live: [AtomicU64; 2],
    /// Held while a change is processed.
    change: Mutex<()>,
}

impl Simulation {
    /// A system of generation 0.
    pub fn new() -> Self {
        Self::with_flags(abi::PAGE_HWID)
    }

    /// The same, where only a system call can tell that nothing has changed: there
    /// [`Generation::check`] always says [`Pending`](crate::State::Pending).
    pub fn without_live_id() -> Self {
        Self::with_flags(0)
    }

    fn with_flags(flags: u32) -> Self {
        let half = || AtomicU64::new(1);

        Self {
            memory: Arc::new(Memory {
                generation: AtomicU32::new(0),
                flags: AtomicU32::new(flags),
                hwid: [half(), half()],
                live: [half(), half()],
                change: Mutex::new(()),
            }),
        }
    }

    /// What a library opens. All of one simulation, and of copies of it, are of one system.
    pub fn generation(&self) -> Generation {
        Generation::simulated(self.memory.clone())
    }

    /// Makes the system a clone. As in a real one, nobody knows until somebody asks.
    pub fn restore(&self) {
        for half in &self.memory.live {
            half.fetch_add(1, Ordering::Release);
        }
    }
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// The current generation, after a pending change has been processed, in the kernel's order.
    pub(crate) fn current(&self) -> u32 {
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut generation = self.generation.load(Ordering::Relaxed);
        let live = self
            .live
            .each_ref()
            .map(|half| half.load(Ordering::Acquire));

        if self
            .hwid
            .each_ref()
            .map(|half| half.load(Ordering::Relaxed))
            != live
        {
            generation += 1;
            self.generation.store(generation, Ordering::Release);
            for (half, value) in self.hwid.iter().zip(live) {
                half.store(value, Ordering::Release);
            }
        }
        generation
    }

    pub(crate) fn pages(&self) -> Pages<'_, AtomicU32, AtomicU64> {
        Pages {
            generation: &self.generation,
            flags: &self.flags,
            hwid: self.hwid.each_ref(),
            live: Some(self.live.each_ref()),
        }
    }
}
