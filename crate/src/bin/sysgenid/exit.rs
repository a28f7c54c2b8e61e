// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the command ends with when it fails: a message, and an exit status by which a script tells
//! the cases apart. Arguments that are wrong end it with status 2 before anything of this.

use std::{
    fmt,
    process::ExitCode, //
};
use sysgenid::Error;

/// A system call or the output failed.
pub(crate) const FAILURE: u8 = 1;
/// There is no device.
pub(crate) const NO_DEVICE: u8 = 3;
/// This user may not do that.
pub(crate) const NOT_PERMITTED: u8 = 4;
/// The time is over.
pub(crate) const TIME_IS_OVER: u8 = 5;
/// The command of `watch` cannot be executed, as in shells.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// The command of `watch` is not there, as in shells.
pub(crate) const NOT_FOUND: u8 = 127;

#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    pub(crate) fn new(status: u8, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        self.status.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::NoDevice { .. } | Error::NotSysgenid { .. } => NO_DEVICE,
            Error::NotPermitted { .. } | Error::MayNotTrigger => NOT_PERMITTED,
            Error::Unsettled { .. } => TIME_IS_OVER,
            _ => FAILURE,
        };

        Self::new(status, error.to_string())
    }
}

/// "1 watcher", "2 watchers"
pub(crate) fn watchers(number: u32) -> String {
    format!("{number} watcher{}", if number == 1 { "" } else { "s" })
}
