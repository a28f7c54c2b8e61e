// SPDX-License-Identifier: GPL-2.0

//! System generation ID: tells software that the system was cloned or restored from a snapshot.
//!
//! `/dev/sysgenid` is a generation counter that applications read, poll, acknowledge and map, and
//! with which control planes wait until everybody has reacted. This file only wires the parts:
//!
//! - `generation.rs`: the counter and the one place where it changes,
//! - `watcher.rs`: the system calls of an open descriptor,
//! - `../rust/`: what the `kernel` crate lacks for them, with all the unsafe code.
//!
//! The counter knows nothing of where changes come from: a source such as `vmgenid.rs` attaches by
//! the interface in `include/linux/sysgenid.h`.

use kernel::{
    prelude::*,
    sync::Arc,
    InPlaceModule, //
};

mod generation;
mod watcher;

#[path = "../rust/bindings.rs"]
mod bindings;
#[path = "../rust/capability.rs"]
mod capability;
#[path = "../rust/compat.rs"]
mod compat;
#[path = "../rust/exports.rs"]
mod exports;
#[path = "../rust/hwid.rs"]
mod hwid;
#[path = "../rust/misc_device.rs"]
mod misc_device;
#[path = "../rust/shared_page.rs"]
mod shared_page;
#[path = "../rust/source.rs"]
mod source;
#[path = "../rust/subscribers.rs"]
mod subscribers;
#[path = "../rust/sysfs.rs"]
mod sysfs;
#[path = "../rust/uaccess.rs"]
mod uaccess;
#[path = "../rust/uevent.rs"]
mod uevent;
#[path = "../rust/wait_queue.rs"]
mod wait_queue;

use exports::Published;
use generation::Generation;
use misc_device::MiscDevice;
use watcher::{
    Device,
    Track,
    Watcher, //
};

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

/// The module: dropped from top to bottom, so that the device goes first.
#[pin_data(PinnedDrop)]
struct SysGenId {
    #[pin]
    device: MiscDevice<Watcher>,
    published: Published,
    generation: Arc<Generation>,
}

impl InPlaceModule for SysGenId {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let track: u32 = compat::parameter(module_parameters::track.value());
            let track = Track::try_from(track).inspect_err(|_| {
                pr_err!("track={track} is none of 0, 1, 2\n");
            })?;
            let generation = Arc::pin_init(Generation::new(), GFP_KERNEL)?;
            let device = Arc::new(
                Device {
                    generation: generation.clone(),
                    track,
                },
                GFP_KERNEL,
            )?;

            Ok(try_pin_init!(Self {
                device <- MiscDevice::register(c"sysgenid", 0o644, device),
                _: { generation.announce_for(Some(device.device())) },
                published: Published::new(generation.clone()),
                generation,
            }? Error))
        })
    }
}

#[pinned_drop]
impl PinnedDrop for SysGenId {
    fn drop(self: Pin<&mut Self>) {
        // Before the device goes.
        self.generation.announce_for(None);
    }
}
