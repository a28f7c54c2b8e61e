// SPDX-License-Identifier: GPL-2.0

//! `sysgenid_check()` of `lib/sysgenid.h`, as it is: `library.c` has its loads come here.

use crate::{
    generation::Page,
    host::Host,
    library_loads::{
        Loads,
        Word, //
    },
    publication::PageWords, //
};
use std::{
    cell::Cell,
    ffi::{
        c_int,
        c_void, //
    },
};

extern "C-unwind" {
    /// `CHECK()` of `library.c`. `loads` must be valid during the call.
    fn sysgenid_model_check(loads: *const c_void, generation: u32) -> c_int;
}

/// `enum sysgenid_state`
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    Current,
    Changed,
    Pending,
}

/// In which order the halves of an ID are loaded, which C leaves to the compiler.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    Processed,
    Live,
}

/// Where page 1 is mapped.
pub(crate) fn check(page: &Page, host: &Host, generation: u32, first: First) -> State {
    // Relaxed, whatever the library asks for: the hypervisor stores while nobody runs.
    let live = |half| host.live(half);

    // The halves from page 0 that are loaded, and those of the live ID that came before them.
    let compared = [const { Cell::new(None) }; 2];
    let load = |word, order| match word {
        Word::Flags => page.flags_word().load(order).into(),
        Word::Generation => page.generation_word().load(order).into(),
        Word::Processed(half) => {
            compared[half].set(Some((first == First::Live).then(|| live(half))));
            page.hwid_halves()[half].load(order)
        }
        Word::Live(half) => match compared[half].take() {
            Some(early) => early.unwrap_or_else(|| live(half)),
            None => panic!("the compiler has the live half loaded first"),
        },
    };
    let loads: Loads<'_> = &load;

    // SAFETY: `loads` is valid during the call.
    match unsafe { sysgenid_model_check((&raw const loads).cast(), generation) } {
        0 => State::Current,
        1 => State::Changed,
        2 => State::Pending,
        other => panic!("sysgenid_check() returns {other}"),
    }
}
