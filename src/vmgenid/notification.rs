// SPDX-License-Identifier: GPL-2.0

//! The notification of a change, as it comes by ACPI.
//!
//! A device of the device tree has none: its interrupt is all that tells of a change. The kernel's
//! own driver then calls the vmfork notifiers in that interrupt, although they may sleep, so that
//! this driver cannot be one of them.

use crate::{
    acpi::NotifyHandler,
    firmware::Signal,
    notify::Notify,
    vmfork::VmForkNotifier,
    VmGenIdSource, //
};
use kernel::{
    device::Device,
    prelude::*,
    sync::Arc, //
};

impl Notify for VmGenIdSource {
    fn notify(&self) {
        Self::notify(self);
    }
}

/// What waits for the notification. Nothing does for a device of the device tree.
pub(crate) struct Notification {
    /// Firmware notifies the device, which is this driver's.
    _handler: Option<NotifyHandler<VmGenIdSource>>,
    /// The kernel's own driver has the device, and tells of each fork after it has reseeded the
    /// RNG.
    _notifier: Option<Pin<KBox<VmForkNotifier<VmGenIdSource>>>>,
}

impl Notification {
    /// Waits for the notification. If that fails, one message says why. May sleep.
    pub(crate) fn new(
        dev: &Device,
        source: Arc<VmGenIdSource>,
        signal: &Signal,
        is_own: bool,
    ) -> Result<Self> {
        let name = dev.name();
        let mut this = Self {
            _handler: None,
            _notifier: None,
        };

        match *signal {
            Signal::Notification(handle) if is_own => {
                let handler = NotifyHandler::install(handle, source).map_err(|status| {
                    pr_err!("{name}: cannot handle notifications (ACPI status {status:#x})\n");
                    ENODEV
                })?;
                this._handler = Some(handler);
            }
            Signal::Notification(_) => {
                let notifier = KBox::pin_init(VmForkNotifier::new(source), GFP_KERNEL)
                    .inspect_err(|err| pr_err!("{name}: cannot hear of forks: {err:?}\n"))?;
                this._notifier = Some(notifier);
            }
            Signal::Interrupt(_) => (),
        }
        Ok(this)
    }
}
