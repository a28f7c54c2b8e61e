// SPDX-License-Identifier: MIT OR Apache-2.0

//! A service that takes another name in each generation. Control planes wait until it has done so.
//!
//! ```text
//! cargo run --example watcher
//! ```

use rand::{
    rngs::OsRng,
    TryRngCore, //
};
use std::error::Error;
use sysgenid::{
    Acknowledgment,
    Watcher, //
};

fn renew() -> Result<(), Box<dyn Error>> {
    println!("I am {:016x}", OsRng.try_next_u64()?);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut watcher = Watcher::open()?;

    renew()?;
    loop {
        let generation = watcher.wait()?;
        renew()?;
        match watcher.acknowledge(generation)? {
            Acknowledgment::Accepted => println!("acknowledged generation {generation}"),
            Acknowledgment::Superseded => println!("there is a newer one than {generation}"),
        }
    }
}
