// SPDX-License-Identifier: GPL-2.0

//! `src/sysgenid/generation.rs` without the kernel: the locks, and who calls what under them.

use crate::{
    atomic::{
        AtomicU32,
        AtomicU64, //
    },
    host::{
        Host,
        Ids, //
    },
    publication::{
        HwId,
        LiveId,
        PageWords,
        Processed,
        ATTEMPTS, //
    },
    wait_queue::WaitQueue,
    watchers::{
        outdated_by,
        Acknowledged,
        State,
        Tracked,
        Watchers, //
    }, //
};
use loom::sync::Mutex;
use std::ops::ControlFlow;

/// Where in page 1 the ID is.
pub(crate) const OFFSET: u32 = 40;

/// Page 0.
pub(crate) struct Page {
    generation: AtomicU32,
    flags: AtomicU32,
    hwid_offset: AtomicU32,
    hwid: [AtomicU64; 2],
}

impl Page {
    fn new() -> Self {
        Self {
            generation: AtomicU32::new(0),
            flags: AtomicU32::new(0),
            hwid_offset: AtomicU32::new(0),
            hwid: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }
}

impl PageWords for Page {
    fn generation_word(&self) -> &AtomicU32 {
        &self.generation
    }

    fn flags_word(&self) -> &AtomicU32 {
        &self.flags
    }

    fn hwid_offset_word(&self) -> &AtomicU32 {
        &self.hwid_offset
    }

    fn hwid_halves(&self) -> [&AtomicU64; 2] {
        [&self.hwid[0], &self.hwid[1]]
    }
}

/// Page 1. The loads are volatile in the driver, which orders nothing.
#[derive(Clone, Copy)]
struct Place<'a>(&'a Host);

impl LiveId for Place<'_> {
    fn read(self) -> HwId {
        HwId([self.0.live(0), self.0.live(1)])
    }
}

/// What `SYSGENID_WAIT_WATCHERS` returns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Yes,
    Interrupted,
}

#[derive(Default)]
pub(crate) struct Change {
    tracked: Tracked,
}

pub(crate) struct Generation {
    pub(crate) host: Host,
    has_source: bool,
    processed: Processed,
    pub(crate) page: Page,
    watchers: Watchers,
    changed: WaitQueue,
    settled: WaitQueue,
    change: Mutex<Change>,
}

impl Generation {
    /// At generation 0, without a source.
    pub(crate) fn new() -> Self {
        Self {
            host: Host::new(Ids::Distinct),
            has_source: false,
            processed: Processed::new(),
            page: Page::new(),
            watchers: Watchers::new(),
            changed: WaitQueue::new(),
            settled: WaitQueue::new(),
            change: Mutex::new(Change::default()),
        }
    }

    /// At generation 0, with a source that is yet to be attached.
    pub(crate) fn with_source(ids: Ids) -> Self {
        Self {
            host: Host::new(ids),
            has_source: true,
            ..Self::new()
        }
    }

    /// At generation 0, with a source.
    pub(crate) fn attached(ids: Ids) -> Self {
        let generation = Self::with_source(ids);

        generation.attach();
        generation
    }

    fn place(&self) -> Place<'_> {
        Place(&self.host)
    }

    pub(crate) fn current(&self) -> u32 {
        self.page.generation()
    }

    fn is_pending(&self) -> bool {
        self.has_source && self.processed.is_pending(|| self.place())
    }

    pub(crate) fn refresh(&self) {
        if self.is_pending() {
            self.catch_up();
        }
    }

    fn catch_up(&self) {
        for _ in 0..ATTEMPTS {
            self.with_change(|change| self.process(change));
            if !self.is_pending() {
                return;
            }
        }
    }

    pub(crate) fn notify(&self) {
        self.refresh();
        self.wake();
    }

    pub(crate) fn process_at_once(&self) {
        if self.is_pending() {
            self.process(&self.change.lock().unwrap());
        }
    }

    fn with_change<R>(&self, f: impl FnOnce(&mut Change) -> R) -> R {
        let result = f(&mut self.change.lock().unwrap());

        self.wake();
        result
    }

    fn wake(&self) {
        self.wake_by(|| WaitQueue::wake_all_of([&self.changed, &self.settled]));
    }

    /// Takes a walk of its own, for a task that has to wait for the processor.
    pub(crate) fn wake_by(&self, walk: impl FnOnce()) {
        self.watchers.wake(&self.page, walk);
    }

    fn process(&self, change: &Change) {
        if self.is_pending() {
            self.process_pending(change);
        }
    }

    fn process_pending(&self, change: &Change) {
        let reseed = |hwid| self.host.reseed(hwid);
        let Some((hwid, ())) = self.processed.reseed(self.place(), reseed) else {
            return;
        };

        self.advance(change, self.current() + 1, Some(hwid));
    }

    fn advance(&self, change: &Change, next: u32, hwid: Option<HwId>) {
        self.host.note(next, hwid);
        self.watchers.advance(
            &change.tracked,
            &self.page,
            &self.processed,
            next,
            hwid.as_ref(),
        );
    }

    pub(crate) fn trigger(&self) {
        self.with_change(|change| {
            self.process(change);
            self.advance(change, self.current() + 1, None);
        });
    }

    pub(crate) fn attach(&self) {
        let hwid = self.place().read_stable();

        self.with_change(|change| {
            self.processed.publish(&self.page, hwid);
            self.page.set_hwid_offset(Some(OFFSET));
            self.process(change);
        });
    }

    /// `open()`
    pub(crate) fn open(&self, is_tracked: bool) -> AtomicU64 {
        self.refresh();
        AtomicU64::new(State::new(self.join(is_tracked), is_tracked, true).word())
    }

    fn join(&self, track: bool) -> u32 {
        if !track {
            return self.current();
        }

        let mut change = self.change.lock().unwrap();
        self.watchers.join(&mut change.tracked, &self.page)
    }

    pub(crate) fn track(&self, word: &AtomicU64) {
        let is_settled =
            self.watchers
                .track(&mut self.change.lock().unwrap().tracked, word, &self.page);
        if is_settled {
            self.settled.wake_all();
        }
    }

    pub(crate) fn forget(&self, word: &AtomicU64) {
        let is_settled =
            self.watchers
                .forget(&mut self.change.lock().unwrap().tracked, word, &self.page);
        if is_settled {
            self.settled.wake_all();
        }
    }

    /// Whether `generation` was the current one.
    pub(crate) fn acknowledge(&self, word: &AtomicU64, generation: u32) -> bool {
        match self.watchers.acknowledge(word, &self.page, generation) {
            Acknowledged::No => return false,
            Acknowledged::Yes => (),
            Acknowledged::ByAll => self.settled.wake_all(),
        }
        true
    }

    pub(crate) fn outdated_by(&self, word: &AtomicU64) -> Option<u32> {
        outdated_by(word, &self.page)
    }

    pub(crate) fn outdated(&self) -> u32 {
        self.watchers.outdated()
    }

    pub(crate) fn is_settled(&self, word: &AtomicU64) -> bool {
        self.watchers.is_settled(word)
    }

    pub(crate) fn tracked(&self) -> u32 {
        self.change.lock().unwrap().tracked.number()
    }

    pub(crate) fn wait_outdated(&self, word: &AtomicU64) {
        self.changed.wait(|| {
            self.refresh();

            if self.outdated_by(word).is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    pub(crate) fn wait_settled(&self, word: &AtomicU64) -> Settled {
        self.settled.wait(|| {
            self.refresh();

            if self.outdated_by(word).is_some() {
                return ControlFlow::Break(Settled::Interrupted);
            }
            if self.is_settled(word) {
                return ControlFlow::Break(Settled::Yes);
            }
            ControlFlow::Continue(())
        })
    }

    /// `SYSGENID_GET_GENERATION`
    pub(crate) fn call(&self) -> u32 {
        self.refresh();
        self.current()
    }

    /// `write()`
    pub(crate) fn write(&self, word: &AtomicU64, generation: u32) -> bool {
        self.refresh();
        self.acknowledge(word, generation)
    }

    /// What must hold when nobody does anything, for all descriptors that there are.
    pub(crate) fn assert_exact(&self, words: &[&AtomicU64]) {
        let states = || words.iter().map(|word| State::load(word));
        let tracked = states().filter(|state| state.is_tracked());
        let outdated =
            states().filter(|state| state.is_tracked() && state.acknowledged() != self.current());

        assert_eq!(
            (self.tracked(), self.outdated()),
            (tracked.count() as u32, outdated.count() as u32),
            "wrong numbers of watchers and of outdated ones"
        );
    }
}
