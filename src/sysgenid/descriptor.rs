// SPDX-License-Identifier: GPL-2.0

//! What one open file of `/dev/sysgenid` has of its own: the generation that it has acknowledged,
//! and whether control planes wait for it.
//!
//! May touch the word of its file, and nothing else.

use crate::misc_device::OpenFile;
use core::sync::atomic::Ordering;
use kernel::{
    fs::{
        file::flags::O_NONBLOCK,
        File, //
    }, //
};

/// What a descriptor has acknowledged, and whether it takes part: the word of an [`OpenFile`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(u64);

impl State {
    /// Whether it counts as a watcher.
    const TRACKED: u64 = 1 << 32;
    /// Whether it is open for writing, and so may take part. Never changes.
    const WRITABLE: u64 = 1 << 33;

    /// The state of a new descriptor.
    pub(crate) fn new(acknowledged: u32, is_tracked: bool, is_writable: bool) -> Self {
        let writable = if is_writable { Self::WRITABLE } else { 0 };

        Self(u64::from(acknowledged) | writable).with_tracked(is_tracked)
    }

    /// The word for the [`OpenFile`].
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    /// The acknowledged generation.
    #[inline]
    pub(crate) fn acknowledged(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    pub(crate) fn with_acknowledged(self, generation: u32) -> Self {
        Self(self.0 & !u64::from(u32::MAX) | u64::from(generation))
    }

    #[inline]
    pub(crate) fn is_tracked(self) -> bool {
        self.0 & Self::TRACKED != 0
    }

    pub(crate) fn with_tracked(self, is_tracked: bool) -> Self {
        Self(self.0 & !Self::TRACKED | if is_tracked { Self::TRACKED } else { 0 })
    }

    #[inline]
    pub(crate) fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }
}

/// An open file description, tracked or not.
#[derive(Clone, Copy)]
pub(crate) struct Descriptor<'a>(OpenFile<'a>);

impl<'a> Descriptor<'a> {
    #[inline]
    pub(crate) fn new(file: OpenFile<'a>) -> Self {
        Self(file)
    }

    /// The file itself.
    #[inline]
    pub(crate) fn file(self) -> &'a File {
        self.0.file()
    }

    /// What other threads may be changing at this time.
    ///
    /// A generation that is loaded after this is not older than any that the state was changed in.
    #[inline]
    pub(crate) fn state(self) -> State {
        // Acquire, as `Generation::acknowledge()` loads the generation next: were that one the
        // older of the two, an acknowledgment of it could replace one of its successor.
        State(self.0.word().load(Ordering::Acquire))
    }

    /// Changes the state, unless it is not `old` any longer.
    #[inline]
    pub(crate) fn replace(self, old: State, new: State) -> bool {
        self.0
            .word()
            .compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether calls must not wait.
    #[inline]
    pub(crate) fn is_nonblocking(self) -> bool {
        self.file().flags() & O_NONBLOCK != 0
    }
}
