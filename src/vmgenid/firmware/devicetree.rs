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

/// What is wrong with a node.
enum BadNode {
    /// It has no memory, or none that a processor can reach.
    NoMemory,
    /// The memory is not large enough for an ID.
    TooSmall(u64),
    Address(BadAddress),
    /// It has no interrupt, or none that there can be.
    NoInterrupt(Error),
}

impl fmt::Display for BadNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory => write!(f, "reg is missing"),
            Self::TooSmall(size) => write!(f, "reg has less than 16 bytes: {size}"),
            Self::Address(bad) => {
                f.write_str("reg ")?;
                fmt::Display::fmt(bad, f)
            }
            Self::NoInterrupt(err) => write!(f, "there is no interrupt: {err:?}"),
        }
    }
}

/// What the device tree says about a device. May sleep.
pub(super) fn look_at(dev: &Device) -> Result<Firmware> {
    let bad = match hwid_address(dev) {
        Ok(paddr) => match platform::interrupt(dev) {
            Ok(irq) => {
                let signal = Signal::Interrupt(irq);
                return Ok(Firmware { paddr, signal });
            }
            // Its controller has no driver yet.
            Err(err) if err == EPROBE_DEFER => return Err(err),
            Err(err) => BadNode::NoInterrupt(err),
        },
        Err(bad) => bad,
    };

    pr_err!("{}: {bad}\n", dev.name());
    Err(ENODEV)
}

/// The physical address of the ID, at the beginning of memory that may be larger.
fn hwid_address(dev: &Device) -> Result<u64, BadNode> {
    let memory = platform::memory(dev).ok_or(BadNode::NoMemory)?;

    if memory.size < size_of::<HwIdBytes>() as u64 {
        return Err(BadNode::TooSmall(memory.size));
    }
    checked(memory.start).map_err(BadNode::Address)
}
