//! How long most requests take.

use std::{fmt, time::Duration};

use crate::{
    sync::{AtomicU32, AtomicU64, Ordering},
    time::saturating_nanos,
};

/// A quantile of the latency of late, for whoever wants to know whether one request takes longer than most.
///
/// Latencies are counted in buckets that grow by a ninth, from 64 µs to an hour: what is told is off by a ninth at
/// most, and on the long side. Two spans of time count, the one that goes on and the one before; whoever drives it
/// [turns](Self::turn) to the next. Recording is one atomic addition; asking reads one number.
///
/// ```
/// use portolan_core::retry::LatencyQuantile;
/// use std::time::Duration;
///
/// let most = LatencyQuantile::new(0.9, 10);
/// assert_eq!(most.value(), None);
/// for millis in 1..=100 {
///     most.record(Duration::from_millis(millis));
/// }
/// most.turn();
/// let value = most.value().unwrap();
/// assert!(value >= Duration::from_millis(90) && value <= Duration::from_millis(100));
/// ```
pub struct LatencyQuantile {
    quantile: f64,
    min_samples: u64,
    now: Counts,
    before: Counts,
    /// In nanoseconds; 0 where too little is known.
    value: AtomicU64,
}

type Counts = Box<[AtomicU32]>;

/// 64 µs × (10/9)^n.
const FIRST: f64 = 64_000.0;
const GROWTH: f64 = 10.0 / 9.0;
const BUCKETS: usize = 172;

impl LatencyQuantile {
    /// This quantile, from 0 to 1, once there are so many samples.
    #[must_use]
    pub fn new(quantile: f64, min_samples: u64) -> Self {
        let counts = || (0..BUCKETS).map(|_| AtomicU32::new(0)).collect();
        Self {
            quantile,
            min_samples,
            now: counts(),
            before: counts(),
            value: AtomicU64::new(0),
        }
    }

    /// A request took so long.
    pub fn record(&self, took: Duration) {
        if let Some(count) = self.now.get(bucket(took)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How long that many take at most; `None` where too little is known.
    #[must_use]
    pub fn value(&self) -> Option<Duration> {
        match self.value.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// Finds the value anew, of what was recorded since the turn before last. One at a time calls it.
    pub fn turn(&self) {
        let mut counts = [0_u64; BUCKETS];
        for (sum, (now, before)) in counts.iter_mut().zip(self.now.iter().zip(&self.before)) {
            let counted = now.swap(0, Ordering::Relaxed);
            *sum = u64::from(counted) + u64::from(before.swap(counted, Ordering::Relaxed));
        }
        let all: u64 = counts.iter().sum();
        if all < self.min_samples.max(1) {
            return self.value.store(0, Ordering::Relaxed);
        }
        let rank = (self.quantile * all as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        let found = counts.iter().position(|count| {
            below += count;
            below >= rank
        });
        let nanos = FIRST * GROWTH.powi(found.unwrap_or(BUCKETS - 1) as i32);
        self.value.store(nanos as u64, Ordering::Relaxed);
    }
}

/// The bucket whose upper end is the first that is not below.
fn bucket(took: Duration) -> usize {
    let nanos = saturating_nanos(took) as f64;
    if nanos <= FIRST {
        return 0;
    }
    let nth = ((nanos / FIRST).ln() / GROWTH.ln()).ceil();
    (nth as usize).min(BUCKETS - 1)
}

impl fmt::Debug for LatencyQuantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatencyQuantile")
            .field("quantile", &self.quantile)
            .field("value", &self.value())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Off by a ninth at most, on the long side, against the sorted list.
        #[test]
        fn it_is_that_of_the_sorted_list(
            mut micros in prop::collection::vec(64..60_000_000_u64, 10..400),
            quantile in 0.01..1.0_f64,
        ) {
            let measured = LatencyQuantile::new(quantile, 1);
            micros.iter().for_each(|one| measured.record(Duration::from_micros(*one)));
            measured.turn();
            micros.sort_unstable();
            let rank = ((quantile * micros.len() as f64).ceil() as usize).max(1);
            let exact = Duration::from_micros(micros[rank - 1]);
            let value = measured.value().unwrap();
            prop_assert!(value >= exact.mul_f64(0.9999), "{value:?} {exact:?}");
            prop_assert!(value <= exact.mul_f64(1.1112), "{value:?} {exact:?}");
        }
    }

    #[test]
    fn what_is_old_is_forgotten_at_the_second_turn() {
        let measured = LatencyQuantile::new(0.5, 10);
        (0..10).for_each(|_| measured.record(Duration::from_millis(1)));
        measured.turn();
        assert!(measured.value().is_some());
        measured.turn();
        assert!(measured.value().is_some());
        measured.turn();
        assert_eq!(measured.value(), None);
    }

    #[test]
    fn whatever_is_recorded_has_a_place() {
        let measured = LatencyQuantile::new(1.0, 1);
        measured.record(Duration::ZERO);
        measured.record(Duration::MAX);
        measured.turn();
        assert!(measured.value().unwrap() > Duration::from_secs(3600));
    }
}
