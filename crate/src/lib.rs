// SPDX-License-Identifier: MIT OR Apache-2.0

//! Know when the system was cloned.
//!
//! A virtual machine that is restored twice from one snapshot becomes two machines with one memory:
//! the same states of random number generators, the same keys, the same names. The Linux driver
//! *sysgenid* counts such restores. Its device `/dev/sysgenid` is a counter, the **generation**,
//! that changes in each **clone**. This crate is for programs that use it.
//!
//! | a program that | uses |
//! |---|---|
//! | has a value that must not be in two clones | [`Unique`] |
//! | is a library, and asks at each use | [`Generation`] |
//! | is a service, and renews what it has in each generation | [`Watcher`], `AsyncWatcher` |
//! | waits for a generation, and only looks | [`Observer`] |
//! | lets work in when all watchers have reacted | [`ControlPlane`] |
//! | shows how things stand | [`Status`] |
//! | is a test | [`Simulation`] |
//!
//! ```no_run
//! use rand::{rngs::StdRng, Rng, SeedableRng};
//! use sysgenid::{Generation, Unique};
//!
//! # fn main() -> sysgenid::Result<()> {
//! let mut rng = Unique::new(Generation::open()?, || Ok(StdRng::from_os_rng()))?;
//! let number: u64 = rng.with(|rng| rng.random())?;
//! # Ok(())
//! # }
//! ```
//!
//! # Without the device
//!
//! Where the module is not loaded, or the device is not passed into a container, opening fails with
//! [`Error::NoDevice`]. Then nobody tells of clones, and nothing here pretends otherwise. A program
//! decides: it does not start, or it takes [`Unique::renewed_at_each_use`], which asks the kernel
//! for each value. [`Device`] names another path than `/dev/sysgenid`, so that a test can see what
//! the program does without it. [`Simulation`] has clones without a device.
//!
//! Where the device is there, but nobody tells it of clones, everything works, and the generation
//! changes only by [`ControlPlane::trigger`]. [`Status::source`] says so.
//!
//! # Features
//!
//! - `tokio`: `AsyncWatcher`.
//! - `command`: builds the program `sysgenid`, which is for shell scripts and administrators. It
//!   adds nothing to the library.
//!
//! # Unsafe code
//!
//! Ioctls, the mapped pages as atomics, and the descriptor in tokio's reactor are in one module.
//! All others forbid unsafe code. The comparison of the pages is tried with
//! [loom](https://docs.rs/loom) in all the orders in which its loads and the kernel's stores can
//! take effect.

#![deny(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("sysgenid is a driver of Linux");

mod abi;
mod check;
mod control_plane;
mod device;
mod error;
mod fdinfo;
mod generation;
mod simulation;
mod status;
mod sys;
#[cfg(feature = "tokio")]
mod tokio;
mod unique;
mod watcher;

#[cfg(feature = "tokio")]
pub use crate::tokio::AsyncWatcher;
pub use crate::{
    check::State,
    control_plane::ControlPlane,
    device::Device,
    error::{
        BoxError,
        Error,
        Result, //
    },
    fdinfo::OutdatedWatcher,
    generation::Generation,
    simulation::Simulation,
    status::{
        Mode,
        Status, //
    },
    unique::Unique,
    watcher::{
        Acknowledgment,
        Observer,
        Watcher, //
    },
};
