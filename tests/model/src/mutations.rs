// SPDX-License-Identifier: GPL-2.0

//! Errors that must be found: a barrier that is dropped, a step in another order, a lock that is
//! not taken. Each is a change of the text of one file or two; `build.rs` makes it.

/// An error.
pub struct Mutation {
    /// What is wrong.
    pub what: &'static str,
    /// In which file, what stands there once, and what is to stand there. Indentation does not
    /// count.
    pub changes: &'static [(&'static str, &'static str, &'static str)],
    /// The scenario that finds it.
    pub scenario: &'static str,
    /// What that says then, in part: one of these.
    pub says: &'static [&'static str],
}

// What scenarios say.
const COUNT: &str = "wrong numbers of watchers";
const OVERFLOW: &str = "overflow";
const OLD: &str = "an old acknowledgment";
const SLEEPS: &str = "deadlock";
const EARLY: &str = "before all have renewed";
const STALE: &str = "a stale answer";
const CURRENT: &str = "SYSGENID_CURRENT in another life";
const TWICE: &str = "two generations for one ID";
const NEVER_WAS: &str = "an ID that never was";
const RANDOM: &str = "random numbers from before";

pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        what: "the descriptor's word is loaded relaxed",
        changes: &[(
            "watchers",
            "Self(word.load(Ordering::Acquire))",
            "Self(word.load(Ordering::Relaxed))",
        )],
        scenario: "counting::ACKNOWLEDGE",
        says: &[OLD],
    },
    Mutation {
        what: "the descriptor's word is stored without release",
        changes: &[(
            "watchers",
            "new.0, Ordering::AcqRel, Ordering::Relaxed",
            "new.0, Ordering::Acquire, Ordering::Relaxed",
        )],
        scenario: "counting::ACKNOWLEDGE",
        says: &[OLD],
    },
    Mutation {
        what: "acknowledge() looks at the generation before the descriptor's word",
        changes: &[(
            "watchers",
            "let state = State::load(word);

             if generation != page.generation() {
                 return Acknowledged::No;
             }",
            "if generation != page.generation() {
                 return Acknowledged::No;
             }
             let state = State::load(word);",
        )],
        scenario: "counting::ACKNOWLEDGE",
        says: &[OLD],
    },
    Mutation {
        what: "acknowledge() looks at the descriptor's word only once",
        changes: &[(
            "watchers",
            "if state.replace(word, state.with_acknowledged(generation)) {",
            "word.store(state.with_acknowledged(generation).0, Ordering::Release); {",
        )],
        scenario: "counting::ACKNOWLEDGE_CURRENT",
        says: &[COUNT, OVERFLOW],
    },
    Mutation {
        what: "read() looks at the generation before the descriptor's word",
        changes: &[(
            "watchers",
            "let acknowledged = State::load(word).acknowledged();
             let current = page.generation();",
            "let current = page.generation();
             let acknowledged = State::load(word).acknowledged();",
        )],
        scenario: "counting::READ",
        says: &["an old generation"],
    },
    Mutation {
        what: "the count is loaded relaxed",
        changes: &[(
            "watchers",
            "Count(self.count.load(Ordering::Acquire))",
            "Count(self.count.load(Ordering::Relaxed))",
        )],
        scenario: "counting::WAIT",
        says: &[EARLY],
    },
    Mutation {
        what: "uncount() stores without release",
        changes: &[(
            "watchers",
            "next.0, Ordering::AcqRel, Ordering::Acquire",
            "next.0, Ordering::Acquire, Ordering::Acquire",
        )],
        scenario: "counting::WAIT",
        says: &[EARLY],
    },
    Mutation {
        what: "uncount() does not look whose generation it counts in",
        changes: &[(
            "watchers",
            "while count.generation() == generation {",
            "loop {",
        )],
        scenario: "counting::ACKNOWLEDGE",
        says: &[COUNT, OVERFLOW],
    },
    Mutation {
        what: "uncount() gives up when another one was faster",
        changes: &[(
            "watchers",
            "Err(now) => count = Count(now),",
            "Err(_) => return false,",
        )],
        scenario: "counting::ACKNOWLEDGE_CURRENT",
        says: &[COUNT],
    },
    Mutation {
        what: "track() counts after it can be seen",
        changes: &[(
            "watchers",
            "if state.acknowledged() != generation && !is_counted {
                 self.count.fetch_add(Count::new(0, 1).0, Ordering::Relaxed);
                 is_counted = true;
             }
             if state.replace(word, state.with_tracked(true)) {
                 break state.acknowledged();
             }",
            "if state.replace(word, state.with_tracked(true)) {
                 if state.acknowledged() != generation {
                     self.count.fetch_add(Count::new(0, 1).0, Ordering::Relaxed);
                     is_counted = true;
                 }
                 break state.acknowledged();
             }",
        )],
        scenario: "counting::TRACK",
        says: &[COUNT, OVERFLOW],
    },
    Mutation {
        what: "track() keeps the count of what was acknowledged meanwhile",
        changes: &[(
            "watchers",
            "is_counted && acknowledged == generation && self.uncount(generation)",
            "is_counted && acknowledged == generation && false",
        )],
        scenario: "counting::TRACK",
        says: &[COUNT],
    },
    Mutation {
        what: "track() counts once more when another one was faster",
        changes: &[(
            "watchers",
            "if state.acknowledged() != generation && !is_counted {",
            "if state.acknowledged() != generation {",
        )],
        scenario: "counting::TRACK",
        says: &[COUNT],
    },
    Mutation {
        what: "forget() goes by an acknowledgment from before",
        changes: &[
            (
                "watchers",
                "// Another thread may acknowledge with this descriptor meanwhile.
             let acknowledged = loop {",
                "let first = State::load(word).acknowledged();
             let acknowledged = loop {",
            ),
            (
                "watchers",
                "if state.replace(word, state.with_tracked(false)) {
                 break state.acknowledged();",
                "if state.replace(word, state.with_tracked(false)) {
                 break first;",
            ),
        ],
        scenario: "counting::FORGET",
        says: &[COUNT, OVERFLOW],
    },
    Mutation {
        what: "open() joins before it takes the lock",
        changes: &[(
            "generation",
            "let mut change = self.change.lock().unwrap();
             self.watchers.join(&mut change.tracked, &self.page)",
            "let current = self.current();
             self.watchers.join(&mut self.change.lock().unwrap().tracked, &self.page);
             current",
        )],
        scenario: "counting::OPEN",
        says: &[COUNT],
    },
    Mutation {
        what: "nobody is woken by the last acknowledgment",
        changes: &[(
            "generation",
            "Acknowledged::ByAll => self.settled.wake_all(),",
            "Acknowledged::ByAll => (),",
        )],
        scenario: "counting::WAIT",
        says: &[SLEEPS],
    },
    Mutation {
        what: "nobody is woken by the last outdated watcher that goes",
        changes: &[(
            "generation",
            ".forget(&mut self.change.lock().unwrap().tracked, word, &self.page);
             if is_settled {",
            ".forget(&mut self.change.lock().unwrap().tracked, word, &self.page);
             if is_settled && false {",
        )],
        scenario: "counting::WAIT_FORGET",
        says: &[SLEEPS],
    },
    Mutation {
        what: "a waker has no barrier",
        changes: &[(
            "wait_queue",
            "fence(Ordering::SeqCst);

             for queue in queues",
            "for queue in queues",
        )],
        scenario: "counting::WAIT_READ",
        says: &[SLEEPS],
    },
    Mutation {
        what: "a sleeper has no barrier",
        changes: &[(
            "wait_queue",
            "fence(Ordering::SeqCst);

             match check()",
            "match check()",
        )],
        scenario: "counting::WAIT_READ",
        says: &[SLEEPS],
    },
    Mutation {
        what: "a sleeper looks before it is in the queue",
        changes: &[
            (
                "wait_queue",
                "self.add(&waiter);

             let result",
                "let mut first = Some(check());
             self.add(&waiter);

             let result",
            ),
            (
                "wait_queue",
                "match check() {",
                "match first.take().unwrap_or_else(&mut check) {",
            ),
        ],
        scenario: "counting::WAIT_READ",
        says: &[SLEEPS],
    },
    Mutation {
        what: "a walk has no mark at its end",
        changes: &[
            (
                "wait_queue",
                "list.insert(0, &at);
             list.push(&end);",
                "list.insert(0, &at);",
            ),
            (
                "wait_queue",
                "if Some(next) == list.place_of(&end) {",
                "if next == list.entries.len() {",
            ),
            (
                "wait_queue",
                "let is_over = Some(next) == list.place_of(&end);",
                "let is_over = next == list.entries.len();",
            ),
        ],
        scenario: "counting::WALK",
        says: &["woken by a walk from before"],
    },
    Mutation {
        what: "a walk goes on at a number instead of a mark",
        changes: &[
            (
                "wait_queue",
                "let mut list = self.lock();

             self.is_walked",
                "let mut list = self.lock();
             let mut place = 1;

             self.is_walked",
            ),
            (
                "wait_queue",
                "let mut next = list.place_of(&at).unwrap() + 1;",
                "let mut next = place;",
            ),
            (
                "wait_queue",
                "drop(list);
             list = self.lock();",
                "place = next;
             drop(list);
             list = self.lock();",
            ),
        ],
        scenario: "counting::WALK",
        says: &["not woken once", "out of bounds"],
    },
    Mutation {
        what: "advance() stores the generation before the count",
        changes: &[(
            "watchers",
            "self.count
             .store(Count::new(next, tracked.0).0, Ordering::Release);
             page.set_generation(next);",
            "page.set_generation(next);
             self.count
             .store(Count::new(next, tracked.0).0, Ordering::Release);",
        )],
        scenario: "counting::OUTDATED",
        says: &["a watcher is missing"],
    },
    Mutation {
        what: "advance() is not under the lock",
        changes: &[(
            "generation",
            "let result = f(&mut self.change.lock().unwrap());",
            "let mut change = unsafe { std::ptr::read(&*self.change.lock().unwrap()) };
             let result = f(&mut change);",
        )],
        scenario: "counting::OPEN",
        says: &[COUNT],
    },
    Mutation {
        what: "advance() publishes the ID before the generation",
        changes: &[(
            "watchers",
            "if next != page.generation() {",
            "if let Some(hwid) = hwid {
                 processed.publish(page, *hwid);
             }
             if next != page.generation() {",
        )],
        scenario: "publishing::CALL",
        says: &[STALE],
    },
    Mutation {
        what: "advance() shows programs the ID before the generation",
        changes: &[(
            "watchers",
            "if next != page.generation() {",
            "if let Some(hwid) = hwid {
                 page.set_hwid(*hwid);
             }
             if next != page.generation() {",
        )],
        scenario: "publishing::CHECK",
        says: &[CURRENT],
    },
    Mutation {
        what: "wake() says so before it has woken anybody",
        changes: &[(
            "watchers",
            "walk();
             // Afterwards, so that nobody relies on a walk that has not come to its end. Of two at
             // the same time one may go back to its earlier generation; the next wakes once more.
             self.woken.store(current, Ordering::Relaxed);",
            "self.woken.store(current, Ordering::Relaxed);
             walk();",
        )],
        scenario: "publishing::NOTIFY",
        says: &[SLEEPS],
    },
    Mutation {
        what: "a change wakes nobody",
        changes: &[(
            "generation",
            "let result = f(&mut self.change.lock().unwrap());

             self.wake();",
            "let result = f(&mut self.change.lock().unwrap());",
        )],
        scenario: "counting::WAIT_READ",
        says: &[SLEEPS],
    },
    Mutation {
        what: "the generation is loaded relaxed",
        changes: &[(
            "publication",
            "self.generation_word().load(Ordering::Acquire)",
            "self.generation_word().load(Ordering::Relaxed)",
        )],
        scenario: "publishing::FIRST_WORD",
        says: &[RANDOM],
    },
    Mutation {
        what: "the generation is stored relaxed",
        changes: &[(
            "publication",
            "self.generation_word().store(generation, Ordering::Release)",
            "self.generation_word().store(generation, Ordering::Relaxed)",
        )],
        scenario: "publishing::FIRST_WORD",
        says: &[RANDOM],
    },
    Mutation {
        what: "the first half of the processed ID is loaded relaxed",
        changes: &[(
            "publication",
            "self.0[0].load(Ordering::Acquire)",
            "self.0[0].load(Ordering::Relaxed)",
        )],
        scenario: "publishing::CALL_SECOND_HALF",
        says: &[STALE, RANDOM],
    },
    Mutation {
        what: "the first half of the processed ID is stored relaxed",
        changes: &[(
            "publication",
            "self.0[0].store(hwid.0[0], Ordering::Release)",
            "self.0[0].store(hwid.0[0], Ordering::Relaxed)",
        )],
        scenario: "publishing::CALL_SECOND_HALF",
        says: &[STALE, RANDOM],
    },
    Mutation {
        what: "the first half of the ID in page 0 is stored relaxed",
        changes: &[(
            "publication",
            "halves[0].store(hwid.0[0], Ordering::Release)",
            "halves[0].store(hwid.0[0], Ordering::Relaxed)",
        )],
        scenario: "publishing::CHECK_SECOND_HALF",
        says: &[CURRENT],
    },
    Mutation {
        what: "the second half of the processed ID is loaded relaxed",
        changes: &[(
            "publication",
            "self.0[1].load(Ordering::Acquire)",
            "self.0[1].load(Ordering::Relaxed)",
        )],
        scenario: "publishing::CALL_FIRST_HALF",
        says: &[STALE, RANDOM],
    },
    Mutation {
        what: "the second half of the processed ID is stored relaxed",
        changes: &[(
            "publication",
            "self.0[1].store(hwid.0[1], Ordering::Release)",
            "self.0[1].store(hwid.0[1], Ordering::Relaxed)",
        )],
        scenario: "publishing::CALL_FIRST_HALF",
        says: &[STALE, RANDOM],
    },
    Mutation {
        what: "the second half of the ID in page 0 is stored relaxed",
        changes: &[(
            "publication",
            "halves[1].store(hwid.0[1], Ordering::Release)",
            "halves[1].store(hwid.0[1], Ordering::Relaxed)",
        )],
        scenario: "publishing::CHECK_FIRST_HALF",
        says: &[CURRENT],
    },
    Mutation {
        what: "sysgenid_check() loads the first half from page 0 relaxed",
        changes: &[(
            "sysgenid.h",
            "__atomic_load_n(&hwid[0], __ATOMIC_ACQUIRE)",
            "__atomic_load_n(&hwid[0], __ATOMIC_RELAXED)",
        )],
        scenario: "publishing::CHECK_SECOND_HALF",
        says: &[CURRENT],
    },
    Mutation {
        what: "sysgenid_check() does not compare the first half",
        changes: &[(
            "sysgenid.h",
            "__atomic_load_n(&hwid[0], __ATOMIC_ACQUIRE) !=
             __atomic_load_n(&live[0], __ATOMIC_ACQUIRE)",
            "0",
        )],
        scenario: "publishing::CHECK_SECOND_HALF",
        says: &[CURRENT],
    },
    Mutation {
        what: "sysgenid_check() loads the second half from page 0 relaxed",
        changes: &[(
            "sysgenid.h",
            "__atomic_load_n(&hwid[1], __ATOMIC_ACQUIRE)",
            "__atomic_load_n(&hwid[1], __ATOMIC_RELAXED)",
        )],
        scenario: "publishing::CHECK_FIRST_HALF",
        says: &[CURRENT],
    },
    Mutation {
        what: "sysgenid_check() does not compare the second half",
        changes: &[(
            "sysgenid.h",
            "__atomic_load_n(&hwid[1], __ATOMIC_ACQUIRE) !=
             __atomic_load_n(&live[1], __ATOMIC_ACQUIRE)",
            "0",
        )],
        scenario: "publishing::CHECK_FIRST_HALF",
        says: &[CURRENT],
    },
    Mutation {
        what: "sysgenid_check() loads the generation first",
        changes: &[
            (
                "sysgenid.h",
                "if (!live ||",
                "__u32 current = __atomic_load_n(&sg->page->generation, __ATOMIC_ACQUIRE);

             if (!live ||",
            ),
            (
                "sysgenid.h",
                "if (__atomic_load_n(&sg->page->generation, __ATOMIC_ACQUIRE) !=
                 generation)",
                "if (current != generation)",
            ),
        ],
        scenario: "publishing::CHECK",
        says: &[CURRENT],
    },
    Mutation {
        what: "sysgenid_check() does not load the generation",
        changes: &[(
            "sysgenid.h",
            "if (__atomic_load_n(&sg->page->generation, __ATOMIC_ACQUIRE) !=
                 generation)",
            "if (0)",
        )],
        scenario: "publishing::CHECK",
        says: &[CURRENT],
    },
    Mutation {
        what: "sysgenid_check() does not compare the live ID",
        changes: &[(
            "sysgenid.h",
            "__atomic_load_n(&hwid[0], __ATOMIC_ACQUIRE) !=
             __atomic_load_n(&live[0], __ATOMIC_ACQUIRE) ||
             __atomic_load_n(&hwid[1], __ATOMIC_ACQUIRE) !=
             __atomic_load_n(&live[1], __ATOMIC_ACQUIRE)",
            "!hwid",
        )],
        scenario: "publishing::CHECK",
        says: &[CURRENT],
    },
    Mutation {
        what: "the offset is stored after the flag",
        changes: &[
            (
                "publication",
                "// After the offset, for those who look at the flag first.
             self.flags_word().store(flags, Ordering::Release);",
                "",
            ),
            (
                "publication",
                "Some(offset) => {",
                "Some(offset) => {
                 self.flags_word().store(SYSGENID_PAGE_HWID, Ordering::Release);",
            ),
        ],
        scenario: "publishing::MAP",
        says: &["page 1 without the offset"],
    },
    Mutation {
        what: "the flag is stored relaxed",
        changes: &[(
            "publication",
            "self.flags_word().store(flags, Ordering::Release)",
            "self.flags_word().store(flags, Ordering::Relaxed)",
        )],
        scenario: "publishing::MAP",
        says: &["page 1 without the offset"],
    },
    Mutation {
        what: "has_hwid_offset() loads the flag relaxed",
        changes: &[(
            "publication",
            "self.flags_word().load(Ordering::Acquire)",
            "self.flags_word().load(Ordering::Relaxed)",
        )],
        scenario: "publishing::MAP",
        says: &["page 1 without the offset"],
    },
    Mutation {
        what: "a torn ID is taken for one",
        changes: &[(
            "publication",
            "if next == last {
                 break;
             }
             last = next;",
            "let _ = next;
             break;",
        )],
        scenario: "publishing::CALL_TORN",
        says: &[NEVER_WAS],
    },
    Mutation {
        what: "a change that another one has processed is processed again",
        changes: &[
            (
                "generation",
                "if self.is_pending() {
                 self.process_pending(change);
             }",
                "self.process_pending(change);",
            ),
            (
                "publication",
                "if hwid == self.load() {
                 return None;
             }",
                "",
            ),
        ],
        scenario: "publishing::CALL",
        says: &[TWICE],
    },
    Mutation {
        what: "a change is processed without the lock",
        changes: &[(
            "generation",
            "self.with_change(|change| self.process(change));",
            "let change = unsafe { std::ptr::read(&*self.change.lock().unwrap()) };
             self.process(&change); self.wake();",
        )],
        scenario: "publishing::CALL",
        says: &[TWICE],
    },
    Mutation {
        what: "write() does not look at the ID",
        changes: &[(
            "generation",
            "self.refresh();
             self.acknowledge(word, generation)",
            "self.acknowledge(word, generation)",
        )],
        scenario: "publishing::WRITE",
        says: &["another life"],
    },
    Mutation {
        what: "open() does not look at the ID",
        changes: &[(
            "generation",
            "self.refresh();
             AtomicU64::new(",
            "AtomicU64::new(",
        )],
        scenario: "publishing::OPEN",
        says: &["opened too late"],
    },
    Mutation {
        what: "the interrupt wakes nobody",
        changes: &[(
            "generation",
            "self.refresh();
             self.wake();",
            "self.refresh();",
        )],
        scenario: "publishing::INTERRUPT",
        says: &[SLEEPS],
    },
    Mutation {
        what: "the RNG is reseeded after the publication",
        changes: &[
            (
                "generation",
                "let reseed = |hwid| self.host.reseed(hwid);",
                "let reseed = |_| ();",
            ),
            (
                "generation",
                "self.advance(change, self.current() + 1, Some(hwid));",
                "self.advance(change, self.current() + 1, Some(hwid));
             self.host.reseed(hwid);",
            ),
        ],
        scenario: "publishing::FIRST_WORD",
        says: &[RANDOM],
    },
];
