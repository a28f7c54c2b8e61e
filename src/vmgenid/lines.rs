// SPDX-License-Identifier: GPL-2.0

//! The interrupt lines by which the hypervisor's notification comes, to notice a clone with the
//! interrupt itself.
//!
//! A notification takes its way through two work queues before anybody hears of it, and the
//! interrupted program runs on meanwhile. So this listens on the line itself: the processor that
//! takes the interrupt processes the change before it returns to user space, and makes the others
//! do so by interrupting them. They find nothing left to do, or wait for the few instructions that
//! the change takes. Waking those who wait is left to a thread.
//!
//! Which line it is firmware does not say. Where it has general-purpose events, they come by the
//! system control interrupt, which ACPI shares; where it has event devices (ACPI0013, "GED"), by a
//! line of theirs. Firecracker and Cloud Hypervisor mark that as exclusive: then the kernel's
//! tracepoint for interrupts tells of it.
//!
//! Specification: ACPI 6.5, 4.8.4.1.1 (SCI), 5.6.9 (GED).

use crate::{
    acpi::{
        system_control_line,
        TimerEvent, //
    },
    cross_call::{
        Callee,
        CrossCall, //
    },
    interrupt_line::{
        prefer_cpu,
        Listener,
        SharedLine,
        TracedLine, //
    },
    platform,
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
            SharedLine::new(irq, c"sysgenid", signal.clone()).ok()
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
        let timer = if is_still_to_move && system_control_line() == Some(irq) {
            TimerEvent::new(irq)
        } else {
            None
        };

        Ok(Self {
            irq,
            shared,
            _traced: traced,
            _timer: timer,
        })
    }
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
    /// Listens on all lines by which the notification of `source` may come. May sleep.
    ///
    /// Where that is not possible, one message says so: the notification counts as before.
    pub(crate) fn listen(name: &CStr, source: &Arc<VmGenIdSource>) -> Self {
        let mut lines = Self(KVec::new());

        match lines.add_all(name, source) {
            Ok(()) if lines.0.is_empty() => pr_warn!("{name}: no interrupt to listen on\n"),
            Ok(()) => (),
            Err(err) => pr_warn!("{name}: cannot listen on interrupts: {err:?}\n"),
        }
        lines
    }

    fn add_all(&mut self, name: &CStr, source: &Arc<VmGenIdSource>) -> Result {
        let signal = Arc::new(
            Signal {
                source: source.clone(),
                others: CrossCall::new(source.clone())?,
            },
            GFP_KERNEL,
        )?;

        if let Some(irq) = system_control_line() {
            self.add(name, irq, true, &signal)?;
        }
        for ged in platform::with_id(c"ACPI0013")? {
            for line in platform::lines(&ged) {
                self.add(name, line.irq, line.is_shareable, &signal)?;
            }
        }
        Ok(())
    }

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
