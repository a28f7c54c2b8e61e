// SPDX-License-Identifier: GPL-2.0

//! What `library.c` calls.

use crate::atomic::Ordering;
use std::ffi::{
    c_int,
    c_void, //
};

/// A word of page 0, or half of the live ID.
pub(crate) enum Word {
    Flags,
    Generation,
    Processed(usize),
    Live(usize),
}

/// How a call of `sysgenid_check()` loads a word.
pub(crate) type Loads<'a> = &'a dyn Fn(Word, Ordering) -> u64;

/// # Safety
///
/// `loads` must point to [`Loads`].
#[no_mangle]
unsafe extern "C-unwind" fn sysgenid_model_load(
    loads: *const c_void,
    word: c_int,
    order: c_int,
) -> u64 {
    let word = match word {
        0 => Word::Flags,
        1 => Word::Generation,
        half @ 2..=3 => Word::Processed(half as usize - 2),
        half => Word::Live(half as usize - 4),
    };
    // The numbers of GCC and Clang.
    let order = match order {
        0 => Ordering::Relaxed,
        2 => Ordering::Acquire,
        other => panic!("no order of loads here: {other}"),
    };

    // SAFETY: The caller promises it.
    unsafe { (*loads.cast::<Loads<'_>>())(word, order) }
}
