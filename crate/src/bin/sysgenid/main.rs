// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `sysgenid`, for shell scripts and administrators. sysgenid(1) describes it.
//!
//! A file for each noun: [`arguments`] what can be asked for, [`exit`] what it ends with,
//! [`progress`] the line on the terminal during a wait, [`watch`] the subcommand that runs another
//! command. The other subcommands are here, each a few lines on the crate.

#![forbid(unsafe_code)]

mod arguments;
mod exit;
mod progress;
mod watch;

use arguments::{
    Arguments,
    Subcommand, //
};
use clap::{
    CommandFactory,
    Parser, //
};
use exit::Failure;
use progress::Progress;
use std::{
    io::{
        self,
        Write, //
    },
    process::ExitCode,
    time::Duration, //
};
use sysgenid::{
    ControlPlane,
    Device,
    Error,
    Status, //
};

type Result<T = (), E = Failure> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let Arguments { device, subcommand } = Arguments::parse();
    let device = Device::at(device);

    let done = match subcommand {
        Subcommand::Status { json } => status(&device, json),
        Subcommand::Get => get(&device),
        Subcommand::Wait { since, timeout } => wait(&device, since, timeout),
        Subcommand::Settle { timeout } => settle(&device, timeout),
        Subcommand::Trigger { min } => trigger(&device, min),
        Subcommand::Watch {
            now,
            no_retry,
            command,
        } => watch::watch(&device, now, no_retry, &command),
        Subcommand::Completion { shell } => completion(shell),
    };

    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            failure.exit_code()
        }
    }
}

/// Writes to the standard output. A reader who has gone is an error, not a panic.
fn say(text: impl AsRef<[u8]>) -> Result {
    let mut output = io::stdout().lock();

    output
        .write_all(text.as_ref())
        .and_then(|()| output.flush())
        .map_err(|error| Failure::new(exit::FAILURE, format!("standard output: {error}")))
}

/// Writes a line to the standard error, which nobody may be listening to.
fn complain(what: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "sysgenid: {what}");
}

fn status(device: &Device, json: bool) -> Result {
    let Status {
        generation,
        source,
        mode,
        watchers,
        outdated_watchers,
        live_id,
        ..
    } = device.status()?;

    if json {
        let status = serde_json::json!({
            "generation": generation,
            "source": source,
            "mode": mode.to_string(),
            "watchers": watchers,
            "outdated_watchers": outdated_watchers,
            "live_id": live_id,
        });
        return say(format!("{status}\n"));
    }

    let source = source.as_deref().unwrap_or("none");
    let checks = if live_id {
        "without a system call"
    } else {
        "by a system call"
    };
    say(format!(
        "generation:        {generation}\n\
         source:            {source}\n\
         mode:              {mode}\n\
         watchers:          {watchers}\n\
         outdated watchers: {outdated_watchers}\n\
         libraries check:   {checks}\n"
    ))
}

fn get(device: &Device) -> Result {
    say(format!("{}\n", device.observer()?.current()?))
}

fn wait(device: &Device, since: Option<u32>, timeout: Option<Duration>) -> Result {
    let mut observer = device.observer()?;
    let known = match since {
        Some(generation) => generation,
        None => observer.current()?,
    };
    let mut progress = Progress::new(timeout);

    loop {
        if let Some(generation) = observer.wait_since(known, progress.step())? {
            progress.clear();
            return say(format!("{generation}\n"));
        }
        if progress.is_over() {
            progress.clear();
            return Err(Failure::new(
                exit::TIME_IS_OVER,
                format!("no generation but {known} in this time"),
            ));
        }
        progress.show(|| Ok(format!("waiting for another generation than {known}")))?;
    }
}

fn settle(device: &Device, timeout: Option<Duration>) -> Result {
    let mut control_plane = device.control_plane()?;
    let mut progress = Progress::new(timeout);

    loop {
        match control_plane.settle(progress.step()) {
            Ok(()) => {
                progress.clear();
                let generation = control_plane.current()?;
                return say(format!(
                    "all watchers have acknowledged generation {generation}\n"
                ));
            }
            Err(Error::Unsettled { outdated }) if progress.is_over() => {
                progress.clear();
                return Err(unsettled(&control_plane, outdated)?);
            }
            Err(Error::Unsettled { .. }) => progress.show(|| {
                let generation = control_plane.current()?;
                let outdated = control_plane.outdated()?;
                Ok(format!(
                    "waiting for {} to acknowledge generation {generation}",
                    exit::watchers(outdated)
                ))
            })?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Who has not acknowledged, to be said at the end.
fn unsettled(control_plane: &ControlPlane, outdated: u32) -> Result<Failure> {
    let generation = control_plane.current()?;
    let watchers = control_plane.outdated_watchers()?;
    let mut message = format!(
        "generation {generation} is not acknowledged by {}",
        exit::watchers(outdated)
    );

    for watcher in &watchers {
        message += &format!("\n  {watcher}");
    }
    if watchers.len() < outdated as usize {
        message += "\n  /proc does not show all of them: root sees those of other users, and the \
                    host those of containers. A watcher that was closed and is still mapped is \
                    nowhere to be seen";
    }
    Ok(Failure::new(exit::TIME_IS_OVER, message))
}

fn trigger(device: &Device, min: u32) -> Result {
    say(format!("{}\n", device.control_plane()?.trigger(min)?))
}

fn completion(shell: clap_complete::Shell) -> Result {
    let mut script = Vec::new();

    clap_complete::generate(shell, &mut Arguments::command(), "sysgenid", &mut script);
    say(script)
}
