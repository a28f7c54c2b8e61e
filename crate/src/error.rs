// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can go wrong, and what to do about it.

#![forbid(unsafe_code)]

use rustix::io::Errno;
use std::{
    io,
    path::PathBuf, //
};

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of any kind, as [`Unique`](crate::Unique) takes it from the function that makes its
/// values.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device is not there: the module is not loaded, or the container or the root directory
    /// does not show the device.
    #[error(
        "no {}: is the module loaded? Try \"modprobe sysgenid_vmgenid\" as root. \
         In a container, pass the device in",
        .path.display()
    )]
    NoDevice {
        /// Where it was looked for.
        path: PathBuf,
    },

    /// The user, the sandbox or the container may not open the device.
    #[error(
        "{} may not be opened{}",
        .path.display(),
        if *.for_writing {
            " for writing, as a watcher does: be root, or let a udev rule give the device to a \
             group, see sysgenid(4)"
        } else {
            ": look at its mode, and at what the sandbox or the container allows"
        }
    )]
    NotPermitted {
        /// The device.
        path: PathBuf,
        /// Whether it was to be opened for writing, which watchers alone have to do.
        for_writing: bool,
    },

    /// There is a file of that name, but it is not the device.
    #[error(
        "{} does not answer as sysgenid does: is it another file, or of another driver?",
        .path.display()
    )]
    NotSysgenid {
        /// What was opened.
        path: PathBuf,
    },

    /// [`ControlPlane::settle`](crate::ControlPlane::settle): the time is over.
    #[error("the generation is not acknowledged by all watchers: {outdated} outdated")]
    Unsettled {
        /// How many watchers were still outdated.
        outdated: u32,
    },

    /// [`ControlPlane::trigger`](crate::ControlPlane::trigger): the caller has no capability.
    #[error(
        "a new generation needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the initial user \
         namespace: call this as root, outside of the container"
    )]
    MayNotTrigger,

    /// [`ControlPlane::trigger`](crate::ControlPlane::trigger): the generation would be too high.
    #[error(
        "the generation stays: software may move it up to 2147483647, what is above is for \
         hardware. Take a smaller minimum"
    )]
    TooHigh,

    /// The function that makes the values of a [`Unique`](crate::Unique) has failed.
    #[error("the value for this generation cannot be made: {0}")]
    Renewal(#[source] BoxError),

    /// A file of `/sys` or `/proc` cannot be read.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// A system call has failed in a way that has no name here.
    #[error("{call}: {source}")]
    Call {
        /// The call.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Whether the reason is that there is no device, so that nobody will tell of clones here.
    ///
    /// A program that works on without it has to say how; see
    /// [`Unique::renewed_at_each_use`](crate::Unique::renewed_at_each_use).
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::NoDevice { .. })
    }

    pub(crate) fn call(call: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Call {
            call,
            source: errno.into(),
        }
    }
}
