// SPDX-License-Identifier: MIT OR Apache-2.0

//! Waiting for all watchers, and beginning a generation.

#![forbid(unsafe_code)]

use crate::{
    fdinfo,
    sys::ioctl,
    watcher::{
        read,
        Deadline, //
    },
    Device,
    Error,
    OutdatedWatcher,
    Result, //
};
use rustix::{
    fd::{
        AsFd,
        OwnedFd, //
    },
    io::Errno, //
};
use std::time::Duration;

/// What lets work reach a system only after everybody in it has reacted to the restore.
///
/// ```no_run
/// use std::time::Duration;
/// use sysgenid::{ControlPlane, Error};
///
/// # fn main() -> sysgenid::Result<()> {
/// let mut control_plane = ControlPlane::open()?;
/// match control_plane.settle(Some(Duration::from_secs(5))) {
///     Ok(()) => println!("let work in"),
///     Err(Error::Unsettled { .. }) => {
///         for watcher in control_plane.outdated_watchers()? {
///             eprintln!("still waiting for {watcher}");
///         }
///     }
///     Err(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
///
/// It may be the first program that runs after the restore: the call processes the change before it
/// looks at the watchers. It is no watcher itself, and takes no rights but to read the device.
#[derive(Debug)]
pub struct ControlPlane {
    fd: OwnedFd,
}

impl ControlPlane {
    /// Opens `/dev/sysgenid`.
    pub fn open() -> Result<Self> {
        Device::default().control_plane()
    }

    pub(crate) fn open_device(device: &Device) -> Result<Self> {
        Ok(Self {
            fd: device.open_untracked()?,
        })
    }

    /// Waits until all watchers have acknowledged the current generation, for ever without a
    /// timeout.
    ///
    /// A further clone meanwhile is waited for as well. Signals do not end the wait.
    ///
    /// # Errors
    ///
    /// [`Error::Unsettled`] if the time is over.
    pub fn settle(&mut self, timeout: Option<Duration>) -> Result<()> {
        let deadline = Deadline::after(timeout);

        loop {
            match ioctl::wait_watchers(self.fd.as_fd(), milliseconds(deadline.left())) {
                Ok(()) => return Ok(()),
                Err(Errno::TIME) if deadline.is_over() => {
                    return Err(Error::Unsettled {
                        outdated: self.outdated()?,
                    })
                }
                // Less than a millisecond is left, or the wait was as long as one can be.
                Err(Errno::TIME) => {}
                // A signal; or a newer generation, which this descriptor has to acknowledge by a
                // read, as the call does not wait for its own caller.
                Err(Errno::INTR) => drop(read(self.fd.as_fd())?),
                Err(errno) => return Err(Error::call("SYSGENID_WAIT_WATCHERS")(errno)),
            }
        }
    }

    /// The current generation.
    pub fn current(&self) -> Result<u32> {
        ioctl::get_generation(self.fd.as_fd()).map_err(Error::call("SYSGENID_GET_GENERATION"))
    }

    /// How many watchers have not acknowledged the current generation.
    pub fn outdated(&self) -> Result<u32> {
        ioctl::get_outdated_watchers(self.fd.as_fd())
            .map_err(Error::call("SYSGENID_GET_OUTDATED_WATCHERS"))
    }

    /// Who has not acknowledged the current generation, as far as `/proc` shows it.
    ///
    /// Only root sees the descriptors of other users, and nobody those of processes outside of his
    /// PID namespace, or those that were closed and are still mapped. So these may be fewer than
    /// [`outdated`](Self::outdated) says. A descriptor that processes share is there once for each.
    pub fn outdated_watchers(&self) -> Result<Vec<OutdatedWatcher>> {
        fdinfo::outdated_watchers()
    }

    /// Begins the generation max(minimum, current + 1), as after the restore of a container, and
    /// returns the current one. The kernel's random number generator is not reseeded.
    ///
    /// After a restore, take the generation at the time of the checkpoint, plus 1, for the minimum.
    ///
    /// # Errors
    ///
    /// [`Error::MayNotTrigger`], [`Error::TooHigh`].
    pub fn trigger(&self, minimum: u32) -> Result<u32> {
        ioctl::trigger_gen_update(self.fd.as_fd(), minimum).map_err(|errno| match errno {
            Errno::ACCESS => Error::MayNotTrigger,
            Errno::OVERFLOW => Error::TooHigh,
            errno => Error::call("SYSGENID_TRIGGER_GEN_UPDATE")(errno),
        })?;
        self.current()
    }
}

/// A timeout as the ioctl takes it: not shorter, and 0 for ever.
fn milliseconds(left: Option<Duration>) -> usize {
    match left {
        None => 0,
        Some(left) => usize::try_from(left.as_nanos().div_ceil(1_000_000))
            .unwrap_or(usize::MAX)
            .max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_left_is_not_for_ever() {
        assert_eq!(milliseconds(None), 0);
        assert_eq!(milliseconds(Some(Duration::ZERO)), 1);
        assert_eq!(milliseconds(Some(Duration::from_nanos(1))), 1);
        assert_eq!(milliseconds(Some(Duration::from_millis(1))), 1);
        assert_eq!(milliseconds(Some(Duration::from_micros(1001))), 2);
        assert_eq!(milliseconds(Some(Duration::MAX)), usize::MAX);
    }
}
