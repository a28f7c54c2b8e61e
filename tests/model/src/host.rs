// SPDX-License-Identifier: GPL-2.0

//! The hypervisor, the random number generator, and what is true about them.
//!
//! A restore changes both halves of the live ID while no thread of the guest runs, between any two
//! steps of each. Here that is one step of one more thread: it moves to the next *epoch*, and the
//! halves follow from that.
//!
//! A real restore also orders all that was done before with all that is done after. This one does
//! not: a thread may see the ID of before for a while, as if it were slower. So this is the
//! stricter model. What is asked of a call that begins after a restore is asked here of one that
//! begins after its thread has seen the epoch.

use crate::{
    atomic::{
        AtomicU64,
        Ordering, //
    },
    publication::HwId, //
};
use std::sync::Mutex;

/// What the IDs of two epochs have in common.
#[derive(Clone, Copy)]
pub(crate) enum Ids {
    Distinct,
    FirstHalf,
    SecondHalf,
}

/// Of `std`, as it is no part of the model: what is known about each generation.
#[derive(Default)]
struct Truth {
    /// The epoch that each generation accounts for.
    epochs: Vec<u64>,
    /// The generations that were begun for a hardware ID.
    changes: u64,
}

pub(crate) struct Host {
    ids: Ids,
    epoch: AtomicU64,
    /// The epoch that the RNG was reseeded in.
    seeded: AtomicU64,
    truth: Mutex<Truth>,
}

impl Host {
    /// In epoch 0, which generation 0 accounts for.
    pub(crate) fn new(ids: Ids) -> Self {
        Self {
            ids,
            epoch: AtomicU64::new(0),
            seeded: AtomicU64::new(0),
            truth: Mutex::new(Truth {
                epochs: vec![0],
                changes: 0,
            }),
        }
    }

    /// Restores a snapshot of this very moment under another ID.
    pub(crate) fn restore(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// An epoch that has begun. What the thread does after this is done in this or a later one.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Half of the ID of an epoch.
    fn half(&self, half: usize, epoch: u64) -> u64 {
        match (self.ids, half) {
            (Ids::FirstHalf, 0) => 10,
            (Ids::SecondHalf, 1) => 20,
            (_, 0) => 10 + epoch,
            (_, _) => 20 + epoch,
        }
    }

    /// Half of the live ID.
    pub(crate) fn live(&self, half: usize) -> u64 {
        self.half(half, self.epoch())
    }

    /// The epoch of an ID.
    fn epoch_of(&self, hwid: HwId) -> u64 {
        (0..10)
            .find(|&epoch| hwid == HwId([self.half(0, epoch), self.half(1, epoch)]))
            .expect("an ID that never was")
    }

    /// Reseeds the RNG.
    pub(crate) fn reseed(&self, hwid: HwId) {
        self.seeded.store(self.epoch_of(hwid), Ordering::Relaxed);
    }

    /// Notes what a generation is for, before it begins.
    pub(crate) fn note(&self, generation: u32, hwid: Option<HwId>) {
        let epoch = hwid.map(|hwid| self.epoch_of(hwid));
        let mut truth = self.truth.lock().unwrap();
        let last = *truth.epochs.last().unwrap();

        assert!(
            epoch.is_none_or(|epoch| epoch > last),
            "two generations for one ID"
        );
        assert_eq!(generation as usize, truth.epochs.len());
        truth.epochs.push(epoch.unwrap_or(last));
        truth.changes += u64::from(epoch.is_some());
    }

    /// The number of generations that were begun for a hardware ID.
    pub(crate) fn changes(&self) -> u64 {
        self.truth.lock().unwrap().changes
    }

    /// The epoch that a generation accounts for.
    pub(crate) fn accounts_for(&self, generation: u32) -> u64 {
        self.truth.lock().unwrap().epochs[generation as usize]
    }

    /// Draws from the RNG in the name of a generation.
    pub(crate) fn draw(&self, generation: u32) {
        assert!(
            self.seeded.load(Ordering::Relaxed) >= self.accounts_for(generation),
            "random numbers from before the generation"
        );
    }
}
