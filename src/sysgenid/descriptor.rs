// SPDX-License-Identifier: GPL-2.0

//! One open file of `/dev/sysgenid`.
//!
//! May touch the word of its file, and nothing else.

use crate::{
    atomic::AtomicU64,
    misc_device::OpenFile,
    watchers::State, //
};
use kernel::{
    fs::{
        file::flags::O_NONBLOCK,
        File, //
    }, //
};

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

    /// Its word, a [`State`].
    #[inline]
    pub(crate) fn word(self) -> &'a AtomicU64 {
        self.0.word()
    }

    /// What it has acknowledged, and whether it takes part.
    #[inline]
    pub(crate) fn state(self) -> State {
        State::load(self.word())
    }

    /// Whether calls must not wait.
    #[inline]
    pub(crate) fn is_nonblocking(self) -> bool {
        self.file().flags() & O_NONBLOCK != 0
    }
}
