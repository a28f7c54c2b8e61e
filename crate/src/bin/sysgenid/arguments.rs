// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can be asked for on the command line.

use clap::Parser;
use clap_complete::Shell;
use std::{
    ffi::OsString,
    path::PathBuf,
    time::Duration, //
};

const EXIT_STATUS: &str = "\
Exit status:
  0    it is done
  1    a system call or the output failed
  2    the command line is wrong
  3    there is no device
  4    this user may not do that
  5    the time is over
  126  watch: COMMAND cannot be executed
  127  watch: there is no COMMAND

sysgenid(1) says more.";

/// Tells scripts and administrators when the system was cloned
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_STATUS)]
pub(crate) struct Arguments {
    /// The device
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "SYSGENID_DEVICE",
        default_value = "/dev/sysgenid"
    )]
    pub(crate) device: PathBuf,

    #[command(subcommand)]
    pub(crate) subcommand: Subcommand,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Shows the generation, where clones are noticed, and the watchers
    Status {
        /// As one line of JSON
        #[arg(long)]
        json: bool,
    },

    /// Prints the current generation
    Get,

    /// Waits for another generation, and prints it
    Wait {
        /// Another one than this, instead of the current one
        #[arg(long, value_name = "GENERATION")]
        since: Option<u32>,

        /// For at most this time: seconds, or as in 500ms, 2min
        #[arg(long, value_name = "TIME", value_parser = duration)]
        timeout: Option<Duration>,
    },

    /// Waits until all watchers have acknowledged the generation; says who has not
    Settle {
        /// For at most this time: seconds, or as in 500ms, 2min
        #[arg(long, value_name = "TIME", value_parser = duration)]
        timeout: Option<Duration>,
    },

    /// Begins another generation, as after the restore of a container, and prints it
    Trigger {
        /// At least this one
        #[arg(
            long,
            value_name = "GENERATION",
            default_value_t = 0,
            hide_default_value = true
        )]
        min: u32,
    },

    /// Runs a command in each new generation, and acknowledges when it has succeeded
    ///
    /// SYSGENID_GENERATION in its environment is the generation. Control planes wait until the
    /// command has exited with status 0. If it fails, it runs again after one second, then two, and
    /// so on up to 30, and at once in a newer generation.
    Watch {
        /// Runs the command at the beginning as well
        #[arg(long)]
        now: bool,

        /// After a failure, runs the command in a newer generation only
        #[arg(long)]
        no_retry: bool,

        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<OsString>,
    },

    /// Prints a script that completes the arguments of this command in a shell
    Completion {
        /// For which shell
        shell: Shell,
    },
}

/// A number of seconds, as timeout(1) takes it, or a number with a unit.
fn duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_time_is_in_seconds_or_says_so() {
        let ms = Duration::from_millis;

        assert_eq!(duration("5"), Ok(ms(5000)));
        assert_eq!(duration("0"), Ok(ms(0)));
        assert_eq!(duration("0.25"), Ok(ms(250)));
        assert_eq!(duration("500ms"), Ok(ms(500)));
        assert_eq!(duration("1min 30s"), Ok(ms(90_000)));
        for wrong in ["", "-1", "soon", "5 apples", "nan", "inf", "1e300"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_of_watch_keeps_its_own_options() {
        for line in [
            &["sysgenid", "watch", "--", "ls", "-l", "--now"][..],
            &["sysgenid", "watch", "ls", "-l", "--now"],
        ] {
            let parsed = Arguments::try_parse_from(line).expect("it is right");
            let Subcommand::Watch { now, command, .. } = parsed.subcommand else {
                panic!("{parsed:?}");
            };
            assert!(!now);
            assert_eq!(command, ["ls", "-l", "--now"]);
        }
        assert!(Arguments::try_parse_from(["sysgenid", "watch"]).is_err());
    }
}
