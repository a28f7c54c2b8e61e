// SPDX-License-Identifier: GPL-2.0

//! Open files of `/dev/sysgenid`: what each system call does for one descriptor.

use crate::{
    bindings::{
        EPOLLIN,
        EPOLLRDNORM,
        JIFFIES_PER_SECOND,
        SYSGENID_GET_GENERATION,
        SYSGENID_GET_OUTDATED_WATCHERS,
        SYSGENID_SET_WATCHER_TRACKING,
        SYSGENID_TRIGGER_GEN_UPDATE,
        SYSGENID_WAIT_WATCHERS,
        VM_MAYSHARE, //
    },
    capability::may_checkpoint_restore,
    generation::{
        Generation,
        Settled, //
    },
    misc_device::{
        single_device,
        Frame,
        OpenFile,
        Operations, //
    },
    sysfs::AttributeInfo,
    uaccess::{
        get_u32,
        put_u32, //
    },
    wait_queue::PollTable, //
};
use core::{
    fmt::Write,
    sync::atomic::Ordering, //
};
use kernel::{
    bindings,
    fs::{
        file::flags::{
            O_ACCMODE,
            O_NONBLOCK,
            O_RDWR,
            O_WRONLY, //
        },
        File, //
    },
    mm::virt::VmaNew,
    page::PAGE_SIZE,
    prelude::*,
    seq_file::{
        seq_print,
        SeqFile, //
    },
    time::{
        Instant,
        Jiffies,
        Monotonic,
        NSEC_PER_MSEC,
        NSEC_PER_SEC, //
    },
    uaccess::UserPtr, //
};

/// Which descriptors are tracked from `open()` on: the module parameter `track`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Track {
    /// None, until `SYSGENID_SET_WATCHER_TRACKING`.
    None,
    /// Those that are open for writing.
    Writable,
    /// All.
    All,
}

impl TryFrom<u32> for Track {
    type Error = Error;

    fn try_from(value: u32) -> Result<Self> {
        match value {
            0 => Ok(Self::None),
            1 => Ok(Self::Writable),
            2 => Ok(Self::All),
            _ => Err(EINVAL),
        }
    }
}

/// What a descriptor has acknowledged, and whether it takes part: the word of an [`OpenFile`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(u64);

impl State {
    /// Whether it counts as a watcher.
    const TRACKED: u64 = 1 << 32;
    /// Whether it is open for writing, and so may take part. Never changes.
    const WRITABLE: u64 = 1 << 33;

    fn new(acknowledged: u32, is_tracked: bool, is_writable: bool) -> Self {
        let writable = if is_writable { Self::WRITABLE } else { 0 };

        Self(u64::from(acknowledged) | writable).with_tracked(is_tracked)
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
    fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }
}

/// An open file description, tracked or not.
#[derive(Clone, Copy)]
pub(crate) struct Watcher<'a>(OpenFile<'a>);

impl Watcher<'_> {
    /// What other threads may be changing at this time.
    #[inline]
    pub(crate) fn state(self) -> State {
        State(self.0.word().load(Ordering::Relaxed))
    }

    /// Changes the state, unless it is not `old` any longer.
    #[inline]
    pub(crate) fn replace(self, old: State, new: State) -> bool {
        self.0
            .word()
            .compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether the acknowledged generation is not the current one.
    #[inline]
    pub(crate) fn is_outdated(self, generation: &Generation) -> bool {
        self.state().acknowledged() != generation.current()
    }

    #[inline]
    fn is_nonblocking(self) -> bool {
        self.0.file().flags() & O_NONBLOCK != 0
    }
}

/// The device: what all descriptors share.
#[pin_data]
pub(crate) struct Device {
    #[pin]
    pub(crate) generation: Generation,
    track: Track,
}

single_device!(Device);

impl Device {
    /// A device at generation 0. May sleep.
    pub(crate) fn new(track: Track) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            generation <- Generation::new(),
            track,
        })
    }

    /// The counter, with no change pending.
    #[inline]
    pub(crate) fn refreshed(&self) -> &Generation {
        self.generation.refresh();
        &self.generation
    }

    /// Whether a descriptor is tracked from `open()` on.
    fn tracks(&self, is_writable: bool) -> bool {
        match self.track {
            Track::None => false,
            Track::Writable => is_writable,
            Track::All => true,
        }
    }

    /// What `poll()` returns.
    #[inline]
    fn events(&self, watcher: Watcher<'_>) -> u32 {
        if watcher.is_outdated(&self.generation) {
            EPOLLIN | EPOLLRDNORM
        } else {
            0
        }
    }

    /// `poll()` of somebody who is going to wait, or of the first after a change.
    #[cold]
    fn poll_slowly(&self, watcher: Watcher<'_>, table: Option<PollTable<'_>>) -> u32 {
        // Also where the answer is known already: an edge-triggered waiter wants to hear of what
        // comes after it.
        if let Some(table) = table {
            self.generation.poll(watcher.0.file(), table);
        }
        self.generation.refresh();
        self.events(watcher)
    }

    /// `SYSGENID_SET_WATCHER_TRACKING`
    fn set_tracking(&self, watcher: Watcher<'_>, arg: usize) -> Result<isize> {
        let track = match arg {
            0 => false,
            1 => true,
            _ => return Err(EINVAL),
        };

        if !watcher.state().is_writable() {
            return Err(EBADF);
        }
        self.generation.set_tracking(watcher, track);
        Ok(0)
    }

    /// `SYSGENID_WAIT_WATCHERS`
    #[inline]
    fn wait_watchers(&self, watcher: Watcher<'_>, timeout_ms: usize) -> Result<isize> {
        if self.generation.is_settled(watcher) {
            return Ok(0);
        }
        self.wait_watchers_slowly(watcher, timeout_ms)
    }

    #[cold]
    fn wait_watchers_slowly(&self, watcher: Watcher<'_>, timeout_ms: usize) -> Result<isize> {
        let start = Instant::now();

        match self
            .generation
            .wait_settled(watcher, || jiffies_left(start, timeout_ms))
        {
            Settled::Yes => Ok(0),
            Settled::TimedOut => Err(Error::from_errno(-(bindings::ETIME as i32))),
            Settled::Interrupted => Err(EINTR),
        }
    }

    /// `SYSGENID_TRIGGER_GEN_UPDATE`
    fn trigger(&self, minimum: usize) -> Result<isize> {
        if !may_checkpoint_restore() {
            return Err(EACCES);
        }
        self.generation
            .trigger(u32::try_from(minimum).map_err(|_| EINVAL)?)?;
        Ok(0)
    }
}

/// What is left of the timeout of `SYSGENID_WAIT_WATCHERS`, in milliseconds, 0 for ever.
///
/// By the clock: jiffies may lag behind it and then catch up at once, which ends a sleep early.
fn jiffies_left(start: Instant<Monotonic>, timeout_ms: usize) -> Jiffies {
    if timeout_ms == 0 {
        return Jiffies::MAX;
    }

    // The largest is 584 years.
    (timeout_ms as u64)
        .saturating_mul(NSEC_PER_MSEC as u64)
        .saturating_sub(start.elapsed().as_nanos() as u64)
        .div_ceil(NSEC_PER_SEC as u64 / JIFFIES_PER_SECOND)
        .try_into()
        .unwrap_or(Jiffies::MAX)
}

impl Operations for Device {
    const ATTRIBUTES: &'static [AttributeInfo<Self>] = &[
        AttributeInfo {
            name: c"generation",
            mode: 0o444,
            show: |device, f| writeln!(f, "{}", device.refreshed().current()),
        },
        AttributeInfo {
            name: c"watchers",
            mode: 0o444,
            show: |device, f| writeln!(f, "{}", device.refreshed().tracked()),
        },
        AttributeInfo {
            name: c"outdated_watchers",
            mode: 0o444,
            show: |device, f| writeln!(f, "{}", device.refreshed().outdated()),
        },
    ];

    fn open(&self, file: &File) -> Result<u64> {
        let is_writable = matches!(file.flags() & O_ACCMODE, O_WRONLY | O_RDWR);
        let is_tracked = self.tracks(is_writable);
        let acknowledged = self.refreshed().join(is_tracked);

        Ok(State::new(acknowledged, is_tracked, is_writable).0)
    }

    fn release(&self, file: OpenFile<'_>) {
        let watcher = Watcher(file);

        if watcher.state().is_tracked() {
            self.generation.forget(watcher);
        }
    }

    #[inline]
    fn read(&self, file: OpenFile<'_>, buf: UserPtr, len: usize) -> Result<usize> {
        let watcher = Watcher(file);

        self.generation.refresh();

        if len < size_of::<u32>() {
            return if len == 0 { Ok(0) } else { Err(EINVAL) };
        }

        if !watcher.is_outdated(&self.generation) {
            if watcher.is_nonblocking() {
                return Err(EAGAIN);
            }
            self.generation.wait_outdated(watcher)?;
        }

        let current = self.generation.current();
        put_u32(buf, current)?;

        if !watcher.state().is_writable() {
            // If there is a newer generation already, the next read returns it at once.
            let _ = self.generation.acknowledge(watcher, current);
        }
        Ok(size_of::<u32>())
    }

    #[inline]
    fn write(&self, file: OpenFile<'_>, buf: UserPtr, len: usize) -> Result<usize> {
        self.generation.refresh();

        if len != size_of::<u32>() {
            return Err(EINVAL);
        }
        self.generation.acknowledge(Watcher(file), get_u32(buf)?)?;
        Ok(size_of::<u32>())
    }

    #[inline]
    fn poll(&self, file: OpenFile<'_>, table: Option<PollTable<'_>>) -> u32 {
        let watcher = Watcher(file);

        if table.is_some() || self.generation.is_pending() {
            return self.poll_slowly(watcher, table);
        }
        self.events(watcher)
    }

    fn mmap(&self, vma: &VmaNew, offset: usize) -> Result {
        if vma.writable() || vma.executable() {
            return Err(EPERM);
        }
        vma.try_clear_maywrite()?;
        vma.try_clear_mayexec()?;

        // `VM_SHARED` is taken from shared mappings of a file that is not open for writing.
        if vma.flags() & VM_MAYSHARE == 0 {
            return Err(EINVAL);
        }
        match (offset, (vma.end() - vma.start()) / PAGE_SIZE) {
            (0, 1) => Ok(()),
            (0, 2) | (1, 1) if self.generation.has_hwid_page() => Ok(()),
            (0, 2) | (1, 1) => Err(ENODEV),
            _ => Err(EINVAL),
        }
    }

    fn frame(&self, offset: usize) -> Option<Frame<'_>> {
        self.generation.frame(offset)
    }

    #[inline]
    fn ioctl(&self, file: OpenFile<'_>, cmd: u32, arg: usize) -> Result<isize> {
        let watcher = Watcher(file);

        self.generation.refresh();

        match cmd {
            SYSGENID_SET_WATCHER_TRACKING => self.set_tracking(watcher, arg),
            SYSGENID_WAIT_WATCHERS => self.wait_watchers(watcher, arg),
            SYSGENID_TRIGGER_GEN_UPDATE => self.trigger(arg),
            SYSGENID_GET_OUTDATED_WATCHERS => Ok(self.generation.outdated() as isize),
            SYSGENID_GET_GENERATION => {
                put_u32(UserPtr::from_addr(arg), self.generation.current())?;
                Ok(0)
            }
            _ => Err(ENOTTY),
        }
    }

    fn show_fdinfo(&self, file: OpenFile<'_>, seq: &SeqFile) {
        let generation = self.refreshed().current();
        let state = Watcher(file).state();

        seq_print!(seq, "sysgenid_generation:\t{generation}\n");
        seq_print!(seq, "sysgenid_acked:\t{}\n", state.acknowledged());
        seq_print!(seq, "sysgenid_tracked:\t{}\n", u8::from(state.is_tracked()));
    }

    fn resume(&self) {
        self.generation.refresh();
    }
}
