// SPDX-License-Identifier: GPL-2.0

//! Watchers come, go, acknowledge, and wait for each other while the generation changes.

use crate::{
    atomic::{
        AtomicU32,
        AtomicU64,
        Ordering, //
    },
    generation::{
        Generation,
        Settled, //
    },
    run,
    wait_queue::{
        WaitQueue,
        Waiter, //
    },
    watchers::State,
    Scenario, //
};
use loom::sync::Mutex;
use std::sync::Arc;

/// Some descriptors, and what their programs renew before they acknowledge.
struct Files<const N: usize> {
    generation: Generation,
    words: [AtomicU64; N],
    renewed: [AtomicU32; N],
}

impl<const N: usize> Files<N> {
    /// Opened in generation 0, tracked or not; then `current` came.
    fn new(current: u32, is_tracked: [bool; N]) -> Self {
        let generation = Generation::new();
        let words = is_tracked.map(|is_tracked| generation.open(is_tracked));

        for _ in 0..current {
            generation.trigger();
        }
        Self {
            generation,
            words,
            renewed: [(); N].map(|()| AtomicU32::new(0)),
        }
    }

    fn trigger(&self) {
        self.generation.trigger();
    }

    fn acknowledge(&self, file: usize, generation: u32) -> bool {
        self.generation.acknowledge(&self.words[file], generation)
    }

    /// Acknowledges what the mapping shows.
    fn acknowledge_current(&self, file: usize) {
        self.acknowledge(file, self.generation.current());
    }

    fn assert_exact(&self) {
        let words: Vec<_> = self.words.iter().collect();
        self.generation.assert_exact(&words);
    }
}

pub(crate) const ALL: &[Scenario] = &[
    ACKNOWLEDGE,
    ACKNOWLEDGE_CURRENT,
    TRACK,
    FORGET,
    TRACK_AND_FORGET,
    OPEN,
    OUTDATED,
    READ,
    WAIT,
    WAIT_FORGET,
    WAIT_CHANGE,
    WAIT_READ,
    WALK,
];

pub(crate) const ACKNOWLEDGE: Scenario = Scenario {
    holds: "an acknowledgment never takes the place of a later one",
    preemptions: Some(3),
    run: || {
        let files = run(
            Files::new(1, [true]),
            &[
                |files| files.trigger(),
                |files| {
                    if files.acknowledge(0, 2) {
                        files.renewed[0].store(1, Ordering::Relaxed);
                    }
                },
                |files| {
                    files.acknowledge(0, 1);
                },
            ],
        );

        if files.renewed[0].load(Ordering::Relaxed) == 1 {
            assert_eq!(
                State::load(&files.words[0]).acknowledged(),
                2,
                "an old acknowledgment"
            );
        }
        files.assert_exact();
    },
};

pub(crate) const ACKNOWLEDGE_CURRENT: Scenario = Scenario {
    holds: "acknowledgments count once, for the generation that they are of",
    preemptions: Some(2),
    run: || {
        run(
            Files::new(1, [true, true]),
            &[
                |files| files.acknowledge_current(0),
                |files| files.acknowledge_current(0),
                |files| files.acknowledge_current(1),
                |files| files.trigger(),
            ],
        )
        .assert_exact();
    },
};

pub(crate) const TRACK: Scenario = Scenario {
    holds: "a descriptor that is tracked counts until it acknowledges",
    preemptions: Some(3),
    run: || {
        run(
            Files::new(1, [false]),
            &[
                |files| files.generation.track(&files.words[0]),
                |files| files.acknowledge_current(0),
                |files| files.trigger(),
            ],
        )
        .assert_exact();
    },
};

pub(crate) const FORGET: Scenario = Scenario {
    holds: "a descriptor that is forgotten counts no longer",
    preemptions: Some(3),
    run: || {
        run(
            Files::new(1, [true]),
            &[
                |files| files.generation.forget(&files.words[0]),
                |files| files.acknowledge_current(0),
                |files| files.trigger(),
            ],
        )
        .assert_exact();
    },
};

pub(crate) const TRACK_AND_FORGET: Scenario = Scenario {
    holds: "tracking and forgetting at the same time leave one or the other",
    preemptions: Some(3),
    run: || {
        run(
            Files::new(1, [true]),
            &[
                |files| files.generation.forget(&files.words[0]),
                |files| files.generation.track(&files.words[0]),
                |files| files.acknowledge_current(0),
            ],
        )
        .assert_exact();
    },
};

pub(crate) const OPEN: Scenario = Scenario {
    holds: "a watcher that comes during a change is outdated or counted out",
    preemptions: None,
    run: || {
        let opened = Mutex::new(None);
        let state = run(
            (Files::new(0, [true]), opened),
            &[
                |(files, opened)| {
                    let word = files.generation.open(true);
                    *opened.lock().unwrap() = Some(word);
                },
                |(files, _)| files.trigger(),
                |(files, _)| files.acknowledge_current(0),
            ],
        );
        let (files, opened) = &*state;

        files
            .generation
            .assert_exact(&[&files.words[0], opened.lock().unwrap().as_ref().unwrap()]);
    },
};

pub(crate) const OUTDATED: Scenario = Scenario {
    holds: "a program that sees a generation finds its watchers outdated",
    preemptions: None,
    run: || {
        run(
            Files::new(0, [true]),
            &[
                |files| files.trigger(),
                |files| {
                    if files.generation.current() == 1 {
                        assert_eq!(files.generation.outdated(), 1, "a watcher is missing");
                    }
                },
            ],
        );
    },
};

pub(crate) const READ: Scenario = Scenario {
    holds: "read() gives no generation that was acknowledged when its successor came",
    preemptions: None,
    run: || {
        run(
            Files::new(0, [true]),
            &[
                |files| {
                    files.trigger();
                    assert!(files.acknowledge(0, 1));
                },
                |files| {
                    let read = files.generation.outdated_by(&files.words[0]);
                    assert_ne!(read, Some(0), "an old generation");
                },
            ],
        );
    },
};

/// Two watchers, and a control plane that is none.
const WATCHED: [bool; 3] = [true, true, false];

impl Files<3> {
    /// Renews and acknowledges.
    fn renew(&self, file: usize) {
        self.renewed[file].store(1, Ordering::Relaxed);
        self.acknowledge(file, 1);
    }

    /// Renews and goes.
    fn leave(&self, file: usize) {
        self.renewed[file].store(1, Ordering::Relaxed);
        self.generation.forget(&self.words[file]);
    }

    /// Waits for both others in generation 1.
    fn control(&self) {
        self.acknowledge(2, 1);

        match self.generation.wait_settled(&self.words[2]) {
            Settled::Yes => self.assert_renewed(),
            Settled::Interrupted => assert_eq!(self.generation.current(), 2),
        }
    }

    fn assert_renewed(&self) {
        for renewed in &self.renewed[..2] {
            assert_eq!(
                renewed.load(Ordering::Relaxed),
                1,
                "SYSGENID_WAIT_WATCHERS before all have renewed"
            );
        }
    }
}

pub(crate) const WAIT: Scenario = Scenario {
    holds: "the last acknowledgment ends SYSGENID_WAIT_WATCHERS, after all have renewed",
    preemptions: Some(3),
    run: || {
        run(
            Files::new(1, WATCHED),
            &[
                |files| files.renew(0),
                |files| files.renew(1),
                |files| files.control(),
            ],
        )
        .assert_exact();
    },
};

pub(crate) const WAIT_FORGET: Scenario = Scenario {
    holds: "the last outdated watcher that goes ends SYSGENID_WAIT_WATCHERS",
    preemptions: Some(3),
    run: || {
        run(
            Files::new(1, WATCHED),
            &[
                |files| files.renew(0),
                |files| files.leave(1),
                |files| files.control(),
            ],
        )
        .assert_exact();
    },
};

pub(crate) const WAIT_CHANGE: Scenario = Scenario {
    holds: "the next generation ends SYSGENID_WAIT_WATCHERS",
    preemptions: Some(3),
    run: || {
        run(
            Files::new(1, WATCHED),
            &[
                |files| files.renew(0),
                |files| files.trigger(),
                |files| files.control(),
            ],
        );
    },
};

pub(crate) const WAIT_READ: Scenario = Scenario {
    holds: "a change ends read(), and its generation can be acknowledged then",
    preemptions: Some(3),
    run: || {
        run(
            Files::new(0, [true]),
            &[
                |files| files.trigger(),
                |files| {
                    files.generation.wait_outdated(&files.words[0]);
                    assert!(files.acknowledge(0, 1));
                },
            ],
        )
        .assert_exact();
    },
};

/// A queue with three in `poll()`, and the one who comes late.
struct Walk {
    queue: WaitQueue,
    waiters: [Arc<Waiter>; 3],
    late: Mutex<Option<(Arc<Waiter>, bool)>>,
}

pub(crate) const WALK: Scenario = Scenario {
    holds: "a walk wakes each one once who waits when it begins, and nobody who comes later",
    preemptions: None,
    run: || {
        let queue = WaitQueue::new();
        let waiters = [(); 3].map(|()| queue.add_exclusive().0);
        let walk = run(
            Walk {
                queue,
                waiters,
                late: Mutex::new(None),
            },
            &[
                |walk| walk.queue.wake_all(),
                |walk| *walk.late.lock().unwrap() = Some(walk.queue.add_exclusive()),
                |walk| walk.queue.remove(&walk.waiters[1]),
            ],
        );

        assert_eq!(walk.waiters[0].woken(), 1, "not woken once");
        assert!(walk.waiters[1].woken() <= 1, "not woken once");
        assert_eq!(walk.waiters[2].woken(), 1, "not woken once");

        let late = walk.late.lock().unwrap();
        let (late, is_walked) = late.as_ref().unwrap();
        assert!(
            !is_walked || late.woken() == 0,
            "woken by a walk from before"
        );
    },
};
