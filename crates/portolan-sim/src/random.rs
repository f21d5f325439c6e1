//! Chance, in the shapes that are needed.

use std::time::Duration;

/// A source of chance: the same seed gives the same.
#[derive(Clone, Debug)]
pub struct Chance(fastrand::Rng);

impl Chance {
    /// That of this seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number below `n`; 0 where there is none.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.usize(..n.max(1))
    }

    /// A time by the exponential law of this mean: the time between requests of many callers, and the time that work
    /// takes of which nothing else is known.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        // 1 − u is never 0.
        let scale = -(1.0 - self.0.f64()).ln();
        mean.mul_f64(scale)
    }
}
