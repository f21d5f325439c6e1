//! From how many requests in hand on an endpoint is hot: a quantile of the fleet, looked at anew from time to time.
//!
//! The quantile of the few that a pick draws would be nearly always their maximum. So up to 64 endpoints are looked at,
//! by one pick in some milliseconds.

use std::time::Duration;

use crate::{
    Time,
    policy::random::{high, next_entropy, scale},
    sync::{AtomicU64, Ordering},
    time::saturating_nanos,
};

/// How often it is looked at. Queues change in about the time that a request takes.
const INTERVAL: Duration = Duration::from_millis(10);
/// At so many endpoints: what is above the quantile 0.84 of so many is 0.16 of the fleet, give or take 0.05.
const SAMPLE: usize = 64;

#[derive(Debug)]
pub(super) struct Threshold {
    quantile: f64,
    /// Who has fewer in hand is cold.
    cold_below: AtomicU64,
    due: AtomicU64,
}

impl Threshold {
    pub(super) fn new(quantile: f64) -> Self {
        Self {
            quantile,
            cold_below: AtomicU64::new(u64::MAX),
            due: AtomicU64::new(0),
        }
    }

    /// Below how many in hand an endpoint is cold. `requests` says how many the one at a position has, of `total`.
    #[inline]
    pub(super) fn at(
        &self,
        now: Time,
        entropy: u64,
        total: usize,
        requests: impl Fn(usize) -> u32,
    ) -> u64 {
        let due = self.due.load(Ordering::Relaxed);
        let interval = saturating_nanos(INTERVAL);
        // Within the next interval: not yet. Later than that no moment is set, so the clock is another one.
        if due.wrapping_sub(now.as_nanos()).wrapping_sub(1) >= interval {
            let next = now.as_nanos().saturating_add(interval);
            let mine = self
                .due
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
            if mine.is_ok() {
                self.look(entropy, total, requests);
            }
        }
        self.cold_below.load(Ordering::Relaxed)
    }

    #[cold]
    fn look(&self, mut entropy: u64, total: usize, requests: impl Fn(usize) -> u32) {
        let mut sample = [0_u32; SAMPLE];
        let count = total.min(SAMPLE);
        for (nth, place) in sample.iter_mut().take(count).enumerate() {
            entropy = next_entropy(entropy);
            let position = match total <= SAMPLE {
                true => nth,
                // Some of them twice, which does no harm to a quantile.
                false => scale(high(entropy), total),
            };
            *place = requests(position);
        }
        let Some(sample) = sample.get_mut(..count) else {
            return;
        };
        let cold_below = cold_below(sample, self.quantile);
        self.cold_below.store(cold_below, Ordering::Relaxed);
    }
}

/// One more than the quantile of the sample; at 0 nobody is cold, at 1 everybody is.
fn cold_below(sample: &mut [u32], quantile: f64) -> u64 {
    if quantile >= 1.0 {
        return u64::MAX;
    }
    let below = (quantile * sample.len() as f64).ceil() as usize;
    sample.sort_unstable();
    match below.checked_sub(1).and_then(|nth| sample.get(nth)) {
        Some(quantile) => u64::from(*quantile) + 1,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::cold_below;

    #[test]
    fn the_quantile_is_that_of_the_sample() {
        let sample = || [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
        assert_eq!(cold_below(&mut sample(), 0.0), 0, "nobody is cold");
        assert_eq!(cold_below(&mut sample(), 0.01), 2, "the least are");
        assert_eq!(cold_below(&mut sample(), 0.5), 4);
        assert_eq!(cold_below(&mut sample(), 0.9), 7);
        assert_eq!(cold_below(&mut sample(), 1.0), u64::MAX, "everybody is");
        assert_eq!(cold_below(&mut [7; 5], 0.84), 8, "equals are all cold");
        assert_eq!(cold_below(&mut [], 0.84), 0);
    }
}
