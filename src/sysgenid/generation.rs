// SPDX-License-Identifier: GPL-2.0

//! The generation counter: who changes it, who waits for what, and where hardware IDs come from.
//!
//! This file has the locks and the wait queues. What is done under and beside them is in
//! `watchers.rs` and `../../rust/sysgenid/publication.rs`.

use crate::{
    announcer::{
        Announcement,
        Announcer,
        Report, //
    },
    attached_source::AttachedSource,
    bindings::{
        sysgenid_source,
        EPOLLIN,
        EPOLLRDNORM, //
    },
    descriptor::Descriptor,
    hwid::TrackedHwId,
    irq_lock::{
        new_irq_spin_lock,
        unless_rt,
        IrqSpinLock, //
    },
    misc_device::Frame,
    publication::{
        HwId,
        LiveId,
        PageWords,
        ATTEMPTS, //
    },
    shared_page::SharedPage,
    wait_queue::{
        PollTable,
        WaitQueue, //
    },
    watchers::{
        outdated_by,
        Acknowledged,
        Tracked,
        Watchers, //
    }, //
};
use core::{
    fmt::Write,
    ops::ControlFlow, //
};
use kernel::{
    device::Device,
    fs::File,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    static_lock_class,
    str::Formatter,
    sync::Mutex,
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
    /// The number of watchers.
    tracked: Tracked,
    /// The attached source.
    source: Option<AttachedSource>,
    /// Whether `page` holds a hardware ID, because there was a source at some time.
    has_hwid: bool,
}

/// The generation counter.
///
/// A change does not sleep: whoever notices it runs it, from the reseed to the publication, under
/// the spinlock `change`, and nobody waits for longer than that takes. It may be a hard interrupt
/// that does. What may sleep, subscribers in the kernel above all, follows from a worker, see
/// [`Announcer`].
///
/// Locks, outermost first: `attachment` serialises the coming and going of sources, and sleeps;
/// `change` serialises changes, and keeps the number of watchers from changing while all of them
/// become outdated. Nobody is woken under the spinlock.
#[pin_data]
pub(crate) struct Generation {
    /// The hardware ID. That of the source differs from the processed one while a change is
    /// pending; the latter is written under `change`.
    #[pin]
    hwid: TrackedHwId,
    /// How many watchers are outdated, and whether they have been woken.
    watchers: Watchers,
    /// The current generation and the hardware ID that it accounts for, as programs see them.
    /// Written under `change`.
    page: SharedPage,
    /// Woken by each change.
    #[pin]
    changed: WaitQueue,
    /// Woken by each change and when the last outdated watcher has gone or acknowledged.
    #[pin]
    settled: WaitQueue,
    #[pin]
    change: IrqSpinLock<Change>,
    #[pin]
    attachment: Mutex<()>,
    /// Filled under `change`.
    announcer: Announcer,
}

impl Generation {
    /// A counter at generation 0 without a source. May sleep.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            hwid <- TrackedHwId::new(),
            watchers: Watchers::new(),
            page: SharedPage::new()?,
            changed <- WaitQueue::new(
                EPOLLIN | EPOLLRDNORM,
                c"sysgenid_changed",
                static_lock_class!(),
            ),
            settled <- WaitQueue::new(0, c"sysgenid_settled", static_lock_class!()),
            change <- new_irq_spin_lock!(Change::default(), c"sysgenid_change"),
            attachment <- new_mutex!((), "sysgenid_attachment"),
            announcer: Announcer::new()?,
        })
    }

    /// The current generation, as of the last processed change.
    ///
    /// The only copy that is read is the one in the shared page, so that the kernel and programs
    /// cannot disagree.
    #[inline]
    pub(crate) fn current(&self) -> u32 {
        self.page.generation()
    }

    /// Whether the hardware ID is not the one that was processed last. In any context.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.hwid.is_pending()
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
        for _ in 0..ATTEMPTS {
            self.with_change(|change| self.process(change));
            if !self.is_pending() {
                return;
            }
        }
    }

    /// Processes a change of the hardware ID, if there is one, and wakes those whom the task that
    /// has processed it did not come to wake yet. May sleep.
    ///
    /// For notifications: who runs a change may have to wait for the processor after it, so that
    /// this one, which need not, also ends what that one has begun.
    pub(crate) fn notify(&self) {
        self.refresh();
        self.wake();
    }

    /// Processes a change of the hardware ID, if there is one, without waking anybody: for hard
    /// interrupts, after which [`Self::notify`] is called. In any context, but does nothing where
    /// spinlocks sleep.
    pub(crate) fn process_at_once(&self) {
        if self.is_pending() {
            unless_rt(|| self.process(&self.change.lock()));
        }
    }

    /// Calls `f` as the only one who changes anything, and wakes those who wait if there is
    /// another generation. `f` must not sleep. May sleep itself.
    fn with_change<R>(&self, f: impl FnOnce(&mut Change) -> R) -> R {
        let result = f(&mut self.change.lock());

        self.wake();
        result
    }

    /// Wakes those who wait, unless somebody has done so since the last change. May sleep.
    #[inline]
    fn wake(&self) {
        self.watchers.wake(&self.page, || {
            WaitQueue::wake_all_of([&self.changed, &self.settled]);
        });
    }

    /// Processes a change of the hardware ID, if there still is one.
    fn process(&self, change: &Change) {
        if self.is_pending() {
            self.process_pending(change);
        }
    }

    #[cold]
    fn process_pending(&self, change: &Change) {
        let Some(source) = change.source else {
            return;
        };
        let Some((hwid, reseeded)) = self.hwid.reseed(|hwid| source.reseed(hwid)) else {
            return;
        };

        // 2^31 hardware events beyond the reach of software do not happen; if they did, the
        // counter would stay at its end rather than start again.
        let next = self.current().saturating_add(1);
        let report = Report {
            source,
            hwid,
            reseeded,
        };
        self.advance(change, next, Some(report));
    }

    /// Moves to generation `next`, see [`Watchers::advance`]. For whoever holds `change`, who wakes
    /// those who wait without it.
    fn advance(&self, change: &Change, next: u32, report: Option<Report>) {
        self.watchers.advance(
            &change.tracked,
            &self.page,
            self.hwid.processed(),
            next,
            report.as_ref().map(|report| &report.hwid),
        );
        self.announcer.push(Announcement {
            generation: next,
            report,
        });
    }

    /// Moves to the next generation, for other sources than hardware IDs. May sleep.
    pub(crate) fn bump(&self) {
        // Only at its end, where it stays, could the counter refuse.
        let _ = self.advance_to(|current| Ok(current.saturating_add(1)));
    }

    /// Moves to the generation max(`minimum`, current + 1), for software.
    ///
    /// `EOVERFLOW`, and no change, if that is above [`MAX_TRIGGERED`]. May sleep.
    pub(crate) fn trigger(&self, minimum: u32) -> Result {
        self.advance_to(|current| {
            let next = current.saturating_add(1).max(minimum);
            if next > MAX_TRIGGERED {
                return Err(EOVERFLOW);
            }
            Ok(next)
        })
    }

    /// Moves from the current generation to the one that `next` says. May sleep: until there is
    /// room for another announcement.
    fn advance_to(&self, next: impl Fn(u32) -> Result<u32>) -> Result {
        loop {
            let advanced = self.with_change(|change| {
                self.process(change);
                let next = next(self.current())?;

                let has_room = self.announcer.has_room();
                if has_room {
                    self.advance(change, next, None);
                }
                Ok::<bool, Error>(has_room)
            })?;

            if advanced {
                return Ok(());
            }
            self.announcer.make_room();
        }
    }

    /// Attaches a source, see `sysgenid_register_source()` for what this does and returns.
    pub(crate) fn attach(&self, source: AttachedSource) -> Result {
        let _attachment = self.attachment.lock();

        if self.change.lock().source.is_some() {
            return Err(EBUSY);
        }

        let paddr = source.paddr();
        let place = self.hwid.locate(paddr)?;
        let is_shown = self.hwid.show_page_of(paddr);
        let hwid = place.read_stable();
        source.mix(hwid);

        self.with_change(|change| {
            if !change.has_hwid {
                self.hwid.processed().publish(&self.page, hwid);
                change.has_hwid = true;
            }
            self.hwid.follow(place);
            change.source = Some(source);
            if is_shown {
                self.page
                    .set_hwid_offset(Some((paddr % PAGE_SIZE as u64) as u32));
            }
            // A source that comes back may find that the system was cloned in the meantime.
            self.process(change);
        });
        Ok(())
    }

    /// Detaches the source at `source`, if it is attached. May sleep.
    ///
    /// A pending change is processed before it goes. When this returns, none of its callbacks runs
    /// any longer.
    pub(crate) fn detach(&self, source: *mut sysgenid_source) {
        let _attachment = self.attachment.lock();

        let is_attached = self.with_change(|change| {
            self.process(change);
            let is_attached = change
                .source
                .take_if(|attached| attached.is(source))
                .is_some();
            if is_attached {
                self.page.set_hwid_offset(None);
                self.hwid.follow_none();
            }
            is_attached
        });

        if is_attached {
            self.announcer.finish();
        }
    }

    /// Writes the name of the attached source, or `none`.
    pub(crate) fn write_source_name(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        match self.change.lock().source {
            Some(source) => f.write_fmt(fmt!("{}", source.name())),
            None => f.write_str("none"),
        }
    }

    /// Begins to watch: returns the generation that a new descriptor has acknowledged.
    pub(crate) fn join(&self, track: bool) -> u32 {
        if !track {
            return self.current();
        }

        let mut change = self.change.lock();
        self.watchers.join(&mut change.tracked, &self.page)
    }

    /// Starts to track a descriptor, or to forget it.
    pub(crate) fn set_tracking(&self, descriptor: Descriptor<'_>, track: bool) {
        if !track {
            return self.forget(descriptor);
        }

        let is_settled = self.watchers.track(
            &mut self.change.lock().tracked,
            descriptor.word(),
            &self.page,
        );
        if is_settled {
            self.settled.wake_all();
        }
    }

    /// Stops to track a descriptor, if it is tracked.
    pub(crate) fn forget(&self, descriptor: Descriptor<'_>) {
        let is_settled = self.watchers.forget(
            &mut self.change.lock().tracked,
            descriptor.word(),
            &self.page,
        );
        if is_settled {
            self.settled.wake_all();
        }
    }

    /// Acknowledges `generation` for a descriptor.
    ///
    /// `EINVAL`, and nothing acknowledged, if that is not the current generation.
    #[inline]
    pub(crate) fn acknowledge(&self, descriptor: Descriptor<'_>, generation: u32) -> Result {
        match self
            .watchers
            .acknowledge(descriptor.word(), &self.page, generation)
        {
            Acknowledged::No => return Err(EINVAL),
            Acknowledged::Yes => (),
            Acknowledged::ByAll => self.settled.wake_all(),
        }
        Ok(())
    }

    /// The current generation, if a descriptor is outdated.
    #[inline]
    pub(crate) fn outdated_by(&self, descriptor: Descriptor<'_>) -> Option<u32> {
        outdated_by(descriptor.word(), &self.page)
    }

    /// The number of outdated watchers.
    #[inline]
    pub(crate) fn outdated(&self) -> u32 {
        self.watchers.outdated()
    }

    /// Whether no watcher is outdated in the generation that a descriptor has acknowledged.
    #[inline]
    pub(crate) fn is_settled(&self, descriptor: Descriptor<'_>) -> bool {
        self.watchers.is_settled(descriptor.word())
    }

    /// The number of watchers.
    pub(crate) fn tracked(&self) -> u32 {
        self.change.lock().tracked.number()
    }

    /// Waits until a descriptor is outdated.
    ///
    /// `ERESTARTSYS` if a signal arrives. Sleeps.
    #[cold]
    pub(crate) fn wait_outdated(&self, descriptor: Descriptor<'_>) -> Result {
        self.changed.wait(|| {
            self.refresh();

            if self.outdated_by(descriptor).is_some() {
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
    pub(crate) fn wait_settled(
        &self,
        descriptor: Descriptor<'_>,
        left: impl Fn() -> Jiffies,
    ) -> Settled {
        self.settled.wait(|| {
            // Also before an answer that was waited for: the system may have been cloned since.
            self.refresh();

            if self.outdated_by(descriptor).is_some() {
                return ControlFlow::Break(Settled::Interrupted);
            }
            if self.is_settled(descriptor) {
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

        // Without the lock it could be one half each of two IDs.
        let _change = self.change.lock();
        self.hwid.processed().load()
    }

    /// Lets uevents of later changes be sent for `dev`, or none any longer. May sleep.
    pub(crate) fn announce_for(&self, dev: Option<&Device>) {
        self.announcer.set_device(dev);
    }

    /// Whether page 1 of the device can be mapped.
    pub(crate) fn has_hwid_page(&self) -> bool {
        self.page.has_hwid_offset()
    }

    /// What page number `offset` of a mapping shows.
    pub(crate) fn frame(&self, offset: usize) -> Option<Frame<'_>> {
        match offset {
            0 => Some(Frame::Page(self.page.page())),
            1 => self.hwid.shown_frame().map(Frame::Public),
            _ => None,
        }
    }
}
