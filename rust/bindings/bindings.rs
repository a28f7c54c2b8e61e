// SPDX-License-Identifier: GPL-2.0

//! What bindgen makes of `rust/bindings/bindings_helper.h`: the UAPI, the in-kernel interface, the
//! C helpers and a few constants that the `kernel` crate's own bindings lack.
//!
//! Types of the kernel are those of the `kernel` crate.

#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::cast_lossless,
    clippy::as_underscore,
    dead_code,
    // Of the kernel's types bindgen makes some that it holds for empty.
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]
mod generated {
    use kernel::{
        bindings::*,
        ffi, //
    };

    include!(concat!(
        env!("SYSGENID_OBJ"),
        "/rust/bindings/bindings_generated.rs"
    ));
}

pub(crate) use generated::*;
