// SPDX-License-Identifier: GPL-2.0

//! VM generation ID: the source of the system generation in virtual machines.
//!
//! The hypervisor keeps sixteen bytes in guest memory, the hardware ID. It writes another ID there
//! before it lets a restored or cloned machine run, and tells of that afterwards. Where the ID is,
//! and how a change is told of, firmware says: by the ACPI object `ADDR` of a device with the
//! compatible ID `VM_Gen_Counter`, which is notified; or by a node of the device tree that is
//! compatible with `microsoft,vmgenid`, which has an interrupt.
//!
//! On most distribution kernels a driver of the kernel's own is bound to that device, which reseeds
//! the RNG and does nothing else. This one then observes beside it: it reads the same ID, and hears
//! of a change by the interrupt, and by the kernel's vmfork notifier if the device is one of ACPI.
//! Otherwise it binds the device itself.
//!
//! The comparison of the ID with the last one processed, and what follows from it, are the
//! counter's (`generation.rs`); this driver finds the ID and reseeds the RNG.

use core::fmt::Write;
use kernel::{
    acpi as acpi_ids,
    device::{
        Core,
        Device, //
    },
    driver,
    of,
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
#[cfg(CONFIG_ACPI)]
#[path = "vmgenid/notification.rs"]
mod notification;

#[path = "../rust/bindings/bindings.rs"]
mod bindings;
#[path = "../rust/bindings/compat.rs"]
mod compat;

#[cfg(CONFIG_ACPI)]
#[path = "../rust/kernel/acpi.rs"]
mod acpi;
#[path = "../rust/kernel/cross_call.rs"]
mod cross_call;
#[path = "../rust/kernel/device_attributes.rs"]
mod device_attributes;
#[path = "../rust/kernel/interrupt_line.rs"]
mod interrupt_line;
#[cfg(CONFIG_ACPI)]
#[path = "../rust/kernel/notify.rs"]
mod notify;
#[path = "../rust/kernel/platform.rs"]
mod platform;
#[path = "../rust/kernel/rng.rs"]
mod rng;
#[path = "../rust/kernel/sysfs.rs"]
mod sysfs;
#[cfg(CONFIG_ACPI)]
#[path = "../rust/kernel/vmfork.rs"]
mod vmfork;

#[path = "../rust/sysgenid/source_registration.rs"]
mod source_registration;

use compat::{
    acpi_device_table,
    is_enodata,
    of_device_table, //
};
use device_attributes::DeviceAttributes;
use firmware::Firmware;
use guid::Guid;
use lines::Lines;
#[cfg(CONFIG_ACPI)]
use notification::Notification;
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
            Err(err) if is_enodata(err) => {
                pr_info!("{name}: hardware ID changed, crng not seeded yet\n");
            }
            Err(err) => {
                pr_err!("{name}: hardware ID changed, but the crng was not reseeded: {err:?}\n");
            }
        }
    }
}

type VmGenIdSource = SourceRegistration<Rng>;

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
    #[cfg(CONFIG_ACPI)]
    _notification: Notification,
    _lines: Lines,
    _attributes: DeviceAttributes<VmGenIdSource>,
    _source: Arc<VmGenIdSource>,
}

impl Attached {
    /// Makes the ID of a device the source of the counter. `is_own`: whether it is this driver's.
    ///
    /// The messages name the device themselves, as its driver may be another one.
    fn new(dev: &Device, is_own: bool) -> Result<Self> {
        let name = dev.name();
        let Firmware { paddr, signal } = Firmware::of(dev)?;
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

        let lines = Lines::listen(name, &source, &signal, is_own)?;

        pr_info!("{name}: hardware ID at {paddr:#x}{lines}\n");

        #[cfg(CONFIG_ACPI)]
        let notification = Notification::new(dev, source.clone(), &signal, is_own)?;

        // What was told before somebody listened is lost.
        source.notify();

        Ok(Self {
            #[cfg(CONFIG_ACPI)]
            _notification: notification,
            _lines: lines,
            _attributes: attributes,
            _source: source,
        })
    }
}

/// A VMGENID device that this driver is bound to.
struct VmGenId {
    _attached: Attached,
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

of_device_table!(
    OF_TABLE,
    MODULE_OF_TABLE,
    <VmGenId as bus::Driver>::IdInfo,
    [(of::DeviceId::new(c"microsoft,vmgenid"), ())]
);

impl bus::Driver for VmGenId {
    type IdInfo = ();
    type Data<'bound> = Self;
    const OF_ID_TABLE: Option<of::IdTable<Self::IdInfo>> = Some(&OF_TABLE);
    const ACPI_ID_TABLE: Option<acpi_ids::IdTable<Self::IdInfo>> = Some(&ACPI_TABLE);

    fn probe<'bound>(
        pdev: &'bound bus::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self, Error> + 'bound {
        // Why has been said; at other errors the driver core adds a line of its own.
        match Attached::new(pdev.as_ref(), true) {
            Ok(attached) => Ok(Self {
                _attached: attached,
            }),
            Err(err) if err == EPROBE_DEFER => Err(err),
            Err(_) => Err(ENODEV),
        }
    }
}

/// A VMGENID device that the kernel's own driver is bound to.
struct Observer {
    _attached: Attached,
}

impl Observer {
    fn attach(dev: &Device) -> Result<Self> {
        let attached = Attached::new(dev, false)?;

        pr_info!("{}: observing beside the kernel's driver\n", dev.name());
        Ok(Self {
            _attached: attached,
        })
    }

    /// Observes the first fit device that another driver is bound to, if there is one.
    ///
    /// A device whose firmware cannot be believed is reported and left alone.
    fn find() -> Option<Self> {
        bound_to_another(&ACPI_TABLE, &OF_TABLE, VmGenIdModule::NAME)
            .find_map(|dev| Self::attach(&dev).ok())
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
