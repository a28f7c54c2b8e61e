// SPDX-License-Identifier: GPL-2.0

//! What the handlers of ACPI notifications and of the vmfork notifier call.

/// The target of a notification.
pub(crate) trait Notify: Send + Sync + 'static {
    /// Something may have changed. Called in process context, may sleep; several calls may run at
    /// the same time.
    fn notify(&self);
}
