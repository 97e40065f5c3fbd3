//! Randomness, as one of the four doors to the outside world.
//!
//! Nothing else in the client draws random numbers. A client that was given a seed draws the same
//! ones every time, so that a simulated run can be repeated.

use std::sync::{Mutex, PoisonError};

/// A source of random numbers that many tasks share.
#[derive(Debug)]
pub(crate) struct Randomness(Mutex<fastrand::Rng>);

impl Randomness {
    /// The numbers that follow from `seed`, or unpredictable ones.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(Mutex::new(seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)))
    }

    /// Any number.
    pub(crate) fn number(&self) -> u64 {
        self.draw(|rng| rng.u64(..))
    }

    /// Any small number.
    pub(crate) fn word(&self) -> u32 {
        self.draw(|rng| rng.u32(..))
    }

    fn draw<T>(&self, from: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        from(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_again() {
        let draw = |seed| {
            let random = Randomness::new(seed);
            [random.number(), random.number(), random.word().into()]
        };
        assert_eq!(draw(Some(7)), draw(Some(7)));
        assert_ne!(draw(Some(7)), draw(Some(8)));
        assert_ne!(draw(None), draw(None));
    }
}
