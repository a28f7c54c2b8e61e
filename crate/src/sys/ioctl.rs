// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ioctls of the device.

use crate::abi;
use rustix::{
    fd::BorrowedFd,
    ffi::c_void,
    io::Result,
    ioctl::{
        Ioctl,
        IoctlOutput,
        Opcode, //
    }, //
};

/// An ioctl that takes a number, and answers with its return value alone.
struct Number {
    opcode: Opcode,
    argument: usize,
}

// SAFETY: The argument is a number to the driver, which takes it for no address. So there is
// nothing that it could write to, and nothing that has to live on.
unsafe impl Ioctl for Number {
    type Output = IoctlOutput;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        core::ptr::without_provenance_mut(self.argument)
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _argument: *mut c_void) -> Result<IoctlOutput> {
        Ok(output)
    }
}

fn number(fd: BorrowedFd<'_>, opcode: Opcode, argument: usize) -> Result<IoctlOutput> {
    // SAFETY: This module calls it for the driver's own numbers alone. 0xE4 is the driver's; a
    // file of another driver that has the same numbers has failed at `get_generation()` before.
    unsafe { rustix::ioctl::ioctl(fd, Number { opcode, argument }) }
}

/// `SYSGENID_SET_WATCHER_TRACKING`
pub(crate) fn set_watcher_tracking(fd: BorrowedFd<'_>, is_tracked: bool) -> Result<()> {
    number(fd, abi::SET_WATCHER_TRACKING, is_tracked.into()).map(drop)
}

/// `SYSGENID_WAIT_WATCHERS`; 0 waits for ever.
pub(crate) fn wait_watchers(fd: BorrowedFd<'_>, timeout_ms: usize) -> Result<()> {
    number(fd, abi::WAIT_WATCHERS, timeout_ms).map(drop)
}

/// `SYSGENID_TRIGGER_GEN_UPDATE`
pub(crate) fn trigger_gen_update(fd: BorrowedFd<'_>, minimum: u32) -> Result<()> {
    number(fd, abi::TRIGGER_GEN_UPDATE, minimum as usize).map(drop)
}

/// `SYSGENID_GET_OUTDATED_WATCHERS`
pub(crate) fn get_outdated_watchers(fd: BorrowedFd<'_>) -> Result<u32> {
    Ok(number(fd, abi::GET_OUTDATED_WATCHERS, 0)?.unsigned_abs())
}

/// `SYSGENID_GET_GENERATION`. Fails on a file that is not the device, so that everything else is
/// asked of the device alone.
pub(crate) fn get_generation(fd: BorrowedFd<'_>) -> Result<u32> {
    // SAFETY: The driver writes a u32 to where the argument points. The number says so to every
    // other driver: direction "read", and the size.
    let getter = unsafe { rustix::ioctl::Getter::<{ abi::GET_GENERATION }, u32>::new() };
    // SAFETY: As said. The argument is the getter's own memory, which lives as long as the call.
    unsafe { rustix::ioctl::ioctl(fd, getter) }
}
