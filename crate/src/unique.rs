// SPDX-License-Identifier: MIT OR Apache-2.0

//! A value that no two clones share.

#![forbid(unsafe_code)]

use crate::{
    BoxError,
    Error,
    Generation,
    Result, //
};
use std::fmt;

/// A value that is made anew in each generation: the state of a random number generator, the prefix
/// of UUIDs, a key.
///
/// ```
/// use sysgenid::{Simulation, Unique};
///
/// # fn random() -> Result<u64, sysgenid::BoxError> { Ok(1 << 63) }
/// # fn main() -> sysgenid::Result<()> {
/// # let simulation = Simulation::new();
/// # let generation = simulation.generation();
/// // In a program: let generation = Generation::open()?;
/// let mut prefix = Unique::new(generation, random)?;
///
/// let id = prefix.with(|prefix| format!("{prefix:016x}-{}", 1))?;
/// # assert_eq!(id, "8000000000000000-1");
/// # Ok(())
/// # }
/// ```
///
/// The function that makes the value runs in the new generation, when the kernel's random number
/// generator has been reseeded. What it makes must come from there, or from somewhere else that
/// clones do not share: a function that returns a constant makes nothing unique.
///
/// For several threads take one in each (`thread_local!`), or a `Mutex` around it. After `fork()`
/// the child has the parent's value, as a fork is no clone of the system.
///
/// # If something fails
///
/// No value of an older generation is ever given out. If the function fails, or the generation
/// cannot be had, the call fails, and the next one tries again.
pub struct Unique<T> {
    /// `None` if there is nothing to ask: each use is in a generation of its own.
    generation: Option<Generation>,
    value: Option<Value<T>>,
    make: Box<dyn FnMut() -> Result<T, BoxError> + Send>,
}

struct Value<T> {
    value: T,
    known: u32,
}

impl<T> Unique<T> {
    /// Makes the first value.
    pub fn new(
        generation: Generation,
        make: impl FnMut() -> Result<T, BoxError> + Send + 'static,
    ) -> Result<Self> {
        let mut unique = Self {
            generation: Some(generation),
            value: None,
            make: Box::new(make),
        };

        unique.get()?;
        Ok(unique)
    }

    /// For where there is no device: the value is made anew at each use, because nobody knows
    /// whether the system was cloned since the last one.
    ///
    /// So it is as unique as what the function takes. With the kernel's random numbers that leaves
    /// the time until the kernel has noticed a clone by itself.
    ///
    /// ```
    /// use sysgenid::{Device, Unique};
    ///
    /// # fn main() -> sysgenid::Result<()> {
    /// let make = || Ok(4);
    /// # let device = Device::at("/dev/no such device");
    /// let mut value = match device.generation() {
    ///     Ok(generation) => Unique::new(generation, make)?,
    ///     Err(error) if error.is_absent() => Unique::renewed_at_each_use(make),
    ///     Err(error) => return Err(error),
    /// };
    /// # assert_eq!(value.with(|value| *value)?, 4);
    /// # Ok(())
    /// # }
    /// ```
    pub fn renewed_at_each_use(make: impl FnMut() -> Result<T, BoxError> + Send + 'static) -> Self {
        Self {
            generation: None,
            value: None,
            make: Box::new(make),
        }
    }

    /// Uses the value, and returns what comes of it when that is certain to belong to the current
    /// generation.
    ///
    /// The use is repeated, with another value, if the system was cloned meanwhile. So `f` must do
    /// no more than to make something, and the caller gives it out.
    pub fn with<R>(&mut self, mut f: impl FnMut(&mut T) -> R) -> Result<R> {
        loop {
            let made = f(self.get()?);

            if self.is_current()? {
                return Ok(made);
            }
        }
    }

    /// The value of the generation that was current at an instant during this call.
    ///
    /// What is made of it may be in another clone as well, if a snapshot is taken before it is
    /// given out: [`with`](Self::with) checks once more. This is for a use that cannot be repeated.
    pub fn get(&mut self) -> Result<&mut T> {
        if self.generation.is_none() || !self.is_current()? {
            self.renew()?;
        }
        match &mut self.value {
            Some(value) => Ok(&mut value.value),
            None => Err(Error::Renewal("there is none".into())),
        }
    }

    /// Whether there is a value, and it is the current generation's.
    fn is_current(&self) -> Result<bool> {
        match (&self.generation, &self.value) {
            (_, None) => Ok(false),
            (None, Some(_)) => Ok(true),
            (Some(generation), Some(value)) => Ok(generation.changed_since(value.known)?.is_none()),
        }
    }

    /// Makes a value of the current generation.
    fn renew(&mut self) -> Result<()> {
        // First, so that a failure leaves none of an older generation.
        self.value = None;

        let Some(generation) = &self.generation else {
            let value = (self.make)().map_err(Error::Renewal)?;

            self.value = Some(Value { value, known: 0 });
            return Ok(());
        };

        let mut known = generation.current()?;
        loop {
            let value = (self.make)().map_err(Error::Renewal)?;

            match generation.changed_since(known)? {
                None => {
                    self.value = Some(Value { value, known });
                    return Ok(());
                }
                Some(current) => known = current,
            }
        }
    }
}

// The value may be a secret.
impl<T> fmt::Debug for Unique<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unique")
            .field("generation", &self.value.as_ref().map(|value| value.known))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Simulation;
    use std::sync::{
        atomic::{
            AtomicU32,
            Ordering, //
        },
        Arc, //
    };

    /// Makes 1, 2, 3…
    fn counter() -> impl FnMut() -> Result<u32, BoxError> + Send + 'static {
        let mut made = 0;

        move || {
            made += 1;
            Ok(made)
        }
    }

    fn both() -> [Simulation; 2] {
        [Simulation::new(), Simulation::without_live_id()]
    }

    #[test]
    fn a_value_lasts_for_a_generation() -> Result<()> {
        for simulation in both() {
            let mut unique = Unique::new(simulation.generation(), counter())?;

            assert_eq!(unique.with(|value| *value)?, 1);
            assert_eq!(unique.with(|value| *value)?, 1);
            simulation.restore();
            assert_eq!(unique.with(|value| *value)?, 2);
            assert_eq!(*unique.get()?, 2);
            simulation.restore();
            assert_eq!(*unique.get()?, 3);
        }
        Ok(())
    }

    #[test]
    fn a_value_can_be_changed() -> Result<()> {
        let mut unique = Unique::new(Simulation::new().generation(), counter())?;

        unique.with(|value| *value += 10)?;
        assert_eq!(*unique.get()?, 11);
        Ok(())
    }

    #[test]
    fn what_was_made_across_a_restore_is_not_given_out() -> Result<()> {
        for simulation in both() {
            let mut unique = Unique::new(simulation.generation(), counter())?;
            let mut seen = Vec::new();

            let given = unique.with(|value| {
                seen.push(*value);
                if seen.len() < 3 {
                    simulation.restore();
                }
                *value
            })?;
            assert_eq!((seen, given), (vec![1, 2, 3], 3));
        }
        Ok(())
    }

    #[test]
    fn what_was_made_while_a_clone_began_is_made_again() -> Result<()> {
        for simulation in both() {
            let restored = simulation.clone();
            let mut make = counter();
            let mut unique = Unique::new(simulation.generation(), move || {
                let made = make()?;
                if made == 1 {
                    restored.restore();
                }
                Ok(made)
            })?;

            assert_eq!(*unique.get()?, 2);
        }
        Ok(())
    }

    #[test]
    fn no_old_value_is_given_out_when_there_is_no_new_one() -> Result<()> {
        let simulation = Simulation::new();
        let failures = Arc::new(AtomicU32::new(0));
        let mut make = counter();
        let mut unique = Unique::new(simulation.generation(), {
            let failures = failures.clone();
            move || match failures.load(Ordering::Relaxed) {
                0 => make(),
                _ => Err("no entropy".into()),
            }
        })?;

        simulation.restore();
        failures.store(1, Ordering::Relaxed);
        for _ in 0..2 {
            let error = unique.with(|value| *value).expect_err("it fails");
            assert_eq!(
                error.to_string(),
                "the value for this generation cannot be made: no entropy"
            );
        }
        failures.store(0, Ordering::Relaxed);
        assert_eq!(unique.with(|value| *value)?, 2);
        Ok(())
    }

    #[test]
    fn the_first_value_may_fail() {
        let made = Unique::<u32>::new(Simulation::new().generation(), || Err("no".into()));

        assert!(matches!(made, Err(Error::Renewal(_))));
    }

    #[test]
    fn without_a_device_no_value_is_used_twice() -> Result<()> {
        let mut unique = Unique::renewed_at_each_use(counter());

        for expected in 1..4 {
            assert_eq!(unique.with(|value| *value)?, expected);
        }
        assert_eq!(*unique.get()?, 4);
        Ok(())
    }

    #[test]
    fn it_can_be_shared_by_threads_and_shows_no_secret() -> Result<()> {
        fn is_sendable<T: Send>(_: &T) {}

        let unique = Unique::new(Simulation::new().generation(), || Ok("secret"))?;
        is_sendable(&unique);
        assert_eq!(format!("{unique:?}"), "Unique { generation: Some(0), .. }");
        Ok(())
    }
}
