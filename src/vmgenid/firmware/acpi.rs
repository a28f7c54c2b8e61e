// SPDX-License-Identifier: GPL-2.0

//! The device as ACPI describes it.
//!
//! Specification: "Virtual Machine Generation ID", Microsoft 2012; QEMU `docs/specs/vmgenid.rst`.

use super::{
    checked,
    BadAddress,
    Firmware,
    Signal, //
};
use crate::acpi::{
    Handle,
    Object, //
};
use kernel::{
    device::Device,
    fmt,
    prelude::*, //
};

/// What is wrong with `ADDR`.
enum BadAddr {
    /// The object is not there, or its evaluation has failed with this ACPI status.
    Missing(u32),
    /// It is something else than a package of two integers.
    NotTwoIntegers,
    /// One of the halves has more than 32 bits.
    HalfTooLarge,
    Address(BadAddress),
}

impl fmt::Display for BadAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(status) => write!(f, "cannot be evaluated (ACPI status {status:#x})"),
            Self::NotTwoIntegers => write!(f, "is not a package of two integers"),
            Self::HalfTooLarge => write!(f, "has a half of more than 32 bits"),
            Self::Address(bad) => fmt::Display::fmt(bad, f),
        }
    }
}

/// What ACPI says about a device. May sleep.
pub(super) fn look_at(dev: &Device) -> Result<Firmware> {
    let handle = Handle::of(dev).ok_or(ENODEV)?;
    let paddr = hwid_address(handle).map_err(|bad| {
        pr_err!("{}: ADDR {bad}\n", dev.name());
        ENODEV
    })?;

    Ok(Firmware {
        paddr,
        signal: Signal::Notification(handle),
    })
}

/// The physical address of the ID: `ADDR` is a package of its low and its high 32 bits.
fn hwid_address(handle: Handle) -> Result<u64, BadAddr> {
    let value = handle.evaluate(c"ADDR").map_err(BadAddr::Missing)?;
    let halves = value.object().and_then(Object::package);

    let mut halves = halves
        .filter(|halves| halves.len() == 2)
        .ok_or(BadAddr::NotTwoIntegers)?
        .map(|half| {
            let half = half.integer().ok_or(BadAddr::NotTwoIntegers)?;
            u32::try_from(half).map_err(|_| BadAddr::HalfTooLarge)
        });
    let mut half = || halves.next().unwrap_or(Err(BadAddr::NotTwoIntegers));
    let (low, high) = (half()?, half()?);

    checked(u64::from(high) << 32 | u64::from(low)).map_err(BadAddr::Address)
}
