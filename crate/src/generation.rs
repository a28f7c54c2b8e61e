// SPDX-License-Identifier: MIT OR Apache-2.0

//! The generation, for code that asks at each use.

#![forbid(unsafe_code)]

use crate::{
    check::{
        Pages,
        State, //
    },
    simulation::Memory,
    sys::{
        ioctl,
        mapping::Mapping, //
    },
    Device,
    Error,
    Result, //
};
use rustix::{
    fd::{
        AsFd,
        OwnedFd, //
    },
    io::Errno, //
};
use std::sync::{
    atomic::{
        AtomicU32,
        AtomicU64, //
    },
    Arc, //
};

/// The generation of the system, for libraries that must know at each use whether it was cloned:
/// random number generators, nonces, UUIDs.
///
/// A library asks *after* it has made a value and *before* it gives the value out.
/// [`Unique`](crate::Unique) does that; here is what it does:
///
/// ```
/// # use sysgenid::{Simulation, State};
/// # fn main() -> sysgenid::Result<()> {
/// # let generation = Simulation::new().generation();
/// # let renew = || 4;
/// let mut known = generation.current()?;
/// let mut prefix = renew();
/// let mut number = 0;
///
/// let id = loop {
///     let id = format!("{prefix}-{number}");
///     number += 1;
///     match generation.changed_since(known)? {
///         None => break id,
///         Some(current) => {
///             known = current;
///             prefix = renew();
///         }
///     }
/// };
/// # assert_eq!(id, "4-0");
/// # Ok(())
/// # }
/// ```
///
/// If two checks say that the same generation is current, all that was drawn between them was
/// drawn in that generation. No check says anything of what comes after it: what was checked
/// before a snapshot and is used after the restore is in all clones. Work that must not have that
/// is kept away by a control plane.
///
/// No control plane waits for this descriptor. A library reacts when it is called next, which may
/// be after the control plane has let work in.
///
/// # Errors and what they mean
///
/// If [`open`](Self::open) fails, nobody tells of clones;
/// [`Error::is_absent`] says whether that is because there is no device. If
/// [`current`](Self::current) fails, it is not known whether the system was cloned. Then nothing
/// that has to be unique may be given out.
///
/// # The program around the library
///
/// - Threads: all methods may be called by any thread at any time.
/// - `fork()`: the mapping and the descriptor work in the child. A fork is no clone of the system,
///   so the generation stays; a library must find out about forks by other means.
/// - `close_range()` and the like: many programs close descriptors that they do not know.
///   [`check`](Self::check) works on, and [`current`](Self::current) opens the device for one call.
///   If another file has got the descriptor's number, that one is not closed in the end.
/// - `seccomp()`: [`check`](Self::check) makes no system call. The others make `openat`, `ioctl`,
///   `mmap`, `munmap` and `close`.
#[derive(Debug)]
pub struct Generation {
    system: System,
}

#[derive(Debug)]
enum System {
    Real(Opened),
    Simulated(Arc<Memory>),
}

#[derive(Debug)]
struct Opened {
    device: Device,
    /// `None` only while this is dropped.
    fd: Option<OwnedFd>,
    mapping: Mapping,
}

impl Generation {
    /// Opens and maps `/dev/sysgenid`. Takes no rights but to read it, which everybody has.
    pub fn open() -> Result<Self> {
        Device::default().generation()
    }

    pub(crate) fn open_device(device: Device) -> Result<Self> {
        let fd = device.open_untracked()?;
        let mapping = Mapping::new(fd.as_fd()).map_err(Error::call("mmap"))?;

        Ok(Self {
            system: System::Real(Opened {
                device,
                fd: Some(fd),
                mapping,
            }),
        })
    }

    pub(crate) fn simulated(memory: Arc<Memory>) -> Self {
        Self {
            system: System::Simulated(memory),
        }
    }

    #[inline]
    fn pages(&self) -> Pages<'_, AtomicU32, AtomicU64> {
        match &self.system {
            System::Real(opened) => opened.mapping.pages(),
            System::Simulated(memory) => memory.pages(),
        }
    }

    /// Compares the generation with one that the caller knows, without a system call.
    ///
    /// [`State::Current`] says: at an instant during this call, the generation was the caller's,
    /// and no change was pending. Where the mapped pages cannot tell, it is never that.
    #[inline]
    pub fn check(&self, known: u32) -> State {
        self.pages().check(known)
    }

    /// The current generation, by a system call.
    ///
    /// Processes a pending change first, so that the kernel's random number generator has been
    /// reseeded for the generation that this returns.
    pub fn current(&self) -> Result<u32> {
        match &self.system {
            System::Real(opened) => opened.current(),
            System::Simulated(memory) => Ok(memory.current()),
        }
    }

    /// The current generation if it is not the one that the caller knows; mostly without a system
    /// call.
    ///
    /// `None` is certain, as [`State::Current`] is.
    #[inline]
    pub fn changed_since(&self, known: u32) -> Result<Option<u32>> {
        match self.check(known) {
            State::Current => Ok(None),
            State::Changed | State::Pending => {
                Ok(Some(self.current()?).filter(|&current| current != known))
            }
        }
    }

    /// Whether [`check`](Self::check) can tell here that nothing has changed. If not, each
    /// [`changed_since`](Self::changed_since) takes a system call.
    pub fn has_live_id(&self) -> bool {
        self.pages().has_live_id()
    }
}

impl Opened {
    fn current(&self) -> Result<u32> {
        match self.ask() {
            // What the number gives if the program has closed it, or reused it.
            Err(Errno::BADF | Errno::NOTTY | Errno::INVAL) => {
                ioctl::get_generation(self.device.open_untracked()?.as_fd())
            }
            answer => answer,
        }
        .map_err(Error::call("SYSGENID_GET_GENERATION"))
    }

    fn ask(&self) -> rustix::io::Result<u32> {
        let fd = self.fd.as_ref().ok_or(Errno::BADF)?;

        ioctl::get_generation(fd.as_fd())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // If the program has closed the descriptor and its number is now that of another file,
        // that file stays open.
        if self.ask().is_err() {
            std::mem::forget(self.fd.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Simulation;

    #[test]
    fn a_clone_is_pending_until_somebody_asks() -> Result<()> {
        let simulation = Simulation::new();
        let one = simulation.generation();
        let two = simulation.generation();

        assert_eq!(one.check(0), State::Current);
        assert_eq!(one.changed_since(0)?, None);
        simulation.restore();
        assert_eq!(one.check(0), State::Pending);
        assert_eq!(two.check(0), State::Pending);
        assert_eq!(one.changed_since(0)?, Some(1));
        assert_eq!(two.check(0), State::Changed);
        assert_eq!(two.check(1), State::Current);
        Ok(())
    }

    #[test]
    fn clones_that_nobody_noticed_are_one_change() -> Result<()> {
        let simulation = Simulation::new();
        let generation = simulation.generation();

        simulation.restore();
        simulation.restore();
        assert_eq!(generation.current()?, 1);
        assert_eq!(generation.current()?, 1);
        Ok(())
    }

    #[test]
    fn without_a_live_id_each_question_is_a_call() -> Result<()> {
        let simulation = Simulation::without_live_id();
        let generation = simulation.generation();

        assert!(!generation.has_live_id());
        assert!(Simulation::new().generation().has_live_id());
        assert_eq!(generation.check(0), State::Pending);
        assert_eq!(generation.changed_since(0)?, None);
        simulation.restore();
        assert_eq!(generation.check(0), State::Pending);
        assert_eq!(generation.changed_since(0)?, Some(1));
        Ok(())
    }
}
