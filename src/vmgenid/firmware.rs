// SPDX-License-Identifier: GPL-2.0

//! What firmware says about the VMGENID device, by ACPI or by the device tree, and whether it can
//! be believed.

#[cfg(CONFIG_ACPI)]
#[path = "firmware/acpi.rs"]
mod acpi;
#[path = "firmware/devicetree.rs"]
mod devicetree;

#[cfg(CONFIG_ACPI)]
use crate::acpi::Handle;
use crate::{
    platform,
    source_registration::HwIdBytes, //
};
use kernel::{
    device::Device,
    fmt,
    page::PAGE_SIZE,
    prelude::*, //
};

/// What firmware says about a device.
pub(crate) struct Firmware {
    /// The physical address of the ID.
    pub(crate) paddr: u64,
    pub(crate) signal: Signal,
}

/// How firmware tells of a change.
pub(crate) enum Signal {
    /// By notifying this node, as one of many reasons for an interrupt of the platform's.
    #[cfg(CONFIG_ACPI)]
    Notification(Handle),
    /// By an interrupt of the device's own.
    Interrupt(u32),
}

impl Firmware {
    /// What firmware says about a device. If it is of no use, one message says why. May sleep.
    ///
    /// `EPROBE_DEFER` if that cannot be told yet, of which there is no message.
    pub(crate) fn of(dev: &Device) -> Result<Self> {
        if platform::is_in_devicetree(dev) {
            return devicetree::look_at(dev);
        }
        #[cfg(CONFIG_ACPI)]
        let found = acpi::look_at(dev);
        #[cfg(not(CONFIG_ACPI))]
        let found = Err(ENODEV);

        found
    }
}

/// Why an address is none that an ID can have.
enum BadAddress {
    Zero,
    /// The address is not a multiple of 8.
    Misaligned(u64),
    /// The ID does not lie within one page.
    CrossesPage(u64),
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => write!(f, "is address 0"),
            Self::Misaligned(addr) => write!(f, "is not 8-byte aligned: {addr:#x}"),
            Self::CrossesPage(addr) => write!(f, "crosses a page: {addr:#x}"),
        }
    }
}

/// The address, if an ID can have it.
fn checked(addr: u64) -> Result<u64, BadAddress> {
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

#[kunit_tests(sysgenid_firmware)]
mod tests {
    use super::*;

    const PAGE: u64 = PAGE_SIZE as u64;

    #[test]
    fn an_id_lies_within_a_page() {
        assert!(matches!(checked(PAGE), Ok(PAGE)));
        assert!(matches!(checked(2 * PAGE - 16), Ok(_)));
        assert!(matches!(
            checked(2 * PAGE - 8),
            Err(BadAddress::CrossesPage(_))
        ));
        assert!(matches!(
            checked(u64::MAX - 7),
            Err(BadAddress::CrossesPage(_))
        ));
    }

    #[test]
    fn an_id_is_aligned() {
        assert!(matches!(checked(8), Ok(8)));
        for offset in 1..8 {
            assert!(matches!(
                checked(PAGE + offset),
                Err(BadAddress::Misaligned(_))
            ));
        }
        // Of what is wrong twice, this is said.
        assert!(matches!(
            checked(2 * PAGE - 1),
            Err(BadAddress::Misaligned(_))
        ));
    }

    #[test]
    fn an_id_is_not_at_address_0() {
        assert!(matches!(checked(0), Err(BadAddress::Zero)));
    }
}
