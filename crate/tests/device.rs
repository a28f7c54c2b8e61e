// SPDX-License-Identifier: MIT OR Apache-2.0

//! The crate on the device itself. Wants `/dev/sysgenid`, root, and nobody else who uses it:
//!
//! ```text
//! cargo test --all-features --test device -- --ignored --test-threads=1
//! ```

use rustix::fd::{
    AsFd,
    AsRawFd,
    FromRawFd,
    OwnedFd, //
};
use std::{
    fs::File,
    os::unix::fs::OpenOptionsExt,
    thread,
    time::{
        Duration,
        Instant, //
    },
};
use sysgenid::{
    Acknowledgment,
    ControlPlane,
    Device,
    Error,
    Generation,
    Observer,
    State,
    Status,
    Unique,
    Watcher, //
};

const SOON: Duration = Duration::from_millis(100);

fn trigger() -> u32 {
    ControlPlane::open()
        .and_then(|control_plane| control_plane.trigger(0))
        .expect("root may")
}

/// Descriptors of the device that this process has.
fn descriptors() -> Vec<i32> {
    std::fs::read_dir("/proc/self/fd")
        .expect("there is /proc")
        .flatten()
        .filter(|entry| {
            std::fs::read_link(entry.path()).is_ok_and(|path| path.ends_with("sysgenid"))
        })
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

#[test]
#[ignore = "needs /dev/sysgenid"]
fn the_generation_is_checked() -> sysgenid::Result<()> {
    let generation = Generation::open()?;
    let known = generation.current()?;

    let expected = if Status::read()?.live_id {
        State::Current
    } else {
        State::Pending
    };
    assert_eq!(generation.has_live_id(), expected == State::Current);
    assert_eq!(generation.check(known), expected);
    assert_eq!(generation.changed_since(known)?, None);

    assert_eq!(trigger(), known + 1);
    assert_ne!(generation.check(known), State::Current);
    assert_eq!(generation.changed_since(known)?, Some(known + 1));
    assert_eq!(generation.check(known + 1), expected);
    Ok(())
}

#[test]
#[ignore = "needs /dev/sysgenid"]
fn a_generation_outlives_its_descriptor() -> sysgenid::Result<()> {
    let generation = Generation::open()?;
    let known = generation.current()?;
    let [fd] = descriptors()[..] else {
        panic!("{:?}", descriptors());
    };

    // What a program does that closes descriptors that it does not know.
    // SAFETY: The number is open, and the crate says that it copes with this.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    assert_eq!(generation.current()?, known);
    assert_eq!(generation.changed_since(known)?, None);
    assert_eq!(trigger(), known + 1);
    assert_eq!(generation.changed_since(known)?, Some(known + 1));

    let reused = File::open("/dev/null").expect("there is one");
    assert_eq!(reused.as_raw_fd(), fd, "the lowest number that is free");
    assert_eq!(generation.current()?, known + 1);
    drop(generation);
    assert!(reused.metadata().is_ok(), "it is still open");
    Ok(())
}

#[test]
#[ignore = "needs /dev/sysgenid"]
fn nothing_stays_open() -> sysgenid::Result<()> {
    drop((
        Generation::open()?,
        Watcher::open()?,
        Observer::open()?,
        ControlPlane::open()?,
        Status::read()?,
    ));
    assert_eq!(descriptors(), []);
    let maps = std::fs::read_to_string("/proc/self/maps").expect("there is /proc");
    assert!(!maps.contains("sysgenid\n"), "{maps}");
    Ok(())
}

#[test]
#[ignore = "needs /dev/sysgenid"]
fn a_value_is_renewed() -> sysgenid::Result<()> {
    let mut made = 0;
    let mut unique = Unique::new(Generation::open()?, move || {
        made += 1;
        Ok(made)
    })?;

    assert_eq!(unique.with(|value| *value)?, 1);
    trigger();
    assert_eq!(unique.with(|value| *value)?, 2);
    assert_eq!(unique.with(|value| *value)?, 2);

    // In the middle of a use.
    let mut seen = Vec::new();
    let given = unique.with(|value| {
        seen.push(*value);
        if seen.len() == 1 {
            trigger();
        }
        *value
    })?;
    assert_eq!((seen, given), (vec![2, 3], 3));
    Ok(())
}

#[test]
#[ignore = "needs /dev/sysgenid"]
fn a_watcher_waits_and_acknowledges() -> sysgenid::Result<()> {
    let mut watcher = Watcher::open()?;
    let mut control_plane = ControlPlane::open()?;

    assert_eq!(watcher.try_wait()?, None);
    assert_eq!(watcher.wait_timeout(SOON)?, None);
    control_plane.settle(None)?;

    let first = trigger();
    assert_eq!(watcher.wait()?, first);
    assert_eq!(watcher.wait_timeout(SOON)?, Some(first));
    assert_eq!(control_plane.outdated()?, 1);

    let second = trigger();
    assert_eq!(watcher.acknowledge(first)?, Acknowledgment::Superseded);
    assert_eq!(watcher.wait()?, second);
    assert_eq!(watcher.acknowledge(second)?, Acknowledgment::Accepted);
    assert_eq!(watcher.acknowledge(second)?, Acknowledgment::Accepted);
    assert_eq!(watcher.try_wait()?, None);
    assert_eq!(control_plane.outdated()?, 0);
    control_plane.settle(Some(SOON))
}

#[test]
#[ignore = "needs /dev/sysgenid"]
fn a_watcher_sleeps_until_there_is_a_generation() -> sysgenid::Result<()> {
    let mut watcher = Watcher::open()?;
    let waiting = thread::spawn(move || watcher.wait());

    thread::sleep(SOON);
    assert!(!waiting.is_finished());
    let generation = trigger();
    assert_eq!(waiting.join().expect("it does not panic")?, generation);
    Ok(())
}

#[test]
#[ignore = "needs /dev/sysgenid"]
fn a_watcher_takes_a_descriptor() -> sysgenid::Result<()> {
    // As a service manager has opened it.
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(0)
        .open("/dev/sysgenid")
        .expect("root may");
    let mut watcher = Watcher::from_fd(file.into())?;

    assert_eq!(watcher.wait_timeout(SOON)?, None);
    let generation = trigger();
    assert_eq!(watcher.wait()?, generation);
    assert_eq!(ControlPlane::open()?.outdated()?, 1);
    assert_eq!(watcher.acknowledge(generation)?, Acknowledgment::Accepted);

    let readable = File::open("/dev/sysgenid").expect("everybody may");
    assert!(Watcher::from_fd(readable.into()).is_err());
    Ok(())
}

#[test]
#[ignore = "needs /dev/sysgenid"]
fn an_observer_holds_up_nobody() -> sysgenid::Result<()> {
    let mut observer = Observer::open()?;
    let known = observer.current()?;

    assert_eq!(observer.wait_since(known, Some(Duration::ZERO))?, None);
    assert_eq!(observer.wait_since(known, Some(SOON))?, None);
    assert_eq!(observer.wait_since(known + 1, None)?, Some(known));
    let generation = trigger();
    ControlPlane::open()?.settle(Some(SOON))?;
    assert_eq!(observer.wait_since(known, None)?, Some(generation));
    assert_eq!(observer.wait_since(known, None)?, Some(generation));

    // What it has seen does not keep it awake.
    let start = Instant::now();
    assert_eq!(observer.wait_since(generation, Some(SOON))?, None);
    assert!(start.elapsed() >= SOON);

    let waiting = thread::spawn(move || observer.wait_since(generation, None));
    thread::sleep(SOON);
    assert!(!waiting.is_finished());
    trigger();
    assert_eq!(
        waiting.join().expect("it does not panic")?,
        Some(generation + 1)
    );
    Ok(())
}

#[test]
#[ignore = "needs /dev/sysgenid"]
fn a_control_plane_says_who_is_missing() -> sysgenid::Result<()> {
    let mut control_plane = ControlPlane::open()?;
    let watcher = Watcher::open()?;
    let acknowledged = control_plane.current()?;
    trigger();

    for timeout in [Duration::ZERO, SOON] {
        let start = Instant::now();
        let error = control_plane.settle(Some(timeout));
        assert!(
            matches!(error, Err(Error::Unsettled { outdated: 1 })),
            "{error:?}"
        );
        assert!(start.elapsed() >= timeout);
    }
    let watchers = control_plane.outdated_watchers()?;
    assert_eq!(watchers.len(), 1);
    assert_eq!(watchers[0].pid, std::process::id());
    assert_eq!(watchers[0].fd as i32, watcher.as_raw_fd());
    assert_eq!(watchers[0].acknowledged, acknowledged);
    assert!(!watchers[0].name.is_empty());

    drop(watcher);
    control_plane.settle(Some(Duration::ZERO))?;
    assert_eq!(control_plane.outdated_watchers()?, []);
    Ok(())
}

#[test]
#[ignore = "needs /dev/sysgenid"]
fn a_control_plane_waits_on_over_another_generation() -> sysgenid::Result<()> {
    let mut control_plane = ControlPlane::open()?;
    let mut watcher = Watcher::open()?;
    let first = trigger();
    let waiting = thread::spawn(move || control_plane.settle(None));

    thread::sleep(SOON);
    // Its own descriptor is outdated by this, which ends the ioctl.
    let second = trigger();
    thread::sleep(SOON);
    assert_eq!(watcher.acknowledge(first)?, Acknowledgment::Superseded);
    assert!(!waiting.is_finished());
    assert_eq!(watcher.acknowledge(second)?, Acknowledgment::Accepted);
    waiting.join().expect("it does not panic")
}

#[test]
#[ignore = "needs /dev/sysgenid"]
fn a_generation_is_begun() -> sysgenid::Result<()> {
    let control_plane = ControlPlane::open()?;
    let known = control_plane.current()?;

    assert_eq!(control_plane.trigger(0)?, known + 1);
    assert_eq!(control_plane.trigger(known + 100)?, known + 100);
    assert_eq!(control_plane.trigger(1)?, known + 101);
    let error = control_plane.trigger(u32::MAX);
    assert!(matches!(error, Err(Error::TooHigh)), "{error:?}");
    assert_eq!(control_plane.current()?, known + 101);
    Ok(())
}

#[test]
#[ignore = "needs /dev/sysgenid"]
fn status_is_that_of_the_system() -> sysgenid::Result<()> {
    let before = Status::read()?;
    let watcher = Watcher::open()?;
    trigger();
    let after = Status::read()?;

    assert_eq!(after.generation, before.generation + 1);
    assert_eq!((before.watchers, before.outdated_watchers), (0, 0));
    assert_eq!((after.watchers, after.outdated_watchers), (1, 1));
    assert!(watcher.as_fd().as_raw_fd() >= 0);
    Ok(())
}

#[test]
#[ignore = "needs /dev/sysgenid"]
fn the_device_may_have_another_name() -> sysgenid::Result<()> {
    let path = std::env::temp_dir().join("other name");
    let _ = std::fs::remove_file(&path);
    std::os::unix::fs::symlink("/dev/sysgenid", &path).expect("a symbolic link");

    let device = Device::at(&path);
    assert_eq!(device.status()?, Status::read()?);
    assert_eq!(
        device.generation()?.current()?,
        device.observer()?.current()?
    );
    Ok(())
}

#[cfg(feature = "tokio")]
#[test]
#[ignore = "needs /dev/sysgenid"]
fn an_async_watcher_waits_and_acknowledges() -> Result<(), Box<dyn std::error::Error>> {
    use sysgenid::AsyncWatcher;
    use tokio::time::timeout;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;

    runtime.block_on(async {
        let mut watcher = AsyncWatcher::open()?;
        assert!(timeout(SOON, watcher.wait()).await.is_err());

        // The first, and those after a wait that found nothing.
        for _ in 0..3 {
            let delayed = thread::spawn(|| {
                thread::sleep(SOON);
                trigger()
            });
            let generation = watcher.wait().await?;
            assert_eq!(delayed.join().expect("it does not panic"), generation);
            assert_eq!(watcher.wait().await?, generation);
            assert_eq!(watcher.acknowledge(generation)?, Acknowledgment::Accepted);
            assert!(timeout(SOON, watcher.wait()).await.is_err());
        }
        Ok(())
    })
}
