// SPDX-License-Identifier: GPL-2.0

//! AWS-LC as it comes from crates.io, as a library for `race.c`.

/// Fills `size` bytes at `buffer`; returns what AWS-LC's `RAND_bytes()` returns, 1 on success.
///
/// # Safety
///
/// `buffer` must be valid for writes of `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn awslc_rand_bytes(buffer: *mut u8, size: usize) -> i32 {
    // SAFETY: The caller promises just what `RAND_bytes()` asks for.
    unsafe { aws_lc_sys::RAND_bytes(buffer, size) }
}
