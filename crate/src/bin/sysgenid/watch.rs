// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sysgenid watch`: makes a watcher of a command that knows nothing of the device.

use crate::{
    complain,
    exit::{
        Failure,
        NOT_EXECUTABLE,
        NOT_FOUND, //
    },
    Result,
};
use std::{
    convert::Infallible,
    env,
    ffi::{
        OsStr,
        OsString, //
    },
    os::unix::{
        ffi::OsStrExt,
        fs::PermissionsExt, //
    },
    path::{
        Path,
        PathBuf, //
    },
    process::Command,
    time::Duration,
};
use sysgenid::{
    Acknowledgment,
    Device,
    Observer,
    Watcher, //
};

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Runs the command in each new generation. Returns only if the device fails.
pub(crate) fn watch(device: &Device, now: bool, no_retry: bool, command: &[OsString]) -> Result {
    let Some((name, arguments)) = command.split_first() else {
        return Err(Failure::new(NOT_FOUND, "no command"));
    };
    // Now, and not only in the first clone.
    find(name)?;

    let mut watch = Watch {
        // In this order: what the watcher will have to acknowledge is new to the observer.
        observer: device.observer()?,
        watcher: device.watcher()?,
        no_retry,
        name,
        arguments,
    };

    if now {
        let generation = watch.observer.current()?;
        watch.run_until_success(generation)?;
    }
    match watch.run()? {}
}

struct Watch<'a> {
    observer: Observer,
    watcher: Watcher,
    no_retry: bool,
    name: &'a OsStr,
    arguments: &'a [OsString],
}

impl Watch<'_> {
    fn run(&mut self) -> Result<Infallible> {
        loop {
            let generation = self.watcher.wait()?;
            self.run_until_success(generation)?;
        }
    }

    /// Runs the command in this generation, or in a newer one if it fails, and acknowledges.
    ///
    /// While the command fails, the watcher is outdated. It does not end, as control planes do not
    /// wait for a watcher that is gone.
    fn run_until_success(&mut self, mut generation: u32) -> Result {
        let mut delay = FIRST_DELAY;

        loop {
            let Err(reason) = self.run_once(generation) else {
                // If there is a newer one, the watcher hears of it at once.
                return match self.watcher.acknowledge(generation)? {
                    Acknowledgment::Accepted | Acknowledgment::Superseded => Ok(()),
                };
            };
            let name = Path::new(self.name).display();
            let (timeout, next) = if self.no_retry {
                (None, "in the next generation".into())
            } else {
                (Some(delay), format!("in {} s", delay.as_secs()))
            };

            complain(&format_args!(
                "{name}: {reason}. Generation {generation} is not acknowledged, so control planes \
                 wait. {name} runs again {next}"
            ));
            match self.observer.wait_since(generation, timeout)? {
                Some(newer) => {
                    generation = newer;
                    delay = FIRST_DELAY;
                }
                None => delay = (2 * delay).min(LONGEST_DELAY),
            }
        }
    }

    fn run_once(&self, generation: u32) -> Result<(), String> {
        let status = Command::new(self.name)
            .args(self.arguments)
            .env("SYSGENID_GENERATION", generation.to_string())
            .status()
            .map_err(|error| error.to_string())?;

        if status.success() {
            Ok(())
        } else {
            Err(status.to_string())
        }
    }
}

/// Finds a command as `execvp()` does.
fn find(name: &OsStr) -> Result<PathBuf> {
    let failure = |status, why| {
        let name = Path::new(name).display();
        Failure::new(status, format!("{name}: {why}"))
    };
    let mut reason = failure(NOT_FOUND, "there is no such command");

    let paths: Vec<PathBuf> = if name.as_bytes().contains(&b'/') {
        vec![name.into()]
    } else {
        let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
        env::split_paths(&path)
            .map(|folder| folder.join(name))
            .collect()
    };
    for path in paths {
        match is_executable(&path) {
            Some(true) => return Ok(path),
            Some(false) => reason = failure(NOT_EXECUTABLE, "this is not executable"),
            None => {}
        }
    }
    Err(reason)
}

/// `None` if there is no such file.
fn is_executable(path: &Path) -> Option<bool> {
    let metadata = path.metadata().ok()?;

    Some(metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_as_in_a_shell() {
        let status = |name: &str| find(OsStr::new(name)).map_err(|failure| failure.exit_code());
        let code = |status: u8| Err(std::process::ExitCode::from(status));

        assert!(status("sh").is_ok_and(|path| path.ends_with("sh")));
        assert_eq!(status("/bin/sh"), Ok("/bin/sh".into()));
        assert_eq!(status("/no/such/command"), code(NOT_FOUND));
        assert_eq!(status("no-such-command"), code(NOT_FOUND));
        assert_eq!(status("/etc/passwd"), code(NOT_EXECUTABLE));
        assert_eq!(status("/tmp/"), code(NOT_EXECUTABLE));
    }
}
