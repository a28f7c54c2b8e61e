// SPDX-License-Identifier: MIT OR Apache-2.0

//! A control plane: it runs first after a restore, before work reaches the machine, and succeeds as
//! soon as all watchers have acknowledged.
//!
//! ```text
//! cargo run --example control_plane
//! ```

use std::{
    process::ExitCode,
    time::Duration, //
};
use sysgenid::{
    ControlPlane,
    Error,
    Result, //
};

fn main() -> Result<ExitCode> {
    let mut control_plane = ControlPlane::open()?;

    match control_plane.settle(Some(Duration::from_secs(5))) {
        Ok(()) => {
            println!("all watchers have adjusted");
            Ok(ExitCode::SUCCESS)
        }
        Err(Error::Unsettled { .. }) => {
            for watcher in control_plane.outdated_watchers()? {
                println!("still waiting for {watcher}");
            }
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error),
    }
}
