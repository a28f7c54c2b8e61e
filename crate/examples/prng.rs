// SPDX-License-Identifier: MIT OR Apache-2.0

//! Prints ten random numbers in a second, of a generator that is seeded anew in each clone.
//!
//! ```text
//! cargo run --example prng
//! ```

use rand::{
    rngs::StdRng,
    Rng,
    SeedableRng, //
};
use std::{
    error::Error,
    thread,
    time::Duration, //
};
use sysgenid::{
    Generation,
    Unique, //
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut rng = Unique::new(Generation::open()?, || Ok(StdRng::from_os_rng()))?;

    loop {
        let number: u64 = rng.with(|rng| rng.random())?;
        println!("{number:016x}");
        thread::sleep(Duration::from_millis(100));
    }
}
