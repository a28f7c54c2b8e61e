// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `include/uapi/linux/sysgenid.h` of the driver says, for a crate that is built without it.
//!
//! A test of the driver's repository compares all of this with the header.

#![forbid(unsafe_code)]

use rustix::ioctl::{
    opcode,
    Opcode, //
};

/// The "magic" of the ioctl numbers.
const IOCTL: u8 = 0xE4;

pub(crate) const SET_WATCHER_TRACKING: Opcode = opcode::none(IOCTL, 1);
pub(crate) const WAIT_WATCHERS: Opcode = opcode::none(IOCTL, 2);
pub(crate) const TRIGGER_GEN_UPDATE: Opcode = opcode::none(IOCTL, 3);
pub(crate) const GET_OUTDATED_WATCHERS: Opcode = opcode::none(IOCTL, 4);
pub(crate) const GET_GENERATION: Opcode = opcode::read::<u32>(IOCTL, 5);

/// In the flags of page 0: page 1 can be mapped.
pub(crate) const PAGE_HWID: u32 = 1 << 0;

/// Size of a hardware ID in bytes.
pub(crate) const HWID_SIZE: usize = 16;

/// Where the fields of page 0 are.
pub(crate) const OFFSET_GENERATION: usize = 0;
pub(crate) const OFFSET_FLAGS: usize = 4;
pub(crate) const OFFSET_HWID_OFFSET: usize = 8;
pub(crate) const OFFSET_HWID: usize = 16;
