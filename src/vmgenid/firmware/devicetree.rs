// SPDX-License-Identifier: GPL-2.0

//! The device as the device tree describes it: `reg` is where the ID is, and its interrupt tells of
//! a change.
//!
//! Specification: `Documentation/devicetree/bindings/rng/microsoft,vmgenid.yaml`.

use super::{
    checked,
    BadAddress,
    Firmware,
    Signal, //
};
use crate::{
    platform,
    source_registration::HwIdBytes, //
};
use kernel::{
    device::Device,
    fmt,
    prelude::*, //
};

/// What is wrong with `reg`.
enum BadReg {
    /// It is not there, or nothing that a processor can reach.
    Missing,
    /// It is not large enough for an ID.
    TooSmall(u64),
    Address(BadAddress),
}

impl fmt::Display for BadReg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "is missing"),
            Self::TooSmall(size) => write!(f, "has less than 16 bytes: {size}"),
            Self::Address(bad) => fmt::Display::fmt(bad, f),
        }
    }
}

/// What the device tree says about a device. May sleep.
pub(super) fn look_at(dev: &Device) -> Result<Firmware> {
    let paddr = hwid_address(dev).map_err(|bad| {
        pr_err!("{}: reg {bad}\n", dev.name());
        ENODEV
    })?;
    // `EPROBE_DEFER` says that the line's controller has no driver yet.
    let irq = platform::interrupt(dev).map_err(|err| {
        if err == EPROBE_DEFER {
            return err;
        }
        pr_err!("{}: there is no interrupt: {err:?}\n", dev.name());
        ENODEV
    })?;

    Ok(Firmware {
        paddr,
        signal: Signal::Interrupt(irq),
    })
}

/// The physical address of the ID, at the beginning of memory that may be larger.
fn hwid_address(dev: &Device) -> Result<u64, BadReg> {
    let memory = platform::memory(dev).ok_or(BadReg::Missing)?;

    if memory.size < size_of::<HwIdBytes>() as u64 {
        return Err(BadReg::TooSmall(memory.size));
    }
    checked(memory.start).map_err(BadReg::Address)
}
