// SPDX-License-Identifier: MIT OR Apache-2.0

//! A service with an event loop. It shows its name every 100 ms, and takes another one in each
//! generation.
//!
//! ```text
//! cargo run --features tokio --example async_watcher
//! ```

use rand::{
    rngs::OsRng,
    TryRngCore, //
};
use std::{
    error::Error,
    time::Duration, //
};
use sysgenid::AsyncWatcher;
use tokio::time;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut watcher = AsyncWatcher::open()?;
    let mut name = OsRng.try_next_u64()?;
    let mut ticks = time::interval(Duration::from_millis(100));

    loop {
        tokio::select! {
            // A clone first, so that no answer has a name from before it.
            biased;
            generation = watcher.wait() => {
                name = OsRng.try_next_u64()?;
                // If a newer one has begun, wait() returns at once.
                let _ = watcher.acknowledge(generation?)?;
            }
            _ = ticks.tick() => println!("I am {name:016x}"),
        }
    }
}
