// SPDX-License-Identifier: MIT OR Apache-2.0

//! The time that a wait may take, and a line about it on a terminal.

use crate::Result;
use std::{
    io::{
        self,
        IsTerminal,
        Write, //
    },
    time::{
        Duration,
        Instant, //
    },
};

/// How often the line is written.
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Progress {
    start: Instant,
    timeout: Option<Duration>,
    is_terminal: bool,
    is_shown: bool,
}

impl Progress {
    pub(crate) fn new(timeout: Option<Duration>) -> Self {
        Self {
            start: Instant::now(),
            timeout,
            is_terminal: io::stderr().is_terminal(),
            is_shown: false,
        }
    }

    /// How long to wait before the next line, or until the end. Without a terminal there is no
    /// reason to wake up before that.
    pub(crate) fn step(&self) -> Option<Duration> {
        let left = self
            .timeout
            .map(|timeout| timeout.saturating_sub(self.start.elapsed()));

        if self.is_terminal {
            Some(left.unwrap_or(INTERVAL).min(INTERVAL))
        } else {
            left
        }
    }

    /// Whether the time is over.
    pub(crate) fn is_over(&self) -> bool {
        self.timeout
            .is_some_and(|timeout| self.start.elapsed() >= timeout)
    }

    /// Shows what is waited for, and for how long it has been.
    pub(crate) fn show(&mut self, what: impl FnOnce() -> Result<String>) -> Result {
        if self.is_terminal {
            let what = what()?;
            let seconds = self.start.elapsed().as_secs();
            let limit = match self.timeout {
                Some(timeout) => format!(" of {}", timeout.as_secs_f64()),
                None => String::new(),
            };

            // To the start of the line, and what was there before is cleared.
            let _ = write!(io::stderr(), "\r\x1b[K{what}, {seconds}{limit} s");
            self.is_shown = true;
        }
        Ok(())
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
            self.is_shown = false;
        }
    }
}
