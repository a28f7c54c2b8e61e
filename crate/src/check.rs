// SPDX-License-Identifier: MIT OR Apache-2.0

//! The comparison that tells without a system call whether the system was cloned.
//!
//! # Why this is correct
//!
//! 1. The hypervisor writes another ID into page 1 before it lets a clone run. Nobody else writes
//!    there. No ID comes twice.
//! 2. For a new ID the kernel stores into page 0 a new generation, then the first half of the ID,
//!    then the second one, each with release semantics. Generations only grow. The flag is set
//!    after the first ID of all was stored.
//! 3. [`Pages::check`] loads with acquire semantics: the flags first, then the halves of both IDs
//!    in any order, and the generation last.
//!
//! Say that the flag is set, that both pairs of halves are equal, and that the generation is the
//! caller's. The caller knew it before, so it was the current one during the whole call. Let X be
//! the ID that it accounts for.
//!
//! - Neither half from page 0 is that of an ID later than X: the generation of such an ID was
//!   stored before its halves, and the last load would have found that one. So both halves are
//!   X's, or, while the kernel is still storing them, those of the ID before X.
//! - Each half from page 1 is that of X or of a later ID, as X was live before its generation was
//!   stored. If one of them is X's, X was live when that half was loaded: no change was pending at
//!   that instant.
//! - Else the first half of a later ID is that of X or of the one before, and so is the second half
//!   of a later ID, of the same or of yet another one. IDs are random: this is as unlikely as two
//!   equal IDs.
//!
//! The helper in C for libraries, `lib/sysgenid.h`, argues in the same way. The tests below try
//! all the orders in which the loads and stores can take effect.

#![forbid(unsafe_code)]

use crate::abi;
use std::sync::atomic::{
    fence,
    AtomicU32,
    AtomicU64,
    Ordering, //
};

/// What [`Generation::check`](crate::Generation::check) has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum State {
    /// The generation is the caller's.
    Current,
    /// The generation is a later one.
    Changed,
    /// A change has not been processed yet, or the mapped pages cannot tell.
    /// [`Generation::current`](crate::Generation::current) can.
    Pending,
}

/// A load with acquire semantics, from memory that may be mapped for reading only.
pub(crate) trait Load {
    type Value: Copy + PartialEq;

    fn acquire(&self) -> Self::Value;
}

// A relaxed load and a fence instead of an acquire load: the former alone is guaranteed to work in
// read-only memory, see "Atomic accesses to read-only memory" of std::sync::atomic.
impl Load for AtomicU32 {
    type Value = u32;

    #[inline]
    fn acquire(&self) -> u32 {
        let value = self.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        value
    }
}

impl Load for AtomicU64 {
    type Value = u64;

    #[inline]
    fn acquire(&self) -> u64 {
        let value = self.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        value
    }
}

/// The words of the shared pages that the check looks at.
#[derive(Debug)]
pub(crate) struct Pages<'a, Word, Half> {
    pub(crate) generation: &'a Word,
    pub(crate) flags: &'a Word,
    /// The ID that the generation accounts for.
    pub(crate) hwid: [&'a Half; 2],
    /// The ID as the hypervisor has it, where page 1 is mapped.
    pub(crate) live: Option<[&'a Half; 2]>,
}

impl<Word: Load<Value = u32>, Half: Load> Pages<'_, Word, Half> {
    /// Whether the pages can tell that no change is pending.
    #[inline]
    pub(crate) fn has_live_id(&self) -> bool {
        self.live.is_some() && self.flags.acquire() & abi::PAGE_HWID != 0
    }

    /// Compares the generation with the caller's.
    #[inline]
    pub(crate) fn check(&self, known: u32) -> State {
        let [hwid0, hwid1] = self.hwid;
        let Some([live0, live1]) = self.live else {
            return State::Pending;
        };

        if self.flags.acquire() & abi::PAGE_HWID == 0 {
            return State::Pending;
        }
        if hwid0.acquire() != live0.acquire() || hwid1.acquire() != live1.acquire() {
            return State::Pending;
        }
        if self.generation.acquire() != known {
            return State::Changed;
        }
        State::Current
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loom::sync::{
        atomic,
        Arc, //
    };

    impl Load for atomic::AtomicU32 {
        type Value = u32;

        fn acquire(&self) -> u32 {
            let value = self.load(Ordering::Relaxed);
            atomic::fence(Ordering::Acquire);
            value
        }
    }

    impl Load for atomic::AtomicU64 {
        type Value = u64;

        fn acquire(&self) -> u64 {
            let value = self.load(Ordering::Relaxed);
            atomic::fence(Ordering::Acquire);
            value
        }
    }

    /// The two pages, and that a restore has happened, which the hypervisor's order of things
    /// tells in reality.
    struct Memory {
        generation: atomic::AtomicU32,
        flags: atomic::AtomicU32,
        hwid: [atomic::AtomicU64; 2],
        live: [atomic::AtomicU64; 2],
        restored: atomic::AtomicU32,
    }

    impl Memory {
        fn new() -> Self {
            let half = || atomic::AtomicU64::new(0);

            Self {
                generation: atomic::AtomicU32::new(0),
                flags: atomic::AtomicU32::new(abi::PAGE_HWID),
                hwid: [half(), half()],
                live: [half(), half()],
                restored: atomic::AtomicU32::new(0),
            }
        }

        fn pages(&self) -> Pages<'_, atomic::AtomicU32, atomic::AtomicU64> {
            Pages {
                generation: &self.generation,
                flags: &self.flags,
                hwid: [&self.hwid[0], &self.hwid[1]],
                live: Some([&self.live[0], &self.live[1]]),
            }
        }

        /// What the hypervisor does, the last step of which is to let the clone run.
        fn restore(&self, id: u32) {
            for half in &self.live {
                half.store(id.into(), Ordering::Relaxed);
            }
            self.restored.store(id, Ordering::Release);
        }

        /// What the kernel does for that ID.
        fn process(&self, id: u32) {
            self.generation.store(id, Ordering::Release);
            for half in &self.hwid {
                half.store(id.into(), Ordering::Release);
            }
        }
    }

    type Check = fn(&Memory, u32) -> State;

    fn check(memory: &Memory, known: u32) -> State {
        memory.pages().check(known)
    }

    /// Runs a reader beside restores and the kernel's processing of them, in all orders, or in
    /// those in which the threads take turns at most so often.
    ///
    /// The generation is named like the ID, so that a restore is one that the reader's generation
    /// does not account for if its number is the higher one.
    fn model(restores: u32, turns: Option<usize>, check: Check) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = turns;

        builder.check(move || {
            let memory = Arc::new(Memory::new());
            let writer = {
                let memory = memory.clone();

                loom::thread::spawn(move || {
                    for id in 1..=restores {
                        memory.restore(id);
                        memory.process(id);
                    }
                })
            };

            // A generation that the reader knows was stored before.
            let known = memory.generation.acquire();
            let restored = memory.restored.acquire();

            if check(&memory, known) == State::Current {
                assert!(
                    restored <= known,
                    "generation {known} is not current in clone {restored}"
                );
            }
            writer.join().expect("it does not panic");

            // When all is done the pages say so, and to a reader who knows an older one, too.
            assert_eq!(check(&memory, restores), State::Current);
            assert_eq!(check(&memory, restores - 1), State::Changed);
        });
    }

    #[test]
    fn no_order_makes_an_old_generation_current() {
        model(1, None, check);
    }

    #[test]
    fn neither_do_two_restores() {
        // All orders of these would take minutes.
        model(2, Some(3), check);
    }

    #[test]
    #[should_panic(expected = "is not current in clone")]
    fn the_model_finds_that_the_generation_must_be_loaded_last() {
        model(1, None, |memory, known| {
            let pages = memory.pages();

            if pages.generation.acquire() != known {
                return State::Changed;
            }
            // That of the IDs alone.
            match pages.check(pages.generation.acquire()) {
                State::Pending => State::Pending,
                State::Current | State::Changed => State::Current,
            }
        });
    }

    #[test]
    #[should_panic(expected = "is not current in clone")]
    fn the_model_finds_that_the_generation_alone_is_not_enough() {
        model(1, None, |memory, known| {
            if memory.generation.acquire() == known {
                State::Current
            } else {
                State::Changed
            }
        });
    }

    #[test]
    fn a_restore_is_pending_until_it_is_processed() {
        loom::model(|| {
            let memory = Memory::new();

            assert_eq!(check(&memory, 0), State::Current);
            assert_eq!(check(&memory, 7), State::Changed);
            memory.restore(1);
            assert_eq!(check(&memory, 0), State::Pending);
            memory.process(1);
            assert_eq!(check(&memory, 0), State::Changed);
            assert_eq!(check(&memory, 1), State::Current);
        });
    }

    #[test]
    fn one_half_that_differs_is_enough() {
        for half in [0, 1] {
            loom::model(move || {
                let memory = Memory::new();

                memory.live[half].store(1, Ordering::Relaxed);
                assert_eq!(check(&memory, 0), State::Pending);
            });
        }
    }

    #[test]
    fn without_page_1_or_the_flag_nothing_is_current() {
        loom::model(|| {
            let memory = Memory::new();
            let without = Pages {
                live: None,
                ..memory.pages()
            };

            assert!(memory.pages().has_live_id());
            assert!(!without.has_live_id());
            assert_eq!(without.check(0), State::Pending);

            memory.flags.store(0, Ordering::Release);
            assert!(!memory.pages().has_live_id());
            assert_eq!(check(&memory, 0), State::Pending);
        });
    }
}
