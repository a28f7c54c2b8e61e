// SPDX-License-Identifier: GPL-2.0

//! The device: what each system call on `/dev/sysgenid` does, and its attributes in sysfs.
//!
//! Every entry point begins with [`Generation::refresh`], so that no answer is older than the
//! restore that came before the call.

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
    descriptor::Descriptor,
    generation::{
        Generation,
        Settled, //
    },
    misc_device::{
        single_device,
        Answer,
        Frame,
        OpenFile,
        Operations, //
    },
    sysfs::AttributeInfo,
    uaccess::{
        put_u32,
        Destination,
        Source, //
    },
    wait_queue::PollTable,
    watchers::State, //
};
use core::fmt::Write;
use kernel::{
    bindings,
    fs::{
        file::flags::{
            O_ACCMODE,
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

/// What `read()` and `write()` transfer, in bytes.
const GENERATION_SIZE: usize = size_of::<u32>();

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
    fn refreshed(&self) -> &Generation {
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

    /// What `write()` does.
    #[inline(always)]
    fn acknowledge(&self, descriptor: Descriptor<'_>, generation: u32) -> Answer {
        match self.generation.acknowledge(descriptor, generation) {
            Ok(()) => GENERATION_SIZE.into(),
            Err(err) => err.into(),
        }
    }

    /// `SYSGENID_SET_WATCHER_TRACKING`
    #[inline(never)]
    fn set_tracking(&self, descriptor: Descriptor<'_>, arg: usize) -> Answer {
        let track = match arg {
            0 => false,
            1 => true,
            _ => return EINVAL.into(),
        };

        // Only who may write can hold up a control plane; to step out is open to everybody.
        if track && !descriptor.state().is_writable() {
            return EBADF.into();
        }
        self.generation.set_tracking(descriptor, track);
        Answer::DONE
    }

    /// `SYSGENID_WAIT_WATCHERS`
    #[inline]
    fn wait_watchers(&self, descriptor: Descriptor<'_>, timeout_ms: usize) -> Answer {
        if self.generation.is_settled(descriptor) {
            return Answer::DONE;
        }
        self.wait_watchers_slowly(descriptor, timeout_ms)
    }

    #[cold]
    fn wait_watchers_slowly(&self, descriptor: Descriptor<'_>, timeout_ms: usize) -> Answer {
        let start = Instant::now();

        match self
            .generation
            .wait_settled(descriptor, || jiffies_left(start, timeout_ms))
        {
            Settled::Yes => Answer::DONE,
            Settled::TimedOut => Error::from_errno(-(bindings::ETIME as i32)).into(),
            Settled::Interrupted => EINTR.into(),
        }
    }

    /// `SYSGENID_TRIGGER_GEN_UPDATE`
    #[inline(never)]
    fn trigger(&self, minimum: usize) -> Answer {
        if !may_checkpoint_restore() {
            return EACCES.into();
        }
        match u32::try_from(minimum) {
            Ok(minimum) => self.generation.trigger(minimum).into(),
            Err(_) => EINVAL.into(),
        }
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

/// What `read()` of an outdated descriptor answers.
#[inline(always)]
fn put(to: impl Destination, generation: u32) -> Answer {
    match to.put_u32(generation) {
        Ok(()) => GENERATION_SIZE.into(),
        Err(err) => err.into(),
    }
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
        AttributeInfo {
            name: c"source",
            mode: 0o444,
            show: |device, f| {
                device.refreshed().write_source_name(f)?;
                writeln!(f)
            },
        },
    ];

    #[inline]
    fn is_ready(&self) -> bool {
        !self.generation.is_pending()
    }

    #[cold]
    fn prepare(&self) {
        self.generation.refresh();
    }

    #[inline]
    fn open(&self, file: &File) -> u64 {
        let is_writable = matches!(file.flags() & O_ACCMODE, O_WRONLY | O_RDWR);
        let is_tracked = self.tracks(is_writable);
        let acknowledged = self.refreshed().join(is_tracked);

        State::new(acknowledged, is_tracked, is_writable).word()
    }

    #[inline]
    fn release(&self, file: OpenFile<'_>) {
        let descriptor = Descriptor::new(file);

        if descriptor.state().is_tracked() {
            self.generation.forget(descriptor);
        }
    }

    #[inline(always)]
    fn read_at_once(&self, file: OpenFile<'_>, to: impl Destination) -> Option<Answer> {
        let descriptor = Descriptor::new(file);

        if self.generation.is_pending() || to.len() < GENERATION_SIZE {
            return None;
        }
        let Some(current) = self.generation.outdated_by(descriptor) else {
            return descriptor.is_nonblocking().then(|| EAGAIN.into());
        };
        // Else there is something to acknowledge.
        descriptor.state().is_writable().then(|| put(to, current))
    }

    fn read(&self, file: OpenFile<'_>, to: impl Destination, is_nonblocking: bool) -> Answer {
        let descriptor = Descriptor::new(file);

        if to.len() < GENERATION_SIZE {
            return if to.len() == 0 {
                Answer::DONE
            } else {
                EINVAL.into()
            };
        }
        if self.generation.outdated_by(descriptor).is_none() {
            if is_nonblocking || descriptor.is_nonblocking() {
                return EAGAIN.into();
            }
            if let Err(err) = self.generation.wait_outdated(descriptor) {
                return err.into();
            }
        }

        let current = self.generation.current();
        let answer = put(to, current);

        if answer.is_success() && !descriptor.state().is_writable() {
            // If there is a newer generation already, the next read returns it at once.
            let _ = self.generation.acknowledge(descriptor, current);
        }
        answer
    }

    #[inline(always)]
    fn write(&self, file: OpenFile<'_>, from: impl Source) -> Answer {
        if from.len() != GENERATION_SIZE {
            return EINVAL.into();
        }
        match from.get_u32() {
            Ok(generation) => self.acknowledge(Descriptor::new(file), generation),
            Err(err) => err.into(),
        }
    }

    fn register(&self, file: OpenFile<'_>, table: PollTable<'_>) {
        self.generation.poll(file.file(), table);
    }

    #[inline]
    fn events(&self, file: OpenFile<'_>) -> u32 {
        match self.generation.outdated_by(Descriptor::new(file)) {
            Some(_) => EPOLLIN | EPOLLRDNORM,
            None => 0,
        }
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

    #[inline(always)]
    fn ioctl(&self, file: OpenFile<'_>, cmd: u32, arg: usize) -> Answer {
        let descriptor = Descriptor::new(file);

        match cmd {
            SYSGENID_SET_WATCHER_TRACKING => self.set_tracking(descriptor, arg),
            SYSGENID_WAIT_WATCHERS => self.wait_watchers(descriptor, arg),
            SYSGENID_TRIGGER_GEN_UPDATE => self.trigger(arg),
            SYSGENID_GET_OUTDATED_WATCHERS => (self.generation.outdated() as usize).into(),
            SYSGENID_GET_GENERATION => {
                put_u32(UserPtr::from_addr(arg), self.generation.current()).into()
            }
            _ => ENOTTY.into(),
        }
    }

    fn show_fdinfo(&self, file: OpenFile<'_>, seq: &SeqFile) {
        let generation = self.refreshed().current();
        let state = Descriptor::new(file).state();

        seq_print!(seq, "sysgenid_generation:\t{generation}\n");
        seq_print!(seq, "sysgenid_acked:\t{}\n", state.acknowledged());
        seq_print!(seq, "sysgenid_tracked:\t{}\n", u8::from(state.is_tracked()));
    }

    fn resume(&self) {
        self.generation.refresh();
    }
}
