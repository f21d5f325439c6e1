//! Whose rates of one interval are too bad.

use super::settings::{FailurePercentage, SuccessRate};

/// What an endpoint did in one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval {
    pub(super) requests: u64,
    pub(super) failures: u64,
}

impl Interval {
    /// Of a hundred. An interval without requests has no rate, and is not asked.
    fn success(self) -> f64 {
        // A body that broke off counts as a failure when it does, in another interval maybe.
        let failures = self.failures.min(self.requests);
        100.0 * (self.requests - failures) as f64 / self.requests as f64
    }
}

/// The places of those whose success rate is too far below the mean.
pub(super) fn too_far_below(settings: SuccessRate, all: &[Interval]) -> Vec<usize> {
    let rates = known(all, settings.min_requests);
    if rates.len() < settings.min_endpoints.max(1) {
        return Vec::new();
    }
    let count = rates.len() as f64;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
    let variance = rates
        .iter()
        .map(|(_, rate)| (rate - mean).powi(2))
        .sum::<f64>()
        / count;
    let least = mean - settings.stdev_factor * variance.sqrt();
    let mut places = at(&rates, |rate| rate < least);
    let failures = |place: &usize| all.get(*place).map_or(0, |one| one.failures);
    places.retain(|place| failures(place) >= settings.min_failures);
    places
}

/// The places of those of whose requests too many fail.
pub(super) fn too_many_fail(settings: FailurePercentage, all: &[Interval]) -> Vec<usize> {
    let rates = known(all, settings.min_requests);
    if rates.len() < settings.min_endpoints {
        return Vec::new();
    }
    at(&rates, |rate| 100.0 - rate >= settings.threshold)
}

fn known(all: &[Interval], min_requests: u64) -> Vec<(usize, f64)> {
    all.iter()
        .enumerate()
        .filter(|(_, one)| one.requests >= min_requests.max(1))
        .map(|(place, one)| (place, one.success()))
        .collect()
}

fn at(rates: &[(usize, f64)], is_bad: impl Fn(f64) -> bool) -> Vec<usize> {
    let bad = rates.iter().filter(|(_, rate)| is_bad(*rate));
    bad.map(|(place, _)| *place).collect()
}
