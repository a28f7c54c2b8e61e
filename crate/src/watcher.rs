// SPDX-License-Identifier: MIT OR Apache-2.0

//! Waiting for the next generation: for a service that reacts, and for a program that only looks.

#![forbid(unsafe_code)]

use crate::{
    sys::ioctl,
    Device,
    Error,
    Result, //
};
use rustix::{
    event::{
        poll,
        PollFd,
        PollFlags, //
    },
    fd::{
        AsFd,
        AsRawFd,
        BorrowedFd,
        OwnedFd,
        RawFd, //
    },
    io::Errno,
};
use std::time::{
    Duration,
    Instant, //
};

/// What [`Watcher::acknowledge`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Acknowledgment {
    /// The generation is the current one. Control planes do not wait for this watcher any longer.
    Accepted,
    /// A newer generation has begun, which the next [`Watcher::wait`] returns.
    Superseded,
}

/// A service that renews what must be unique in each generation, and that control planes wait for.
///
/// Open the watcher first, then make what must be unique. Renew first, then acknowledge.
///
/// ```no_run
/// use sysgenid::Watcher;
/// # fn renew() {}
///
/// # fn main() -> sysgenid::Result<()> {
/// let mut watcher = Watcher::open()?;
/// renew();
/// loop {
///     let generation = watcher.wait()?;
///     renew();
///     // If a newer one has begun, wait() returns at once.
///     let _ = watcher.acknowledge(generation)?;
/// }
/// # }
/// ```
///
/// It needs a device that it may write to: root's, or one that the administrator has opened to it;
/// see sysgenid(4).
///
/// In an event loop, its descriptor is readable while there is a generation to acknowledge, and
/// [`try_wait`](Self::try_wait) tells which. An edge-triggered `epoll` hears of each generation.
/// With the feature `tokio` there is `AsyncWatcher`.
///
/// When it is dropped, nobody waits for it any longer, even if it has not acknowledged.
#[derive(Debug)]
pub struct Watcher {
    fd: OwnedFd,
}

impl Watcher {
    /// Opens `/dev/sysgenid` for writing, which acknowledges the current generation.
    pub fn open() -> Result<Self> {
        Device::default().watcher()
    }

    pub(crate) fn open_device(device: &Device) -> Result<Self> {
        Ok(Self {
            fd: device.open_tracked()?,
        })
    }

    /// Takes a descriptor that somebody else has opened for reading and writing, such as the
    /// service manager for `OpenFile=/dev/sysgenid`. It is made nonblocking.
    ///
    /// What must be unique is to be made after this, or after [`try_wait`](Self::try_wait) has
    /// returned a generation: somebody may have opened it long ago.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        use rustix::fs;

        if ioctl::get_generation(fd.as_fd()).is_err() {
            return Err(Error::NotSysgenid {
                path: "the descriptor".into(),
            });
        }
        ioctl::set_watcher_tracking(fd.as_fd(), true)
            .map_err(Error::call("SYSGENID_SET_WATCHER_TRACKING"))?;
        fs::fcntl_getfl(&fd)
            .and_then(|flags| fs::fcntl_setfl(&fd, flags | fs::OFlags::NONBLOCK))
            .map_err(Error::call("fcntl"))?;
        Ok(Self { fd })
    }

    /// Waits until there is a generation to acknowledge, and returns it. Returns it again and again
    /// until it is acknowledged.
    pub fn wait(&mut self) -> Result<u32> {
        loop {
            if let Some(generation) = self.wait_for(None)? {
                return Ok(generation);
            }
        }
    }

    /// The same for at most that time. `None` if there is nothing to acknowledge by then.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<u32>> {
        self.wait_for(Some(timeout))
    }

    /// The generation to acknowledge, if there is one at this time.
    pub fn try_wait(&mut self) -> Result<Option<u32>> {
        read(self.fd.as_fd())
    }

    fn wait_for(&mut self, timeout: Option<Duration>) -> Result<Option<u32>> {
        let deadline = Deadline::after(timeout);

        loop {
            if let Some(generation) = self.try_wait()? {
                return Ok(Some(generation));
            }
            if !wait_readable(self.fd.as_fd(), &deadline)? {
                return self.try_wait();
            }
        }
    }

    /// Says that everything has been renewed for a generation that [`wait`](Self::wait) has
    /// returned. Doing so once more is harmless.
    pub fn acknowledge(&mut self, generation: u32) -> Result<Acknowledgment> {
        acknowledge(self.fd.as_fd(), generation)
    }
}

/// To poll it together with other things. It is readable while there is a generation to
/// acknowledge.
impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// For event loops that take numbers.
impl AsRawFd for Watcher {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// A program that waits for generations, and for which nobody waits. Takes no rights but to read
/// the device, which everybody has.
#[derive(Debug)]
pub struct Observer {
    fd: OwnedFd,
}

impl Observer {
    /// Opens `/dev/sysgenid`.
    pub fn open() -> Result<Self> {
        Device::default().observer()
    }

    pub(crate) fn open_device(device: &Device) -> Result<Self> {
        Ok(Self {
            fd: device.open_untracked()?,
        })
    }

    /// The current generation.
    pub fn current(&self) -> Result<u32> {
        ioctl::get_generation(self.fd.as_fd()).map_err(Error::call("SYSGENID_GET_GENERATION"))
    }

    /// Waits until the generation is not `known`, and returns it. `None` if the time is over
    /// before that.
    pub fn wait_since(&mut self, known: u32, timeout: Option<Duration>) -> Result<Option<u32>> {
        let deadline = Deadline::after(timeout);

        loop {
            // Acknowledges, so that the descriptor is not readable because of what is known.
            let _ = read(self.fd.as_fd())?;

            let current = self.current()?;
            if current != known {
                return Ok(Some(current));
            }
            if deadline.is_over() {
                return Ok(None);
            }
            wait_readable(self.fd.as_fd(), &deadline)?;
        }
    }
}

/// To poll it together with other things. It is readable if there is a generation that
/// [`wait_since`](Observer::wait_since) has not seen.
impl AsFd for Observer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The point in time at which a wait ends. `None` is never.
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// A time that no clock can show is never.
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// What is left.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.0
            .map(|end| end.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }
}

/// Waits until the device is readable; false if the time is over before.
fn wait_readable(fd: BorrowedFd<'_>, deadline: &Deadline) -> Result<bool> {
    loop {
        // A time that is too long for the kernel is cut short by nobody who lives.
        let left = deadline.left().and_then(|left| left.try_into().ok());

        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], left.as_ref()) {
            Ok(0) if deadline.is_over() => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(Error::call("poll")(errno)),
        }
    }
}

/// Reads the current generation if the descriptor is outdated.
pub(crate) fn read(fd: BorrowedFd<'_>) -> Result<Option<u32>> {
    let mut generation = [0; 4];

    match rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut generation)) {
        Ok(_) => Ok(Some(u32::from_ne_bytes(generation))),
        Err(Errno::AGAIN) => Ok(None),
        Err(errno) => Err(Error::call("read")(errno)),
    }
}

/// Acknowledges a generation, unless it is no longer the current one.
fn acknowledge(fd: BorrowedFd<'_>, generation: u32) -> Result<Acknowledgment> {
    match rustix::io::retry_on_intr(|| rustix::io::write(fd, &generation.to_ne_bytes())) {
        Ok(_) => Ok(Acknowledgment::Accepted),
        Err(Errno::INVAL) => Ok(Acknowledgment::Superseded),
        Err(errno) => Err(Error::call("write")(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_of_something_else_is_refused() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().expect("a socket");
        let error = Watcher::from_fd(one.into()).expect_err("no watcher");

        assert!(matches!(error, Error::NotSysgenid { .. }), "{error:?}");
    }

    #[test]
    fn a_deadline_ends() {
        assert!(Deadline::after(Some(Duration::ZERO)).is_over());
        assert!(!Deadline::after(Some(Duration::from_secs(1000))).is_over());
        assert!(!Deadline::after(Some(Duration::MAX)).is_over());
        assert_eq!(Deadline::after(None).left(), None);
    }

    #[test]
    fn waiting_for_what_never_comes_ends() -> Result<()> {
        let (one, _other) = std::os::unix::net::UnixStream::pair().expect("a socket");
        let start = Instant::now();
        let timeout = Duration::from_millis(50);

        assert!(!wait_readable(
            one.as_fd(),
            &Deadline::after(Some(timeout))
        )?);
        assert!(start.elapsed() >= timeout);
        Ok(())
    }
}
