// SPDX-License-Identifier: GPL-2.0

//! Runs all scenarios with the driver as it is, and then each error with the scenario that must
//! find it, on all processors. With an argument, only those whose names contain it. With BOUND in
//! the environment, threads are interrupted so often in each, or without a bound if that is no
//! number.

use std::{
    env,
    panic::{
        catch_unwind,
        set_hook, //
    },
    process::ExitCode,
    sync::{
        atomic::{
            AtomicU64,
            AtomicUsize,
            Ordering, //
        },
        Arc, //
    },
    thread,
    time::Instant, //
};
use sysgenid_model::{
    broken_ties,
    mutations,
    scenarios,
    Mutation,
    Scenario, //
};

/// Runs a scenario in all ways. The number of executions, and what does not hold in the last one.
fn run(scenario: Scenario) -> (u64, Option<String>) {
    let executions = Arc::new(AtomicU64::new(0));
    let counter = executions.clone();

    let panic = catch_unwind(move || {
        let mut builder = loom::model::Builder::new();
        builder.max_branches = 10_000;
        builder.preemption_bound = match env::var("BOUND") {
            Ok(bound) => bound.parse().ok(),
            Err(_) => scenario.preemptions,
        };
        builder.check(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            (scenario.run)();
        });
    })
    .err();

    let says = panic.map(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic
            .downcast_ref::<&str>()
            .map_or(String::new(), |&text| text.into()),
    });
    (executions.load(Ordering::Relaxed), says)
}

enum Job {
    Holds(Scenario),
    Finds(&'static Mutation),
}

impl Job {
    fn name(&self) -> &'static str {
        match self {
            Self::Holds(scenario) => scenario.holds,
            Self::Finds(mutation) => mutation.what,
        }
    }

    /// Runs it, and says what has come of it. Whether that is as it has to be.
    fn run(&self) -> bool {
        let start = Instant::now();

        let (executions, ok, text) = match self {
            Self::Holds(scenario) => {
                let (executions, says) = run(*scenario);
                let ok = says.is_none();
                (
                    executions,
                    ok,
                    says.map_or("holds".into(), |says| format!("DOES NOT HOLD: {says}")),
                )
            }
            Self::Finds(mutation) => {
                let (executions, says) = run(mutation.scenario);
                let part = mutation
                    .says
                    .iter()
                    .find(|&&part| says.as_ref().is_some_and(|says| says.contains(part)));
                let text = match (part, says) {
                    (Some(part), _) => format!("found: {part}"),
                    (None, Some(says)) => format!("FOUND BY SOMETHING ELSE: {says}"),
                    (None, None) => "NOT FOUND".into(),
                };
                (executions, part.is_some(), text)
            }
        };
        println!(
            "{}\n    {text}; {executions} executions, {:.1} s",
            self.name(),
            start.elapsed().as_secs_f64()
        );
        ok
    }
}

fn main() -> ExitCode {
    let wanted = env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let start = Instant::now();
    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(0);

    // What does not hold is said below, once.
    set_hook(Box::new(|_| ()));

    for line in broken_ties() {
        println!("not as transcribed: {line}");
        failed.fetch_add(1, Ordering::Relaxed);
    }

    let jobs: Vec<_> = scenarios()
        .map(Job::Holds)
        .chain(mutations().iter().map(Job::Finds))
        .filter(|job| {
            wanted
                .as_ref()
                .is_none_or(|wanted| job.name().contains(wanted))
        })
        .collect();

    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !job.run() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });

    let held = jobs
        .iter()
        .filter(|job| matches!(job, Job::Holds(_)))
        .count();
    let failed = failed.into_inner();
    println!(
        "{held} scenarios, {} errors in them; {failed} not as they have to be; {} s",
        jobs.len() - held,
        start.elapsed().as_secs()
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
