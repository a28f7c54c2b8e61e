// SPDX-License-Identifier: GPL-2.0

//! System generation ID: tells software that the system was cloned or restored from a snapshot.
//!
//! `/dev/sysgenid` is a generation counter that applications read, poll, acknowledge and map, and
//! with which control planes wait until everybody has reacted. This file only wires the parts:
//!
//! - `sysgenid/device.rs`: the device and its system calls,
//! - `sysgenid/generation.rs`: the counter and the one place where it changes,
//! - `sysgenid/descriptor.rs`: one open file,
//! - `sysgenid/watchers.rs`: who has acknowledged the generation; like
//!   `../rust/sysgenid/publication.rs`, this is checked by `../tests/model` as it is,
//! - `../rust/kernel/`: what the `kernel` crate lacks, for any driver,
//! - `../rust/sysgenid/`: this driver's own unsafe parts.
//!
//! The counter knows nothing of where changes come from: a source such as `vmgenid.rs` attaches by
//! the interface in `include/linux/sysgenid.h`.

use kernel::{
    prelude::*,
    sync::Arc,
    InPlaceModule, //
};

#[path = "sysgenid/descriptor.rs"]
mod descriptor;
#[path = "sysgenid/device.rs"]
mod device;
#[path = "sysgenid/generation.rs"]
mod generation;
#[path = "sysgenid/watchers.rs"]
mod watchers;

/// The atomics of all that `../tests/model` compiles as well, with others.
///
/// They are those of `core`, not of the `kernel` crate: programs, outside of the kernel's memory
/// model, read the shared page; and they are on the fast path of every system call, where a call of
/// a helper for each load costs more than the loads do.
mod atomic {
    pub(crate) use core::sync::atomic::{
        AtomicU32,
        AtomicU64,
        Ordering, //
    };
}

#[path = "../rust/bindings/bindings.rs"]
mod bindings;
#[path = "../rust/bindings/compat.rs"]
mod compat;

#[path = "../rust/kernel/capability.rs"]
mod capability;
#[path = "../rust/kernel/irq_lock.rs"]
mod irq_lock;
#[path = "../rust/kernel/memremap.rs"]
mod memremap;
#[path = "../rust/kernel/misc_device.rs"]
mod misc_device;
#[path = "../rust/kernel/sysfs.rs"]
mod sysfs;
#[path = "../rust/kernel/uaccess.rs"]
mod uaccess;
#[path = "../rust/kernel/uevent.rs"]
mod uevent;
#[path = "../rust/kernel/wait_queue.rs"]
mod wait_queue;

#[path = "../rust/sysgenid/announcer.rs"]
mod announcer;
#[path = "../rust/sysgenid/attached_source.rs"]
mod attached_source;
#[path = "../rust/sysgenid/exports.rs"]
mod exports;
#[path = "../rust/sysgenid/hwid.rs"]
mod hwid;
#[path = "../rust/sysgenid/notifiers.rs"]
mod notifiers;
#[path = "../rust/sysgenid/publication.rs"]
mod publication;
#[path = "../rust/sysgenid/shared_page.rs"]
mod shared_page;

use device::{
    Device,
    Track, //
};
use misc_device::MiscDevice;

module! {
    type: SysGenId,
    name: "sysgenid",
    authors: ["The sysgenid maintainers"],
    description: "System generation ID counter",
    license: "GPL v2",
    params: {
        track: u32 {
            default: 1,
            description: "Tracked from open() on: 0 nobody, 1 writers (default), 2 everybody",
        },
    },
}

/// The module.
#[pin_data(PinnedDrop)]
struct SysGenId {
    #[pin]
    misc: MiscDevice<Device>,
    device: Arc<Device>,
}

impl InPlaceModule for SysGenId {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let track: u32 = compat::parameter(module_parameters::track.value());
            let track = Track::try_from(track).inspect_err(|_| {
                pr_err!("track={track} is none of 0, 1, 2\n");
            })?;
            let device = Arc::pin_init(Device::new(track), GFP_KERNEL)?;

            Ok(try_pin_init!(Self {
                misc <- MiscDevice::register(c"sysgenid", 0o644, device.clone()),
                _: { device.generation.announce_for(Some(misc.device())) },
                device,
            }? Error))
        })
    }
}

#[pinned_drop]
impl PinnedDrop for SysGenId {
    fn drop(self: Pin<&mut Self>) {
        // Before the device goes.
        self.device.generation.announce_for(None);
    }
}
