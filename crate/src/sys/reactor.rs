// SPDX-License-Identifier: MIT OR Apache-2.0

//! A watcher's descriptor in the reactor of tokio.

use crate::Watcher;
use std::io::Result;
use tokio::io::{
    unix::AsyncFd,
    Interest, //
};

/// Has the reactor tell when the watcher is readable. Panics outside of a runtime.
pub(crate) fn register(watcher: Watcher) -> Result<AsyncFd<Watcher>> {
    // SAFETY: A watcher owns its descriptor, and has the same one until it is dropped. Only
    // `AsyncWatcher` has the result, and it neither gives the watcher out nor replaces it.
    Ok(unsafe { AsyncFd::register_with_interest(watcher, Interest::READABLE) }?)
}
