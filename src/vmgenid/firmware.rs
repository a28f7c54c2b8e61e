// SPDX-License-Identifier: GPL-2.0

//! What firmware says about the VMGENID device, and whether it can be believed.
//!
//! Specification: "Virtual Machine Generation ID", Microsoft 2012; QEMU `docs/specs/vmgenid.rst`.

use crate::{
    acpi::{
        Handle,
        Object, //
    },
    source_registration::HwIdBytes, //
};
use kernel::{
    fmt,
    page::PAGE_SIZE,
    prelude::*, //
};

/// Why firmware does not give a usable address.
pub(crate) enum BadAddress {
    /// The object is not there, or its evaluation has failed with this ACPI status.
    Missing(u32),
    /// It is something else than a package of two integers.
    NotTwoIntegers,
    /// One of the halves has more than 32 bits.
    HalfTooLarge,
    /// The address is 0.
    Zero,
    /// The address is not a multiple of 8.
    Misaligned(u64),
    /// The ID does not lie within one page.
    CrossesPage(u64),
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(status) => write!(f, "cannot be evaluated (ACPI status {status:#x})"),
            Self::NotTwoIntegers => write!(f, "is not a package of two integers"),
            Self::HalfTooLarge => write!(f, "has a half of more than 32 bits"),
            Self::Zero => write!(f, "is address 0"),
            Self::Misaligned(addr) => write!(f, "is not 8-byte aligned: {addr:#x}"),
            Self::CrossesPage(addr) => write!(f, "crosses a page: {addr:#x}"),
        }
    }
}

/// The physical address of the ID: `ADDR` is a package of its low and its high 32 bits.
pub(crate) fn hwid_address(handle: Handle) -> Result<u64, BadAddress> {
    let value = handle.evaluate(c"ADDR").map_err(BadAddress::Missing)?;
    let halves = value.object().and_then(Object::package);

    let mut halves = halves
        .filter(|halves| halves.len() == 2)
        .ok_or(BadAddress::NotTwoIntegers)?
        .map(|half| {
            let half = half.integer().ok_or(BadAddress::NotTwoIntegers)?;
            u32::try_from(half).map_err(|_| BadAddress::HalfTooLarge)
        });
    let mut half = || halves.next().unwrap_or(Err(BadAddress::NotTwoIntegers));
    let (low, high) = (half()?, half()?);

    let addr = u64::from(high) << 32 | u64::from(low);
    if addr == 0 {
        return Err(BadAddress::Zero);
    }
    if addr % 8 != 0 {
        return Err(BadAddress::Misaligned(addr));
    }
    if addr % PAGE_SIZE as u64 > (PAGE_SIZE - size_of::<HwIdBytes>()) as u64 {
        return Err(BadAddress::CrossesPage(addr));
    }
    Ok(addr)
}
