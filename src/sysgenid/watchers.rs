// SPDX-License-Identifier: GPL-2.0

//! Who has acknowledged the current generation, and what a change of it does to them.
//!
//! Most of this takes no lock, so it is checked in all ways in which threads and processors can
//! interfere: `tests/model` runs these lines as they are. Hence this file names nothing of the
//! kernel, wakes nobody itself, and has the words of descriptors and the content of the lock lent.
//!
//! The tests below are those that neither the model nor a program can run: at the ends of the
//! numbers that share a word, where a carry would change the other one.

use crate::{
    atomic::{
        AtomicU32,
        AtomicU64,
        Ordering, //
    },
    publication::{
        HwId,
        PageWords,
        Processed, //
    }, //
};

/// What a descriptor has acknowledged, and whether it takes part: the descriptor's word.
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

    /// What other threads may be changing at this time.
    ///
    /// A generation that is loaded after this is not older than any that the state was changed in.
    #[inline]
    pub(crate) fn load(word: &AtomicU64) -> Self {
        // Acquire, as `Watchers::acknowledge()` loads the generation next: were that one the older
        // of the two, an acknowledgment of it could replace one of its successor.
        Self(word.load(Ordering::Acquire))
    }

    /// Changes the state, unless it is not this one any longer.
    #[inline]
    fn replace(self, word: &AtomicU64, new: Self) -> bool {
        word.compare_exchange(self.0, new.0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// The word for a new descriptor.
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    /// The acknowledged generation.
    #[inline]
    pub(crate) fn acknowledged(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    fn with_acknowledged(self, generation: u32) -> Self {
        Self(self.0 & !u64::from(u32::MAX) | u64::from(generation))
    }

    #[inline]
    pub(crate) fn is_tracked(self) -> bool {
        self.0 & Self::TRACKED != 0
    }

    fn with_tracked(self, is_tracked: bool) -> Self {
        Self(self.0 & !Self::TRACKED | if is_tracked { Self::TRACKED } else { 0 })
    }

    #[inline]
    pub(crate) fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }
}

/// The current generation, if a descriptor is outdated.
#[inline]
pub(crate) fn outdated_by(word: &AtomicU64, page: &impl PageWords) -> Option<u32> {
    // The state first: were it loaded later, another thread could have acknowledged a newer
    // generation by then, and the older one would be what this returns.
    let acknowledged = State::load(word).acknowledged();
    let current = page.generation();

    (acknowledged != current).then_some(current)
}

/// A generation and how many watchers are outdated, that is tracked and yet to acknowledge it: one
/// word, so that an acknowledgment counts for the generation that it is of, and needs no lock.
#[derive(Clone, Copy)]
struct Count(u64);

impl Count {
    fn new(generation: u32, outdated: u32) -> Self {
        Self((u64::from(outdated) << 32) | u64::from(generation))
    }

    #[inline]
    fn generation(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    fn outdated(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The number of watchers. Under the lock of changes, so that nobody comes or goes while all become
/// outdated: whoever has it borrowed holds that lock.
#[derive(Default)]
pub(crate) struct Tracked(u32);

impl Tracked {
    pub(crate) fn number(&self) -> u32 {
        self.0
    }
}

/// What has come of an acknowledgment.
pub(crate) enum Acknowledged {
    /// Nothing: it was not of the current generation.
    No,
    /// The descriptor is not outdated.
    Yes,
    /// Nor is any watcher, so that those who wait for this have to be woken.
    ByAll,
}

/// All descriptors together.
///
/// In all methods `word` is that of a descriptor, and `page` the one that all of them share.
pub(crate) struct Watchers {
    /// A [`Count`]. Its generation is written under the lock of changes, and is the current one for
    /// whoever holds that.
    count: AtomicU64,
    /// The latest generation for which all who wait have been woken.
    woken: AtomicU32,
}

impl Watchers {
    /// At generation 0.
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicU64::new(Count::new(0, 0).0),
            woken: AtomicU32::new(0),
        }
    }

    #[inline]
    fn count(&self) -> Count {
        Count(self.count.load(Ordering::Acquire))
    }

    /// The number of outdated watchers.
    #[inline]
    pub(crate) fn outdated(&self) -> u32 {
        self.count().outdated()
    }

    /// Whether no watcher is outdated in the generation that a descriptor has acknowledged.
    #[inline]
    pub(crate) fn is_settled(&self, word: &AtomicU64) -> bool {
        let count = self.count();

        count.outdated() == 0 && count.generation() == State::load(word).acknowledged()
    }

    /// Moves to generation `next`. If it is a hardware ID that it accounts for, that has already
    /// reached the RNG.
    ///
    /// This is the only place where the generation changes, and where the order of what others see
    /// of it is decided.
    pub(crate) fn advance(
        &self,
        tracked: &Tracked,
        page: &impl PageWords,
        processed: &Processed,
        next: u32,
        hwid: Option<&HwId>,
    ) {
        // At its end the counter stays, and with it who has acknowledged.
        if next != page.generation() {
            // First, so that whoever sees the new generation also sees that all are outdated:
            // nobody can have acknowledged what has not begun.
            self.count
                .store(Count::new(next, tracked.0).0, Ordering::Release);
            page.set_generation(next);
        }

        // Last, as it tells those who look without a lock that no change is pending any longer.
        if let Some(hwid) = hwid {
            processed.publish(page, *hwid);
        }
    }

    /// Lets `walk` wake all who wait for a change, unless somebody has done so since the last one.
    #[inline]
    pub(crate) fn wake(&self, page: &impl PageWords, walk: impl FnOnce()) {
        let current = page.generation();

        if self.woken.load(Ordering::Relaxed) != current {
            walk();
            // Afterwards, so that nobody relies on a walk that has not come to its end. Of two at
            // the same time one may go back to its earlier generation; the next wakes once more.
            self.woken.store(current, Ordering::Relaxed);
        }
    }

    /// Begins to watch with a new descriptor: returns the generation that it has acknowledged.
    pub(crate) fn join(&self, tracked: &mut Tracked, page: &impl PageWords) -> u32 {
        tracked.0 += 1;
        page.generation()
    }

    /// Starts to track a descriptor. Returns whether those who wait until no watcher is outdated
    /// have to be woken.
    #[must_use]
    pub(crate) fn track(
        &self,
        tracked: &mut Tracked,
        word: &AtomicU64,
        page: &impl PageWords,
    ) -> bool {
        let generation = page.generation();
        let mut is_counted = false;

        // Another thread may acknowledge with this descriptor meanwhile, but neither track nor
        // forget it, and the generation stays.
        let acknowledged = loop {
            let state = State::load(word);
            if state.is_tracked() {
                return false;
            }
            // Before anybody can count it as not outdated any longer.
            if state.acknowledged() != generation && !is_counted {
                self.count.fetch_add(Count::new(0, 1).0, Ordering::Relaxed);
                is_counted = true;
            }
            if state.replace(word, state.with_tracked(true)) {
                break state.acknowledged();
            }
        };
        tracked.0 += 1;
        is_counted && acknowledged == generation && self.uncount(generation)
    }

    /// Stops to track a descriptor, if it is tracked. Returns whether those who wait until no
    /// watcher is outdated have to be woken.
    #[must_use]
    pub(crate) fn forget(
        &self,
        tracked: &mut Tracked,
        word: &AtomicU64,
        page: &impl PageWords,
    ) -> bool {
        let generation = page.generation();

        // Another thread may acknowledge with this descriptor meanwhile.
        let acknowledged = loop {
            let state = State::load(word);
            if !state.is_tracked() {
                return false;
            }
            if state.replace(word, state.with_tracked(false)) {
                break state.acknowledged();
            }
        };
        tracked.0 -= 1;
        acknowledged != generation && self.uncount(generation)
    }

    /// Counts one outdated watcher less in a generation, if that is still the current one. Returns
    /// whether that was the last one, for which those who wait have to be woken.
    #[inline]
    fn uncount(&self, generation: u32) -> bool {
        let mut count = self.count();

        while count.generation() == generation {
            let next = Count(count.0 - Count::new(0, 1).0);
            match self
                .count
                .compare_exchange(count.0, next.0, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return next.outdated() == 0,
                Err(now) => count = Count(now),
            }
        }
        false
    }

    /// Acknowledges `generation` for a descriptor.
    #[inline]
    pub(crate) fn acknowledge(
        &self,
        word: &AtomicU64,
        page: &impl PageWords,
        generation: u32,
    ) -> Acknowledged {
        loop {
            let state = State::load(word);

            if generation != page.generation() {
                return Acknowledged::No;
            }
            // Repeated, or another thread was faster with the same descriptor.
            if state.acknowledged() == generation {
                return Acknowledged::Yes;
            }
            // Whatever happens from here on, this was right when the generation was looked at; nor
            // is a later generation's acknowledgment undone, as it would have changed the state.
            if state.replace(word, state.with_acknowledged(generation)) {
                return if state.is_tracked() && self.uncount(generation) {
                    Acknowledged::ByAll
                } else {
                    Acknowledged::Yes
                };
            }
        }
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::prelude::kunit_tests(sysgenid_watchers)]
mod tests {
    use super::*;
    use core::{
        array,
        cell::Cell, //
    };

    /// With all bits set, or the highest alone, and what is beside these.
    const GENERATIONS: [u32; 5] = [1, i32::MAX as u32, 1 << 31, u32::MAX - 1, u32::MAX];

    #[derive(Default)]
    struct Page {
        words: [AtomicU32; 3],
        hwid: [AtomicU64; 2],
    }

    impl PageWords for Page {
        fn generation_word(&self) -> &AtomicU32 {
            &self.words[0]
        }

        fn flags_word(&self) -> &AtomicU32 {
            &self.words[1]
        }

        fn hwid_offset_word(&self) -> &AtomicU32 {
            &self.words[2]
        }

        fn hwid_halves(&self) -> [&AtomicU64; 2] {
            self.hwid.each_ref()
        }
    }

    /// Watchers that have acknowledged generation 0, and what they share.
    struct Scene<const N: usize> {
        watchers: Watchers,
        tracked: Tracked,
        page: Page,
        words: [AtomicU64; N],
    }

    impl<const N: usize> Scene<N> {
        fn new() -> Self {
            let (watchers, page) = (Watchers::new(), Page::default());
            let mut tracked = Tracked::default();
            let words = array::from_fn(|_| {
                let acknowledged = watchers.join(&mut tracked, &page);
                AtomicU64::new(State::new(acknowledged, true, true).word())
            });

            Self {
                watchers,
                tracked,
                page,
                words,
            }
        }

        fn advance(&self, next: u32) {
            self.watchers
                .advance(&self.tracked, &self.page, &Processed::new(), next, None);
        }

        fn acknowledge(&self, watcher: usize, generation: u32) -> Acknowledged {
            self.watchers
                .acknowledge(&self.words[watcher], &self.page, generation)
        }

        fn acknowledged(&self, watcher: usize) -> u32 {
            State::load(&self.words[watcher]).acknowledged()
        }
    }

    #[test]
    fn a_generation_and_a_number_share_a_word() {
        for generation in GENERATIONS {
            for outdated in [0, 1, 1 << 31, u32::MAX] {
                let count = Count::new(generation, outdated);

                assert!(count.generation() == generation);
                assert!(count.outdated() == outdated);
            }
        }
    }

    #[test]
    fn an_acknowledgment_leaves_the_rest_of_the_state() {
        for (is_tracked, is_writable) in [(false, false), (false, true), (true, true)] {
            for generation in GENERATIONS {
                let state = State::new(u32::MAX, is_tracked, is_writable);
                let state = state.with_acknowledged(0).with_acknowledged(generation);

                assert!(state == State::new(generation, is_tracked, is_writable));
                assert!(state.acknowledged() == generation);
                assert!(state.is_tracked() == is_tracked);
                assert!(state.is_writable() == is_writable);
            }
        }
    }

    #[test]
    fn each_watcher_is_counted_once_in_each_generation() {
        let scene = Scene::<2>::new();

        for generation in GENERATIONS {
            scene.advance(generation);
            assert!(scene.watchers.outdated() == 2);
            assert!(matches!(
                scene.acknowledge(0, generation),
                Acknowledged::Yes
            ));
            assert!(matches!(
                scene.acknowledge(0, generation),
                Acknowledged::Yes
            ));
            assert!(scene.watchers.outdated() == 1);
            assert!(!scene.watchers.is_settled(&scene.words[0]));
            assert!(matches!(
                scene.acknowledge(1, generation),
                Acknowledged::ByAll
            ));
            assert!(scene.watchers.outdated() == 0);
            assert!(scene.watchers.count().generation() == generation);
            assert!(scene.watchers.is_settled(&scene.words[0]));
        }
    }

    #[test]
    fn what_is_acknowledged_late_counts_for_nothing() {
        let scene = Scene::<1>::new();

        for (old, generation) in GENERATIONS.into_iter().zip(GENERATIONS.into_iter().skip(1)) {
            scene.advance(old);
            assert!(matches!(scene.acknowledge(0, old), Acknowledged::ByAll));
            scene.advance(generation);
            assert!(matches!(scene.acknowledge(0, old), Acknowledged::No));
            // As if the change had come after acknowledge() had looked at the generation.
            assert!(!scene.watchers.uncount(old));
            assert!(scene.watchers.outdated() == 1);
            assert!(scene.acknowledged(0) == old);
        }
    }

    #[test]
    fn a_counter_at_its_end_makes_nobody_outdated() {
        let scene = Scene::<1>::new();

        scene.advance(u32::MAX);
        assert!(matches!(
            scene.acknowledge(0, u32::MAX),
            Acknowledged::ByAll
        ));
        scene.advance(u32::MAX);
        assert!(scene.watchers.outdated() == 0);
        assert!(outdated_by(&scene.words[0], &scene.page).is_none());
    }

    #[test]
    fn who_is_forgotten_counts_no_more_until_tracked_again() {
        let Scene {
            watchers,
            mut tracked,
            page,
            words: [word],
        } = Scene::<1>::new();

        for generation in GENERATIONS {
            watchers.advance(&tracked, &page, &Processed::new(), generation, None);
            assert!(watchers.forget(&mut tracked, &word, &page));
            assert!(!watchers.forget(&mut tracked, &word, &page));
            assert!(watchers.outdated() == 0 && tracked.number() == 0);
            assert!(!watchers.track(&mut tracked, &word, &page));
            assert!(!watchers.track(&mut tracked, &word, &page));
            assert!(watchers.outdated() == 1 && tracked.number() == 1);
            assert!(watchers.count().generation() == generation);
        }
    }

    #[test]
    fn who_waits_is_woken_once_for_a_generation() {
        let scene = Scene::<0>::new();
        let walks = Cell::new(0);

        for (number, generation) in GENERATIONS.into_iter().enumerate() {
            scene.advance(generation);
            for _ in 0..2 {
                scene
                    .watchers
                    .wake(&scene.page, || walks.set(walks.get() + 1));
            }
            assert!(walks.get() == number + 1);
        }
    }
}
