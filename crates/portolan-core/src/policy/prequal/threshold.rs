//! What is usual in the fleet: how many requests endpoints have in hand of others, and from how many on one is hot.
//!
//! The quantile of the few that a pick draws would be nearly always their maximum. So up to 64 endpoints are looked at,
//! by one pick in some milliseconds.

use std::time::Duration;

use super::load::Load;
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
    /// As two floats: they belong together.
    usual: AtomicU64,
    due: AtomicU64,
}

/// What is usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usual {
    /// How many requests of others an endpoint has in hand, on average.
    pub(super) of_others: f32,
    /// The most that one may have in hand, of all, and be cold. Negative where nobody is.
    pub(super) most_cold: f32,
}

impl Threshold {
    pub(super) fn new(quantile: f64) -> Self {
        let usual = Usual {
            of_others: 0.0,
            most_cold: f32::INFINITY,
        };
        Self {
            quantile,
            usual: AtomicU64::new(usual.pack()),
            due: AtomicU64::new(0),
        }
    }

    /// What is usual now. `load` says how the endpoint at a position does, of `total`.
    #[inline]
    pub(super) fn at(
        &self,
        now: Time,
        entropy: u64,
        total: usize,
        load: impl Fn(usize) -> Option<Load>,
    ) -> Usual {
        let due = self.due.load(Ordering::Relaxed);
        let interval = saturating_nanos(INTERVAL);
        // Within the next interval: not yet. Later than that no moment is set, so the clock is another one.
        if due.wrapping_sub(now.as_nanos()).wrapping_sub(1) >= interval {
            let next = now.as_nanos().saturating_add(interval);
            let mine = self
                .due
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
            if mine.is_ok() {
                let usual = self.look(entropy, total, load);
                self.usual.store(usual.pack(), Ordering::Relaxed);
            }
        }
        Usual::unpack(self.usual.load(Ordering::Relaxed))
    }

    #[cold]
    fn look(&self, mut entropy: u64, total: usize, load: impl Fn(usize) -> Option<Load>) -> Usual {
        let mut sample = [None; SAMPLE];
        for (nth, place) in sample.iter_mut().take(total).enumerate() {
            entropy = next_entropy(entropy);
            *place = load(match total <= SAMPLE {
                true => nth,
                // Some of them twice, which does no harm to a quantile.
                false => scale(high(entropy), total),
            });
        }
        let loads = sample.iter().flatten();
        let of_others = mean(loads.clone().filter_map(|load| load.of_others));
        let (mut requests, mut count) = ([0.0; SAMPLE], 0);
        for (place, load) in requests.iter_mut().zip(loads) {
            *place = load.requests(of_others);
            count += 1;
        }
        let requests = requests.get_mut(..count).unwrap_or_default();
        Usual {
            of_others,
            most_cold: most_cold(requests, self.quantile),
        }
    }
}

/// 0 where there are none.
fn mean(numbers: impl Iterator<Item = f32>) -> f32 {
    let (mut sum, mut count) = (0.0, 0.0_f32);
    for number in numbers {
        sum += number;
        count += 1.0;
    }
    sum / count.max(1.0)
}

/// The quantile of the sample; at 0 nobody is cold, at 1 everybody is.
fn most_cold(sample: &mut [f32], quantile: f64) -> f32 {
    if quantile >= 1.0 {
        return f32::INFINITY;
    }
    let below = (quantile * sample.len() as f64).ceil() as usize;
    sample.sort_unstable_by(f32::total_cmp);
    let nth = below.checked_sub(1);
    nth.and_then(|nth| sample.get(nth))
        .map_or(-1.0, |most| *most)
}

impl Usual {
    fn pack(self) -> u64 {
        u64::from(self.of_others.to_bits()) << 32 | u64::from(self.most_cold.to_bits())
    }

    fn unpack(packed: u64) -> Self {
        Self {
            of_others: f32::from_bits((packed >> 32) as u32),
            most_cold: f32::from_bits(packed as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::most_cold;

    #[test]
    fn the_quantile_is_that_of_the_sample() {
        let sample = || [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0];
        assert!(most_cold(&mut sample(), 0.0) < 0.0, "nobody is cold");
        assert_eq!(most_cold(&mut sample(), 0.01), 1.0, "the least are");
        assert_eq!(most_cold(&mut sample(), 0.5), 3.0);
        assert_eq!(most_cold(&mut sample(), 0.9), 6.0);
        assert_eq!(most_cold(&mut sample(), 1.0), f32::INFINITY, "everybody is");
        assert_eq!(most_cold(&mut [7.0; 5], 0.84), 7.0, "equals are all cold");
        assert!(most_cold(&mut [], 0.84) < 0.0);
    }
}
