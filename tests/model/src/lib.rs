// SPDX-License-Identifier: GPL-2.0

//! The protocols of sysgenid, run through every interleaving and every reordering that the `loom`
//! crate knows of the memory model of C11.
//!
//! - `watchers` and `publication` are the driver's own files, as they are;
//! - `library` calls that of `lib/sysgenid.h`, as it is, by `library.c`;
//! - `generation` and `wait_queue` transcribe what is around them, tied to those lines by `ties`;
//! - `host` is the hypervisor, and knows what is true;
//! - `counting` and `publishing` are the scenarios: what threads do, and what must hold;
//! - `mutations` are errors that must be found. For each, `build.rs` makes a copy of all this with
//!   that error in it.

#[path = "../../../rust/sysgenid/publication.rs"]
mod publication;
#[allow(dead_code)] // is_writable()
#[path = "../../../src/sysgenid/watchers.rs"]
mod watchers;

mod atomic;
mod counting;
mod generation;
mod host;
mod library;
mod library_loads;
mod publishing;
mod ties;
mod wait_queue;

use loom::thread;
use std::sync::Arc;

pub use ties::broken as broken_ties;

/// What the driver's files take from the header. With another number than there, sysgenid_check()
/// would never say SYSGENID_CURRENT, and no error in it would be found.
mod bindings {
    pub(crate) const SYSGENID_PAGE_HWID: u32 = 1;
}

/// The copies, and what each has to be found by.
#[allow(warnings, clippy::all)]
mod mutated {
    include!(concat!(env!("OUT_DIR"), "/mutated.rs"));
}

/// Some threads, and what must hold whatever they do.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What holds.
    pub holds: &'static str,
    /// How often a thread may be interrupted by another one, where all is too much.
    pub preemptions: Option<usize>,
    /// One execution. Panics if something does not hold.
    pub run: fn(),
}

/// An error, and the scenario that finds it.
pub struct Mutation {
    /// What is wrong.
    pub what: &'static str,
    /// What the scenario says then, in part: one of these.
    pub says: &'static [&'static str],
    /// The scenario, with the error.
    pub scenario: Scenario,
}

/// Runs functions on a state that they share, each in a thread of its own, and returns the state as
/// all have left it.
fn run<S: Send + Sync + 'static>(state: S, threads: &[fn(&S)]) -> Arc<S> {
    let state = Arc::new(state);
    let handles: Vec<_> = threads
        .iter()
        .enumerate()
        .map(|(number, &function)| {
            let state = state.clone();
            thread::spawn(move || {
                atomic::enter(number);
                function(&state);
            })
        })
        .collect();

    for handle in handles {
        handle.join().unwrap();
    }
    state
}

/// All scenarios, with the driver as it is.
pub fn scenarios() -> impl Iterator<Item = Scenario> {
    [counting::ALL, publishing::ALL]
        .into_iter()
        .flatten()
        .copied()
}

/// All errors that must be found.
pub fn mutations() -> &'static [Mutation] {
    mutated::ALL
}
