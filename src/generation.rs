// SPDX-License-Identifier: GPL-2.0

//! The generation counter: what the current generation is, who has acknowledged it, and the one
//! place where it changes, [`Generation::advance`].

use crate::{
    bindings::{
        sysgenid_source,
        EPOLLIN,
        EPOLLRDNORM, //
    },
    hwid::{
        FirmwareFrame,
        HwId,
        LiveHwId, //
    },
    misc_device::Frame,
    shared_page::SharedPage,
    source::Source,
    subscribers,
    uevent::Uevents,
    wait_queue::{
        PollTable,
        WaitQueue, //
    },
    watcher::Watcher, //
};
use core::{
    ops::ControlFlow,
    sync::atomic::{
        AtomicU32,
        Ordering, //
    },
};
use kernel::{
    c_str,
    device::Device,
    fs::File,
    new_mutex,
    new_spinlock,
    page::PAGE_SIZE,
    prelude::*,
    static_lock_class,
    sync::{
        lock::{
            spinlock::SpinLockBackend,
            Guard, //
        },
        Mutex,
        SpinLock, //
    },
    time::Jiffies, //
};

/// The highest generation that software may trigger. Hardware events may go on from there, so that
/// no software can bring the counter near its end.
const MAX_TRIGGERED: u32 = i32::MAX as u32;

/// Why waiting for the watchers has ended.
pub(crate) enum Settled {
    /// No watcher is outdated.
    Yes,
    /// The time is over.
    TimedOut,
    /// A signal has arrived, or the caller is outdated itself.
    Interrupted,
}

/// What only one change at a time may touch.
#[derive(Default)]
struct Change {
    /// The attached source.
    source: Option<Source>,
    /// Whether `page` holds a hardware ID, because there was a source at some time.
    has_hwid: bool,
    /// What page 1 of mappings shows: that of the latest source which had such a page. Stays when
    /// the source goes, so that mappings stay readable.
    frame: Option<FirmwareFrame>,
}

/// Who watches, as a number: a change makes all of them outdated in one step.
#[derive(Default)]
pub(crate) struct Watchers {
    /// The tracked descriptors.
    tracked: u32,
}

/// The generation counter.
///
/// Locks, outermost first: `change` serialises changes and may be held for long, as a change
/// reseeds the RNG; `watchers` protects what a change and an acknowledgment must agree on, and is
/// held for a few instructions. Nobody is woken, and nothing sleeps, under `watchers`.
#[pin_data]
pub(crate) struct Generation {
    /// The current generation and the hardware ID that it accounts for. Written under `change` and
    /// `watchers`, read without a lock.
    page: SharedPage,
    /// The hardware ID as it is at this moment.
    #[pin]
    live: LiveHwId,
    #[pin]
    change: Mutex<Change>,
    #[pin]
    pub(crate) watchers: SpinLock<Watchers>,
    /// How many of the tracked descriptors have not acknowledged the current generation. Written
    /// under `watchers`, read without a lock.
    outdated: AtomicU32,
    /// Woken by each change.
    #[pin]
    changed: WaitQueue,
    /// Woken by each change and when the last outdated watcher has gone or acknowledged.
    #[pin]
    settled: WaitQueue,
    /// The uevents of changes. Filled under `change`.
    uevents: Uevents,
}

impl Generation {
    /// A counter at generation 0 without a source. May sleep.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            page: SharedPage::new()?,
            live <- LiveHwId::new(),
            change <- new_mutex!(Change::default(), "sysgenid_change"),
            watchers <- new_spinlock!(Watchers::default(), "sysgenid_watchers"),
            outdated: AtomicU32::new(0),
            changed <- WaitQueue::new(
                EPOLLIN | EPOLLRDNORM,
                c_str!("sysgenid_changed"),
                static_lock_class!(),
            ),
            settled <- WaitQueue::new(0, c_str!("sysgenid_settled"), static_lock_class!()),
            uevents: Uevents::new()?,
        })
    }

    /// The current generation, as of the last processed change.
    #[inline]
    pub(crate) fn current(&self) -> u32 {
        self.page.generation()
    }

    /// Whether the live hardware ID is not the one that was processed last.
    #[inline]
    fn is_pending(&self) -> bool {
        self.live
            .read()
            .is_some_and(|live| live != self.page.hwid())
    }

    /// Processes a change of the hardware ID, if there is one.
    ///
    /// Each system call on the device starts with this; whoever comes first runs the change, and
    /// everybody has it behind them on return. May sleep if there is a change.
    #[inline]
    pub(crate) fn refresh(&self) {
        if self.is_pending() {
            self.catch_up();
        }
    }

    /// The slow path of [`Self::refresh`].
    #[cold]
    fn catch_up(&self) {
        self.with_change(|change| self.process(change));
    }

    /// Processes a change of the hardware ID, if there is one, unless somebody else is at it.
    ///
    /// For notifications, which must not wait for a change: a change may itself call the chain that
    /// they come from. Whoever runs a change looks for another one afterwards, so that nothing is
    /// lost by going away here.
    pub(crate) fn notify(&self) {
        // Ends, even if a broken hypervisor gives out new IDs faster than they can be processed.
        for _ in 0..16 {
            if !self.is_pending() {
                return;
            }
            let Some(mut change) = self.change.try_lock() else {
                return;
            };
            self.process(&mut change);
        }
    }

    /// Calls `f` as the only one who changes anything, and makes up for the notifications that
    /// have gone away meanwhile. May sleep.
    fn with_change<R>(&self, f: impl FnOnce(&mut Change) -> R) -> R {
        let result = f(&mut self.change.lock());

        self.notify();
        result
    }

    /// Processes a change of the hardware ID, if there still is one. May sleep.
    fn process(&self, change: &mut Change) {
        let Some(source) = change.source.as_mut() else {
            return;
        };

        if let Some(hwid) = self.live.read_stable() {
            if hwid != self.page.hwid() {
                source.reseed(hwid);
                // 2^31 hardware events beyond the reach of software do not happen; if they did,
                // the counter would stay at its end rather than start again.
                self.advance(self.current().saturating_add(1), Some(hwid));
            }
        }
    }

    /// Moves to generation `next`: what `hwid` stands for has already reached the RNG. For whoever
    /// holds `change`. May sleep.
    ///
    /// This is the only place where the generation changes, and where the order of what others see
    /// of it is decided.
    fn advance(&self, next: u32, hwid: Option<HwId>) {
        let watchers = self.watchers.lock();

        // Nobody can have acknowledged what has not begun. First, so that whoever sees the new
        // generation without a lock also sees that everybody is outdated.
        self.outdated.store(watchers.tracked, Ordering::Relaxed);
        self.page.set_generation(next);
        // Last, as it tells those who look without a lock that no change is pending any longer.
        if let Some(hwid) = hwid {
            self.page.set_hwid(hwid);
        }
        drop(watchers);

        WaitQueue::wake_all_of([&self.changed, &self.settled]);

        subscribers::call(next);
        self.uevents.send(next);
    }

    /// Moves to the next generation, for other sources than hardware IDs. May sleep.
    pub(crate) fn bump(&self) {
        self.with_change(|change| {
            self.process(change);
            self.advance(self.current().saturating_add(1), None);
        });
    }

    /// Moves to the generation max(`minimum`, current + 1), for software.
    ///
    /// `EOVERFLOW`, and no change, if that is above [`MAX_TRIGGERED`]. May sleep.
    pub(crate) fn trigger(&self, minimum: u32) -> Result {
        self.with_change(|change| {
            self.process(change);

            let next = self.current().saturating_add(1).max(minimum);
            if next > MAX_TRIGGERED {
                return Err(EOVERFLOW);
            }
            self.advance(next, None);
            Ok(())
        })
    }

    /// Attaches a source, see `sysgenid_register_source()` for what this does and returns.
    pub(crate) fn attach(&self, mut source: Source) -> Result {
        self.with_change(|change| {
            if change.source.is_some() {
                return Err(EBUSY);
            }

            let paddr = source.paddr();
            let frame = self.live.attach(paddr)?;

            if let Some(hwid) = self.live.read_stable() {
                source.mix(hwid);
                if !change.has_hwid {
                    self.page.set_hwid(hwid);
                    change.has_hwid = true;
                }
            }
            if frame.is_some() {
                change.frame = frame;
                self.page
                    .set_hwid_offset(Some((paddr % PAGE_SIZE as u64) as u32));
            }

            change.source = Some(source);
            // A source that comes back may find that the system was cloned in the meantime.
            self.process(change);
            Ok(())
        })
    }

    /// Detaches the source at `source`, if it is attached. May sleep.
    pub(crate) fn detach(&self, source: *mut sysgenid_source) {
        self.with_change(|change| {
            if change
                .source
                .take_if(|attached| attached.is(source))
                .is_some()
            {
                self.live.detach();
                self.page.set_hwid_offset(None);
            }
        });
    }

    /// Starts to track a descriptor, or to forget it.
    pub(crate) fn set_tracking(&self, watcher: &Watcher, track: bool) {
        let mut watchers = self.watchers.lock();
        let is_outdated = watcher.is_outdated(self);
        let tracked = watcher.tracked.access_mut(&mut watchers);

        if *tracked == track {
            return;
        }
        *tracked = track;

        if track {
            watchers.tracked += 1;
            if is_outdated {
                self.outdated.fetch_add(1, Ordering::Relaxed);
            }
        } else {
            watchers.tracked -= 1;
            if is_outdated {
                self.one_less_outdated(watchers);
            }
        }
    }

    /// Counts a watcher that is not outdated any longer; the last one wakes those who wait for it.
    fn one_less_outdated(&self, watchers: Guard<'_, Watchers, SpinLockBackend>) {
        let left = self.outdated.fetch_sub(1, Ordering::Release) - 1;

        drop(watchers);
        if left == 0 {
            self.settled.wake_all();
        }
    }

    /// Acknowledges `generation` for a descriptor.
    ///
    /// `EINVAL`, and nothing acknowledged, if that is not the current generation.
    pub(crate) fn acknowledge(&self, watcher: &Watcher, generation: u32) -> Result {
        if generation != self.current() {
            return Err(EINVAL);
        }
        // Repeated. This was right when the current generation was looked at.
        if watcher.has_acknowledged(generation) {
            return Ok(());
        }

        let watchers = self.watchers.lock();
        if generation != self.current() {
            return Err(EINVAL);
        }
        // Unless another thread was faster with the same descriptor.
        if watcher.is_outdated(self) {
            watcher.set_acknowledged(generation);
            if *watcher.tracked.access(&watchers) {
                self.one_less_outdated(watchers);
            }
        }
        Ok(())
    }

    /// The number of outdated watchers.
    #[inline]
    pub(crate) fn outdated(&self) -> u32 {
        self.outdated.load(Ordering::Acquire)
    }

    /// The number of watchers.
    pub(crate) fn tracked(&self) -> u32 {
        self.watchers.lock().tracked
    }

    /// Whether a descriptor is tracked.
    pub(crate) fn is_tracked(&self, watcher: &Watcher) -> bool {
        *watcher.tracked.access(&self.watchers.lock())
    }

    /// Waits until a descriptor is outdated.
    ///
    /// `ERESTARTSYS` if a signal arrives. Sleeps.
    #[cold]
    pub(crate) fn wait_outdated(&self, watcher: &Watcher) -> Result {
        self.changed.wait(|| {
            self.refresh();

            if watcher.is_outdated(self) {
                ControlFlow::Break(Ok(()))
            } else if current!().signal_pending() {
                ControlFlow::Break(Err(ERESTARTSYS))
            } else {
                ControlFlow::Continue(Jiffies::MAX)
            }
        })
    }

    /// Waits until no watcher is outdated or `left` says that no time is left. Sleeps.
    #[cold]
    pub(crate) fn wait_settled(&self, watcher: &Watcher, left: impl Fn() -> Jiffies) -> Settled {
        self.settled.wait(|| {
            // Also before an answer that was waited for: the system may have been cloned since.
            self.refresh();

            if watcher.is_outdated(self) {
                return ControlFlow::Break(Settled::Interrupted);
            }
            if self.outdated() == 0 {
                return ControlFlow::Break(Settled::Yes);
            }
            match left() {
                0 => ControlFlow::Break(Settled::TimedOut),
                _ if current!().signal_pending() => ControlFlow::Break(Settled::Interrupted),
                timeout => ControlFlow::Continue(timeout),
            }
        })
    }

    /// Registers a poll table, so that it hears of every later change.
    pub(crate) fn poll(&self, file: &File, table: PollTable<'_>) {
        self.changed.register(file, table);
    }

    /// The hardware ID that the current generation accounts for. May sleep.
    pub(crate) fn hwid(&self) -> HwId {
        self.refresh();
        self.page.hwid()
    }

    /// Lets uevents of later changes be sent for `dev`, or none any longer. May sleep.
    pub(crate) fn announce_for(&self, dev: Option<&Device>) {
        self.uevents.set_device(dev);
    }

    /// Whether page 1 of the device can be mapped.
    pub(crate) fn has_hwid_page(&self) -> bool {
        self.page.has_hwid_offset()
    }

    /// What page number `offset` of a mapping shows. May sleep.
    pub(crate) fn frame(&self, offset: usize) -> Option<Frame<'_>> {
        match offset {
            0 => Some(Frame::Page(self.page.page())),
            1 => self.change.lock().frame.map(Frame::Firmware),
            _ => None,
        }
    }
}
