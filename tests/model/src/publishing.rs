// SPDX-License-Identifier: GPL-2.0

//! The host restores a snapshot at any moment, while programs call, map and wait.

use crate::{
    atomic::{
        AtomicU32,
        AtomicU64,
        Ordering, //
    },
    generation::{
        Generation,
        OFFSET, //
    },
    host::Ids,
    library::{
        check,
        First,
        State, //
    },
    publication::PageWords,
    run,
    Scenario, //
};
use loom::sync::{
    Condvar,
    Mutex, //
};

pub(crate) const ALL: &[Scenario] = &[
    CALL,
    CALL_FIRST_HALF,
    CALL_SECOND_HALF,
    CALL_TWICE,
    CALL_TORN,
    WRITE,
    OPEN,
    FIRST_WORD,
    CHECK,
    CHECK_FIRST_HALF,
    CHECK_SECOND_HALF,
    CHECK_TWICE,
    CHECK_TRIGGER,
    MAP,
    INTERRUPT,
    NOTIFY,
];

/// A call that asks for the generation, and draws for it.
fn call(generation: &Generation) {
    let begin = generation.host.epoch();
    let answer = generation.call();

    assert!(
        generation.host.accounts_for(answer) >= begin,
        "a stale answer"
    );
    generation.host.draw(answer);
}

/// What holds after one more call when nobody does anything.
fn assert_settled(generation: &Generation, triggers: u64) {
    call(generation);
    assert_eq!(
        u64::from(generation.current()),
        generation.host.changes() + triggers,
        "a generation got lost"
    );
    assert_eq!(
        generation.host.accounts_for(generation.current()),
        generation.host.epoch()
    );
}

fn calls(ids: Ids) {
    let generation = run(
        Generation::attached(ids),
        &[
            |generation| generation.host.restore(),
            |generation| call(generation),
            |generation| call(generation),
        ],
    );

    assert_settled(&generation, 0);
    assert_eq!(generation.current(), 1);
}

pub(crate) const CALL: Scenario = Scenario {
    holds: "a call after a restore never gives the generation from before; one ID is one change",
    preemptions: Some(3),
    run: || calls(Ids::Distinct),
};

pub(crate) const CALL_FIRST_HALF: Scenario = Scenario {
    holds: "no stale answer if the IDs have the first half in common",
    preemptions: Some(2),
    run: || calls(Ids::FirstHalf),
};

pub(crate) const CALL_SECOND_HALF: Scenario = Scenario {
    holds: "no stale answer if the IDs have the second half in common",
    preemptions: Some(2),
    run: || calls(Ids::SecondHalf),
};

pub(crate) const CALL_TWICE: Scenario = Scenario {
    holds: "no stale answer if the clone is restored again meanwhile",
    preemptions: Some(2),
    run: || {
        let generation = run(
            Generation::attached(Ids::Distinct),
            &[
                |generation| {
                    generation.host.restore();
                    call(generation);
                    generation.host.restore();
                },
                |generation| {
                    call(generation);
                    call(generation);
                },
            ],
        );

        assert_settled(&generation, 0);
    },
};

pub(crate) const CALL_TORN: Scenario = Scenario {
    holds: "an ID that is restored while it is read is none of its own",
    preemptions: Some(3),
    run: || {
        let generation = run(
            Generation::attached(Ids::Distinct),
            &[
                |generation| {
                    generation.host.restore();
                    generation.host.restore();
                },
                |generation| call(generation),
            ],
        );

        assert_settled(&generation, 0);
    },
};

pub(crate) const WRITE: Scenario = Scenario {
    holds: "an acknowledgment does not cross a restore",
    preemptions: Some(2),
    run: || {
        run(
            {
                let generation = Generation::attached(Ids::Distinct);
                let word = generation.open(true);
                (generation, word)
            },
            &[
                |(generation, _)| generation.host.restore(),
                |(generation, _)| call(generation),
                |(generation, word)| {
                    let begin = generation.host.epoch();
                    let answer = generation.write(word, 0);
                    assert!(!answer || begin == 0, "acknowledged in another life");
                },
            ],
        );
    },
};

pub(crate) const OPEN: Scenario = Scenario {
    holds: "open() acknowledges nothing from before a restore",
    preemptions: Some(2),
    run: || {
        run(
            Generation::attached(Ids::Distinct),
            &[
                |generation| generation.host.restore(),
                |generation| call(generation),
                |generation| {
                    let begin = generation.host.epoch();
                    let word = generation.open(true);
                    if begin == 1 {
                        assert_eq!(generation.outdated_by(&word), None, "opened too late");
                    }
                },
            ],
        );
    },
};

pub(crate) const FIRST_WORD: Scenario = Scenario {
    holds: "a program that sees a generation in page 0 draws random numbers of its own",
    preemptions: None,
    run: || {
        run(
            Generation::attached(Ids::Distinct),
            &[
                |generation| {
                    generation.host.restore();
                    generation.process_at_once();
                },
                |generation| generation.host.draw(generation.page.generation()),
            ],
        );
    },
};

/// A library that checks, draws, and checks again, all for generation 0.
fn use_library(generation: &Generation) {
    let (page, host) = (&generation.page, &generation.host);

    for first in [First::Processed, First::Live] {
        let begin = host.epoch();
        if check(page, host, 0, first) != State::Current {
            return;
        }
        assert_eq!(begin, 0, "SYSGENID_CURRENT in another life");
        host.draw(0);
    }
}

fn checks(ids: Ids) {
    run(
        Generation::attached(ids),
        &[
            |generation| generation.host.restore(),
            |generation| call(generation),
            |generation| use_library(generation),
        ],
    );
}

pub(crate) const CHECK: Scenario = Scenario {
    holds: "SYSGENID_CURRENT means that the generation was current during the check",
    preemptions: Some(3),
    run: || checks(Ids::Distinct),
};

pub(crate) const CHECK_FIRST_HALF: Scenario = Scenario {
    holds: "SYSGENID_CURRENT is right if the IDs have the first half in common",
    preemptions: Some(2),
    run: || checks(Ids::FirstHalf),
};

pub(crate) const CHECK_SECOND_HALF: Scenario = Scenario {
    holds: "SYSGENID_CURRENT is right if the IDs have the second half in common",
    preemptions: Some(2),
    run: || checks(Ids::SecondHalf),
};

pub(crate) const CHECK_TWICE: Scenario = Scenario {
    holds: "SYSGENID_CURRENT is right if the clone is restored again meanwhile",
    preemptions: Some(2),
    run: || {
        run(
            Generation::attached(Ids::Distinct),
            &[
                |generation| {
                    generation.host.restore();
                    call(generation);
                    generation.host.restore();
                    call(generation);
                },
                |generation| {
                    let (page, host) = (&generation.page, &generation.host);

                    // The generation that the library knows of from a call.
                    let known = generation.call();
                    let begin = host.epoch();
                    if check(page, host, known, First::Live) == State::Current {
                        assert!(
                            host.accounts_for(known) >= begin,
                            "SYSGENID_CURRENT in another life"
                        );
                        host.draw(known);
                    }
                },
            ],
        );
    },
};

pub(crate) const CHECK_TRIGGER: Scenario = Scenario {
    holds: "SYSGENID_CURRENT is not said after software has changed the generation",
    preemptions: Some(3),
    run: || {
        let (generation, _) = &*run(
            (Generation::attached(Ids::Distinct), AtomicU32::new(0)),
            &[
                |(generation, _)| generation.host.restore(),
                |(generation, done)| {
                    generation.trigger();
                    done.store(1, Ordering::Release);
                },
                |(generation, done)| {
                    if done.load(Ordering::Acquire) == 1 {
                        let state = check(&generation.page, &generation.host, 0, First::Processed);
                        assert_ne!(state, State::Current, "SYSGENID_CURRENT after a change");
                    }
                },
            ],
        );

        assert_settled(generation, 1);
    },
};

pub(crate) const MAP: Scenario = Scenario {
    holds: "a program that may map page 1 finds where in it the ID is",
    preemptions: None,
    run: || {
        run(
            Generation::with_source(Ids::Distinct),
            &[
                |generation| generation.attach(),
                |generation| {
                    let page = &generation.page;

                    if page.has_hwid_offset() {
                        let offset = page.hwid_offset_word().load(Ordering::Relaxed);
                        assert_eq!(offset, OFFSET, "page 1 without the offset");
                    }
                },
            ],
        );
    },
};

/// Somebody in `read()`.
fn sleep((generation, word): &(Generation, AtomicU64)) {
    generation.wait_outdated(word);
}

pub(crate) const INTERRUPT: Scenario = Scenario {
    holds: "an interrupt, which wakes nobody itself, ends read()",
    preemptions: Some(3),
    run: || {
        let generation = Generation::attached(Ids::Distinct);
        let word = generation.open(true);
        let state = run(
            (generation, word),
            &[
                |(generation, _)| {
                    generation.host.restore();
                    generation.process_at_once();
                    generation.notify();
                },
                sleep,
            ],
        );

        assert_settled(&state.0, 0);
        state.0.assert_exact(&[&state.1]);
    },
};

pub(crate) const NOTIFY: Scenario = Scenario {
    holds: "a notification also wakes for a task that has run the change and is preempted",
    preemptions: Some(3),
    run: || {
        let generation = Generation::attached(Ids::Distinct);
        let word = generation.open(true);

        run(
            ((generation, word), Mutex::new(false), Condvar::new()),
            &[
                |((generation, _), is_awake, awake)| {
                    generation.host.restore();
                    generation.process_at_once();
                    generation.wake_by(|| {
                        // Here the task has to wait for the processor. Somebody else takes the
                        // notification, and all go on before it does.
                        generation.notify();
                        let mut is_awake = is_awake.lock().unwrap();
                        while !*is_awake {
                            is_awake = awake.wait(is_awake).unwrap();
                        }
                    });
                },
                |(files, is_awake, awake)| {
                    sleep(files);
                    *is_awake.lock().unwrap() = true;
                    awake.notify_one();
                },
            ],
        );
    },
};
