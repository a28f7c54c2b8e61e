// SPDX-License-Identifier: GPL-2.0

//! VM generation ID: the source of the system generation in virtual machines.
//!
//! The hypervisor keeps sixteen bytes in guest memory, the hardware ID, and tells where by the ACPI
//! object `ADDR` of a device with the compatible ID `VM_Gen_Counter`. It writes another ID there
//! before it lets a restored or cloned machine run, and notifies the device afterwards.
//!
//! On most distribution kernels a driver of the kernel's own is bound to that device, which reseeds
//! the RNG and does nothing else. This one then observes beside it: it reads the same ID, and hears
//! of a change by the kernel's vmfork notifier. Otherwise it binds the device itself.
//!
//! The comparison of the ID with the last one processed, and what follows from it, are the
//! counter's (`generation.rs`); this driver finds the ID and reseeds the RNG. It leaves out
//! the device tree binding that Linux's own driver has as well.

use core::fmt::Write;
use kernel::{
    acpi as acpi_ids,
    device::{
        Core,
        Device, //
    },
    driver,
    platform as bus,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
    InPlaceModule,
    ModuleMetadata, //
};

#[path = "vmgenid/firmware.rs"]
mod firmware;
#[path = "vmgenid/guid.rs"]
mod guid;
#[path = "vmgenid/lines.rs"]
mod lines;

#[path = "../rust/bindings/bindings.rs"]
mod bindings;
#[path = "../rust/bindings/compat.rs"]
mod compat;

#[path = "../rust/kernel/acpi.rs"]
mod acpi;
#[path = "../rust/kernel/cross_call.rs"]
mod cross_call;
#[path = "../rust/kernel/device_attributes.rs"]
mod device_attributes;
#[path = "../rust/kernel/interrupt_line.rs"]
mod interrupt_line;
#[path = "../rust/kernel/notify.rs"]
mod notify;
#[path = "../rust/kernel/platform.rs"]
mod platform;
#[path = "../rust/kernel/rng.rs"]
mod rng;
#[path = "../rust/kernel/sysfs.rs"]
mod sysfs;
#[path = "../rust/kernel/vmfork.rs"]
mod vmfork;

#[path = "../rust/sysgenid/source_registration.rs"]
mod source_registration;

use acpi::{
    Handle,
    NotifyHandler, //
};
use compat::acpi_device_table;
use device_attributes::DeviceAttributes;
use guid::Guid;
use lines::Lines;
use notify::Notify;
use platform::bound_to_another;
use rng::Reseeder;
use source_registration::{
    HwIdBytes,
    Source,
    SourceRegistration, //
};
use sysfs::{
    AttributeGroup,
    AttributeInfo, //
};
use vmfork::VmForkNotifier;

/// The RNG's side of a change of the ID.
struct Rng {
    dev: ARef<Device>,
    reseeder: Reseeder,
    /// Whether the device is this driver's own, which then is the one to tell the RNG's
    /// subscribers.
    is_own: bool,
}

impl Source for Rng {
    fn name(&self) -> &CStr {
        self.dev.name()
    }

    fn mix(&self, hwid: &HwIdBytes) {
        rng::mix(hwid);
    }

    fn reseed(&self, hwid: &HwIdBytes) -> Result {
        self.reseeder.reseed(hwid)
    }

    fn report(&self, hwid: &HwIdBytes, reseeded: Result) {
        let name = self.name();

        if self.is_own {
            // Whether anybody could be told does not matter here.
            let _ = rng::announce_fork(hwid);
        }
        match reseeded {
            Ok(()) => pr_info!("{name}: hardware ID changed, crng reseeded\n"),
            Err(ENODATA) => pr_info!("{name}: hardware ID changed, crng not seeded yet\n"),
            Err(err) => {
                pr_err!("{name}: hardware ID changed, but the crng was not reseeded: {err:?}\n");
            }
        }
    }
}

type VmGenIdSource = SourceRegistration<Rng>;

impl Notify for VmGenIdSource {
    fn notify(&self) {
        SourceRegistration::notify(self);
    }
}

const ATTRIBUTES: &[AttributeInfo<VmGenIdSource>] = &[
    AttributeInfo {
        name: c"guid",
        mode: 0o444,
        show: |source, f| writeln!(f, "{}", Guid(source.hwid())),
    },
    AttributeInfo {
        name: c"paddr",
        mode: 0o400,
        show: |source, f| writeln!(f, "{:#x}", source.paddr()),
    },
];

/// A device whose ID is the source of the counter.
struct Attached {
    _lines: Lines,
    _attributes: DeviceAttributes<VmGenIdSource>,
    source: Arc<VmGenIdSource>,
}

/// Makes the ID of a device the source of the counter, not yet notified of anything.
///
/// The messages name the device themselves, as its driver may be another one. `is_own`: whether it
/// is this one.
fn attach(dev: &Device, handle: Handle, is_own: bool) -> Result<Attached> {
    let name = dev.name();
    let paddr = firmware::hwid_address(handle).map_err(|bad| {
        pr_err!("{name}: ADDR {bad}\n");
        ENODEV
    })?;
    let reseeder = Reseeder::new().inspect_err(|err| {
        pr_err!("{name}: cannot open the random device: {err:?}\n");
    })?;

    let rng = Rng {
        dev: dev.into(),
        reseeder,
        is_own,
    };
    let source =
        Arc::pin_init(SourceRegistration::new(paddr, rng), GFP_KERNEL).inspect_err(|err| {
            pr_err!("{name}: cannot follow the hardware ID at {paddr:#x}: {err:?}\n");
        })?;

    let attributes = AttributeGroup::new(&source, ATTRIBUTES)
        .and_then(|group| DeviceAttributes::new(dev, group))
        .inspect_err(|err| pr_err!("{name}: cannot add the sysfs attributes: {err:?}\n"))?;

    let lines = Lines::listen(name, &source);

    pr_info!("{name}: hardware ID at {paddr:#x}{lines}\n");
    Ok(Attached {
        _lines: lines,
        _attributes: attributes,
        source,
    })
}

/// A VMGENID device that this driver is bound to: firmware notifies it.
struct VmGenId {
    _handler: NotifyHandler<VmGenIdSource>,
    _attached: Attached,
}

impl VmGenId {
    fn bind(dev: &Device) -> Result<Self> {
        let handle = Handle::of(dev).ok_or(ENODEV)?;
        let attached = attach(dev, handle, true)?;
        let source = attached.source.clone();
        let handler = NotifyHandler::install(handle, source).map_err(|status| {
            pr_err!(
                "{}: cannot handle notifications (ACPI status {status:#x})\n",
                dev.name()
            );
            ENODEV
        })?;
        // A notification from before the handler was there is lost.
        attached.source.notify();

        Ok(Self {
            _handler: handler,
            _attached: attached,
        })
    }
}

acpi_device_table!(
    ACPI_TABLE,
    MODULE_ACPI_TABLE,
    <VmGenId as bus::Driver>::IdInfo,
    [
        (acpi_ids::DeviceId::new(c"VM_GEN_COUNTER"), ()),
        (acpi_ids::DeviceId::new(c"VMGENCTR"), ()),
    ]
);

impl bus::Driver for VmGenId {
    type IdInfo = ();
    type Data<'bound> = Self;
    const ACPI_ID_TABLE: Option<acpi_ids::IdTable<Self::IdInfo>> = Some(&ACPI_TABLE);

    fn probe<'bound>(
        pdev: &'bound bus::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self, Error> + 'bound {
        // Why has been said; at other errors the driver core adds a line of its own.
        Self::bind(pdev.as_ref()).map_err(|_| ENODEV)
    }
}

/// A VMGENID device that the kernel's own driver is bound to: that one tells of each fork after it
/// has reseeded the RNG.
struct Observer {
    _notifier: Pin<KBox<VmForkNotifier<VmGenIdSource>>>,
    _attached: Attached,
}

impl Observer {
    fn attach(dev: &Device) -> Result<Self> {
        let handle = Handle::of(dev).ok_or(ENODEV)?;
        let attached = attach(dev, handle, false)?;
        let notifier = VmForkNotifier::new(attached.source.clone());
        let notifier = KBox::pin_init(notifier, GFP_KERNEL).inspect_err(|err| {
            pr_err!("{}: cannot hear of forks: {err:?}\n", dev.name());
        })?;

        // A notification from before the notifier was there is lost.
        attached.source.notify();

        pr_info!("{}: observing beside the kernel's driver\n", dev.name());
        Ok(Self {
            _notifier: notifier,
            _attached: attached,
        })
    }

    /// Observes the first fit device that another driver is bound to, if there is one.
    ///
    /// A device whose firmware cannot be believed is reported and left alone.
    fn find() -> Option<Self> {
        bound_to_another(&ACPI_TABLE, VmGenIdModule::NAME).find_map(|dev| Self::attach(&dev).ok())
    }
}

/// The module.
#[pin_data]
struct VmGenIdModule {
    _observer: Option<Observer>,
    #[pin]
    _driver: driver::Registration<bus::Adapter<VmGenId>>,
}

impl InPlaceModule for VmGenIdModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _driver <- driver::Registration::new(<Self as ModuleMetadata>::NAME, module),
            // A device that is not bound to this module's driver by now is bound to another one,
            // or cannot be bound.
            _observer: Observer::find(),
        })
    }
}

module! {
    type: VmGenIdModule,
    name: "sysgenid_vmgenid",
    authors: ["The sysgenid maintainers"],
    description: "VM generation ID as source of the system generation",
    license: "GPL v2",
}
