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
        Settled,
        Watchers, //
    },
    misc_device::{
        Frame,
        OpenFile,
        Shared, //
    },
    sysfs::AttributeInfo,
    uaccess::{
        get_u32,
        put_u32, //
    },
    wait_queue::PollTable, //
};
use core::sync::atomic::{
    AtomicU32,
    Ordering, //
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
    sync::{
        Arc,
        LockedBy, //
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

/// What all descriptors share.
pub(crate) struct Device {
    pub(crate) generation: Arc<Generation>,
    pub(crate) track: Track,
}

impl Shared for Device {
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

    fn resume(&self) {
        self.generation.refresh();
    }
}

impl Device {
    /// The counter, with no change pending.
    fn refreshed(&self) -> &Generation {
        self.generation.refresh();
        &self.generation
    }
}

/// An open file description, tracked or not.
pub(crate) struct Watcher {
    generation: Arc<Generation>,
    /// The acknowledged generation. Written under [`Generation::watchers`].
    acknowledged: AtomicU32,
    /// Whether this counts in [`Watchers`].
    pub(crate) tracked: LockedBy<bool, Watchers>,
    /// Whether this is open for writing, and so may take part.
    is_writable: bool,
}

impl Watcher {
    /// Sets the acknowledged generation, for a caller that holds [`Generation::watchers`].
    pub(crate) fn set_acknowledged(&self, generation: u32) {
        self.acknowledged.store(generation, Ordering::Relaxed);
    }

    /// The acknowledged generation.
    #[inline]
    fn acknowledged(&self) -> u32 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Whether this is the acknowledged generation.
    #[inline]
    pub(crate) fn has_acknowledged(&self, generation: u32) -> bool {
        self.acknowledged() == generation
    }

    /// Whether the acknowledged generation is not the current one.
    #[inline]
    pub(crate) fn is_outdated(&self, generation: &Generation) -> bool {
        !self.has_acknowledged(generation.current())
    }

    /// `SYSGENID_SET_WATCHER_TRACKING`
    fn set_tracking(&self, arg: usize) -> Result<isize> {
        let track = match arg {
            0 => false,
            1 => true,
            _ => return Err(EINVAL),
        };

        if !self.is_writable {
            return Err(EBADF);
        }
        self.generation.set_tracking(self, track);
        Ok(0)
    }

    /// `SYSGENID_WAIT_WATCHERS`
    fn wait_watchers(&self, timeout_ms: usize) -> Result<isize> {
        if self.is_outdated(&self.generation) {
            return Err(EINTR);
        }
        if self.generation.outdated() == 0 {
            return Ok(0);
        }
        let start = Instant::now();
        match self
            .generation
            .wait_settled(self, || jiffies_left(start, timeout_ms))
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

impl OpenFile for Watcher {
    type Shared = Device;

    fn open(device: &Arc<Device>, file: &File) -> Result<KBox<Self>> {
        let generation = &device.generation;
        let is_writable = matches!(file.flags() & O_ACCMODE, O_WRONLY | O_RDWR);

        generation.refresh();

        let watcher = KBox::new(
            Self {
                acknowledged: AtomicU32::new(generation.current()),
                tracked: LockedBy::new(&generation.watchers, false),
                is_writable,
                generation: generation.clone(),
            },
            GFP_KERNEL,
        )?;

        if device.track == Track::All || device.track == Track::Writable && is_writable {
            generation.set_tracking(&watcher, true);
        }
        Ok(watcher)
    }

    #[inline]
    fn read(&self, file: &File, buf: UserPtr, len: usize) -> Result<usize> {
        self.generation.refresh();

        if len < size_of::<u32>() {
            return if len == 0 { Ok(0) } else { Err(EINVAL) };
        }

        if !self.is_outdated(&self.generation) {
            if file.flags() & O_NONBLOCK != 0 {
                return Err(EAGAIN);
            }
            self.generation.wait_outdated(self)?;
        }

        let current = self.generation.current();
        put_u32(buf, current)?;

        if !self.is_writable {
            // If there is a newer generation already, the next read returns it at once.
            let _ = self.generation.acknowledge(self, current);
        }
        Ok(size_of::<u32>())
    }

    #[inline]
    fn write(&self, buf: UserPtr, len: usize) -> Result<usize> {
        self.generation.refresh();

        if len != size_of::<u32>() {
            return Err(EINVAL);
        }
        self.generation.acknowledge(self, get_u32(buf)?)?;
        Ok(size_of::<u32>())
    }

    #[inline]
    fn poll(&self, file: &File, table: Option<PollTable<'_>>) -> u32 {
        // Also where the answer is known already: an edge-triggered waiter wants to hear of what
        // comes after it.
        if let Some(table) = table {
            self.generation.poll(file, table);
        }
        self.generation.refresh();

        if self.is_outdated(&self.generation) {
            EPOLLIN | EPOLLRDNORM
        } else {
            0
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

    #[inline]
    fn ioctl(&self, cmd: u32, arg: usize) -> Result<isize> {
        self.generation.refresh();

        match cmd {
            SYSGENID_SET_WATCHER_TRACKING => self.set_tracking(arg),
            SYSGENID_WAIT_WATCHERS => self.wait_watchers(arg),
            SYSGENID_TRIGGER_GEN_UPDATE => self.trigger(arg),
            SYSGENID_GET_OUTDATED_WATCHERS => Ok(self.generation.outdated() as isize),
            SYSGENID_GET_GENERATION => {
                put_u32(UserPtr::from_addr(arg), self.generation.current())?;
                Ok(0)
            }
            _ => Err(ENOTTY),
        }
    }

    fn show_fdinfo(&self, seq: &SeqFile) {
        self.generation.refresh();

        seq_print!(seq, "sysgenid_generation:\t{}\n", self.generation.current());
        seq_print!(seq, "sysgenid_acked:\t{}\n", self.acknowledged());
        let is_tracked = self.generation.is_tracked(self);
        seq_print!(seq, "sysgenid_tracked:\t{}\n", u8::from(is_tracked));
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.generation.set_tracking(self, false);
    }
}
