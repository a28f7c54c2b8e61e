// SPDX-License-Identifier: GPL-2.0

//! The interrupt lines by which the hypervisor's notification comes, to notice a clone with the
//! interrupt itself.
//!
//! A notification of ACPI takes its way through two work queues before anybody hears of it, and the
//! interrupted program runs on meanwhile. So this listens on the line itself: the processor that
//! takes the interrupt processes the change before it returns to user space, and makes the others
//! do so by interrupting them. They find nothing left to do, or wait for the few instructions that
//! the change takes. Waking those who wait is left to a thread.
//!
//! A device of the device tree has a line of its own, which the kernel's own driver shares. Which
//! one it is with ACPI firmware does not say. Where it has general-purpose events, they come by the
//! system control interrupt, which ACPI shares; where it has event devices (ACPI0013, "GED"), by a
//! line of theirs. Firecracker and Cloud Hypervisor mark that as exclusive: then the kernel's
//! tracepoint for interrupts tells of it.
//!
//! Specification: ACPI 6.5, 4.8.4.1.1 (SCI), 5.6.9 (GED).

#[cfg(CONFIG_ACPI)]
use crate::{
    acpi::{
        system_control_line,
        TimerEvent, //
    },
    platform, //
};
use crate::{
    cross_call::{
        Callee,
        CrossCall, //
    },
    firmware,
    interrupt_line::{
        prefer_cpu,
        Listener,
        SharedLine,
        TracedLine, //
    },
    VmGenIdSource, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::Arc, //
};

/// Hypervisors start processors in their order, so that this one is there to take the interrupt
/// before the others can do anything.
const FIRST_CPU: u32 = 0;

/// What happens at an interrupt.
struct Signal {
    source: Arc<VmGenIdSource>,
    others: CrossCall<VmGenIdSource>,
    is_owner: bool,
}

impl Callee for VmGenIdSource {
    fn called(&self) {
        self.process_at_once();
    }
}

impl Listener for Signal {
    #[inline]
    fn interrupt(&self) -> bool {
        if !self.source.is_pending() {
            return false;
        }

        // First, as they run on meanwhile.
        self.others.call();
        self.source.process_at_once();
        true
    }

    fn is_owner(&self) -> bool {
        self.is_owner
    }

    fn follow_up(&self) {
        self.source.notify();
    }
}

/// A line that is listened on, in one way or the other.
struct Line {
    irq: u32,
    shared: Option<SharedLine<Signal>>,
    _traced: Option<TracedLine<Signal>>,
    _timer: Option<TimerEvent>,
}

impl Line {
    /// Listens on a line, which may be shared if firmware says so. May sleep.
    fn new(irq: u32, is_shareable: bool, signal: &Arc<Signal>) -> Result<Self> {
        let shared = if is_shareable {
            match SharedLine::new(irq, c"sysgenid", signal.clone()) {
                Ok(shared) => Some(shared),
                Err(err) if err == EBUSY => None,
                Err(err) => return Err(err),
            }
        } else {
            None
        };
        let traced = if shared.is_none() {
            Some(TracedLine::new(irq, signal.clone())?)
        } else {
            None
        };

        // The line may move with its next interrupt only, which would be the clone's.
        let is_still_to_move = prefer_cpu(irq, FIRST_CPU);

        Ok(Self {
            irq,
            shared,
            _traced: traced,
            _timer: if is_still_to_move {
                timer_event(irq)
            } else {
                None
            },
        })
    }
}

/// What raises an interrupt on a line, if that can be had.
#[cfg(CONFIG_ACPI)]
fn timer_event(irq: u32) -> Option<TimerEvent> {
    if system_control_line() == Some(irq) {
        TimerEvent::new(irq)
    } else {
        None
    }
}

#[cfg(not(CONFIG_ACPI))]
type TimerEvent = core::convert::Infallible;

#[cfg(not(CONFIG_ACPI))]
fn timer_event(_irq: u32) -> Option<TimerEvent> {
    None
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.shared.is_some() {
            "shared"
        } else {
            "traced"
        };

        write!(f, "interrupt {}, {way}", self.irq)
    }
}

/// All lines that are listened on.
pub(crate) struct Lines(KVec<Line>);

impl Lines {
    /// Listens on all lines by which firmware may tell of a change. `is_own`: whether the device is
    /// this driver's. May sleep.
    ///
    /// Where that is not possible, one message says so. Then the notification counts as before;
    /// where the interrupt is all that there is, it is an error.
    pub(crate) fn listen(
        name: &CStr,
        source: &Arc<VmGenIdSource>,
        firmware: &firmware::Signal,
        is_own: bool,
    ) -> Result<Self> {
        let mut lines = Self(KVec::new());
        let listening = lines.add_all(name, source, firmware, is_own);

        match firmware {
            #[cfg(CONFIG_ACPI)]
            firmware::Signal::Notification(_) => match listening {
                Ok(()) if lines.0.is_empty() => pr_warn!("{name}: no interrupt to listen on\n"),
                Ok(()) => (),
                Err(err) => pr_warn!("{name}: cannot listen on interrupts: {err:?}\n"),
            },
            firmware::Signal::Interrupt(irq) => listening.inspect_err(|err| {
                pr_err!("{name}: cannot listen on interrupt {irq}: {err:?}\n");
            })?,
        }
        Ok(lines)
    }

    fn add_all(
        &mut self,
        name: &CStr,
        source: &Arc<VmGenIdSource>,
        firmware: &firmware::Signal,
        is_own: bool,
    ) -> Result {
        let signal = Arc::new(
            Signal {
                source: source.clone(),
                others: CrossCall::new(source.clone())?,
                // Of ACPI's lines ACPI is the owner.
                is_owner: is_own && matches!(firmware, firmware::Signal::Interrupt(_)),
            },
            GFP_KERNEL,
        )?;

        match *firmware {
            #[cfg(CONFIG_ACPI)]
            firmware::Signal::Notification(_) => {
                if let Some(irq) = system_control_line() {
                    self.add(name, irq, true, &signal)?;
                }
                for ged in platform::with_id(c"ACPI0013")? {
                    for line in platform::lines(&ged) {
                        self.add(name, line.irq, line.is_shareable, &signal)?;
                    }
                }
            }
            firmware::Signal::Interrupt(irq) => {
                self.0.push(Line::new(irq, true, &signal)?, GFP_KERNEL)?;
            }
        }
        Ok(())
    }

    #[cfg(CONFIG_ACPI)]
    fn add(&mut self, name: &CStr, irq: u32, is_shareable: bool, signal: &Arc<Signal>) -> Result {
        match Line::new(irq, is_shareable, signal) {
            Ok(line) => Ok(self.0.push(line, GFP_KERNEL)?),
            Err(err) => {
                pr_warn!("{name}: cannot listen on interrupt {irq}: {err:?}\n");
                Ok(())
            }
        }
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.0 {
            f.write_str("; ")?;
            fmt::Display::fmt(line, f)?;
        }
        Ok(())
    }
}
