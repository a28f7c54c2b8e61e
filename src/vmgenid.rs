// SPDX-License-Identifier: GPL-2.0

//! VM generation ID: the source of the system generation in virtual machines.
//!
//! The hypervisor keeps sixteen bytes in guest memory, the hardware ID, and tells where by the ACPI
//! object `ADDR` of a device with the compatible ID `VM_Gen_Counter`. It writes another ID there
//! before it lets a restored or cloned machine run, and notifies the device afterwards.
//!
//! The comparison of the ID with the last one processed, and what follows from it, are the
//! counter's (`generation.rs`); this driver finds the ID and reseeds the RNG. It leaves out
//! the device tree binding that Linux's own driver has as well.

use kernel::{
    acpi as acpi_ids,
    device::{
        Core,
        Device, //
    },
    platform,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

mod firmware;

#[path = "../rust/acpi.rs"]
mod acpi;
#[path = "../rust/bindings.rs"]
mod bindings;
#[path = "../rust/compat.rs"]
mod compat;
#[path = "../rust/rng.rs"]
mod rng;
#[path = "../rust/source_registration.rs"]
mod source_registration;

use acpi::{
    Handle,
    Notify,
    NotifyHandler, //
};
use compat::acpi_device_table;
use rng::Reseeder;
use source_registration::{
    HwIdBytes,
    Source,
    SourceRegistration, //
};

/// The RNG's side of a change of the ID.
struct Rng {
    dev: ARef<Device>,
    reseeder: Reseeder,
}

impl Source for Rng {
    fn mix(&self, hwid: &HwIdBytes) {
        rng::mix(hwid);
    }

    fn reseed(&self, hwid: &HwIdBytes) {
        match self.reseeder.reseed(hwid) {
            Ok(()) => dev_info!(self.dev, "hardware ID changed, crng reseeded\n"),
            Err(err) => dev_err!(
                self.dev,
                "hardware ID changed, but the crng was not reseeded: {err:?}\n"
            ),
        }
    }
}

impl Notify for SourceRegistration<Rng> {
    fn notify(&self) {
        SourceRegistration::notify(self);
    }
}

/// A bound VMGENID device.
struct VmGenId {
    _handler: NotifyHandler<SourceRegistration<Rng>>,
}

impl VmGenId {
    fn attach(dev: &Device) -> Result<Self> {
        let handle = Handle::of(dev).ok_or(ENODEV)?;
        let paddr = firmware::hwid_address(handle).map_err(|bad| {
            dev_err!(dev, "ADDR {bad}\n");
            ENODEV
        })?;
        let reseeder = Reseeder::new().inspect_err(|err| {
            dev_err!(dev, "cannot open the random device: {err:?}\n");
        })?;

        let rng = Rng {
            dev: dev.into(),
            reseeder,
        };
        let source =
            Arc::pin_init(SourceRegistration::new(paddr, rng), GFP_KERNEL).inspect_err(|err| {
                dev_err!(dev, "cannot follow the ID at {paddr:#x}: {err:?}\n");
            })?;
        let handler = NotifyHandler::install(handle, source).map_err(|status| {
            dev_err!(
                dev,
                "cannot handle notifications (ACPI status {status:#x})\n"
            );
            ENODEV
        })?;

        dev_info!(dev, "hardware ID at {paddr:#x}\n");
        Ok(Self { _handler: handler })
    }
}

acpi_device_table!(
    ACPI_TABLE,
    MODULE_ACPI_TABLE,
    <VmGenId as platform::Driver>::IdInfo,
    [
        (acpi_ids::DeviceId::new(c"VM_GEN_COUNTER"), ()),
        (acpi_ids::DeviceId::new(c"VMGENCTR"), ()),
    ]
);

impl platform::Driver for VmGenId {
    type IdInfo = ();
    type Data<'bound> = Self;
    const ACPI_ID_TABLE: Option<acpi_ids::IdTable<Self::IdInfo>> = Some(&ACPI_TABLE);

    fn probe<'bound>(
        pdev: &'bound platform::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self, Error> + 'bound {
        Self::attach(pdev.as_ref())
    }
}

kernel::module_platform_driver! {
    type: VmGenId,
    name: "sysgenid_vmgenid",
    authors: ["The sysgenid maintainers"],
    description: "VM generation ID as source of the system generation",
    license: "GPL v2",
}
