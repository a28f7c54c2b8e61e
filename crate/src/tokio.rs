// SPDX-License-Identifier: MIT OR Apache-2.0

//! The watcher for the runtime of tokio.

#![forbid(unsafe_code)]

use crate::{
    sys::reactor,
    Acknowledgment,
    Error,
    Result,
    Watcher, //
};
use std::io;
use tokio::io::unix::AsyncFd;

/// A [`Watcher`] whose [`wait`](Self::wait) is `async`.
///
/// ```no_run
/// # async fn renew() {}
/// # async fn run() -> sysgenid::Result<()> {
/// let mut watcher = sysgenid::AsyncWatcher::open()?;
/// renew().await;
/// loop {
///     let generation = watcher.wait().await?;
///     renew().await;
///     let _ = watcher.acknowledge(generation)?;
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncWatcher {
    watcher: AsyncFd<Watcher>,
}

impl AsyncWatcher {
    /// Opens `/dev/sysgenid` for writing. Panics outside of a runtime that has I/O enabled.
    pub fn open() -> Result<Self> {
        Self::new(Watcher::open()?)
    }

    /// Makes a watcher async. Panics outside of a runtime that has I/O enabled.
    pub fn new(watcher: Watcher) -> Result<Self> {
        reactor::register(watcher)
            .map(|watcher| Self { watcher })
            .map_err(failed)
    }

    /// Waits until there is a generation to acknowledge, and returns it. Returns it again and again
    /// until it is acknowledged. Can be cancelled at any time.
    pub async fn wait(&mut self) -> Result<u32> {
        loop {
            let mut ready = self.watcher.readable_mut().await.map_err(failed)?;

            match ready.get_inner_mut().try_wait()? {
                Some(generation) => return Ok(generation),
                None => ready.clear_ready(),
            }
        }
    }

    /// See [`Watcher::acknowledge`]. Does not block.
    pub fn acknowledge(&mut self, generation: u32) -> Result<Acknowledgment> {
        self.watcher.get_mut().acknowledge(generation)
    }
}

fn failed(source: io::Error) -> Error {
    Error::Call {
        call: "epoll",
        source,
    }
}
