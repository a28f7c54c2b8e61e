// SPDX-License-Identifier: MIT OR Apache-2.0

//! All of the unsafe code of this crate: the mapped pages, and calls by descriptor that the
//! compiler cannot vouch for.

#![allow(unsafe_code)]

pub(crate) mod ioctl;
pub(crate) mod mapping;
#[cfg(feature = "tokio")]
pub(crate) mod reactor;
