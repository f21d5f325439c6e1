//! Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018).
//!
//! No host gets more than c times its share of the requests in flight: of a total of `m`, this one included, a host
//! that has `w` of the weight `W` takes up to ⌈c · m · w / W⌉.
//!
//! The total is a sum over the counts of all endpoints, each on a cache line of its own that other threads write: too
//! much for every pick. So the last sum is kept. It is taken anew by one pick in as many as there are hosts, which is
//! one line a pick; and whenever a host looks full by it. Where there are very many hosts, which costs them
//! microseconds, only by some of those picks.

use crossbeam_utils::CachePadded;

use super::host::{Host, Hosts};
use crate::{
    Candidates,
    policy::random::{low, scale},
    sync::{AtomicU64, Ordering},
};

/// How many counts a pick that finds a host full reads at most, over many.
const LOOKS: usize = 64;

/// The bound, over these endpoints.
#[derive(Debug)]
pub(super) struct Bound {
    /// c · w / W of each host; one for all where all weigh the same.
    factors: Box<[f64]>,
    /// How many endpoints there are.
    total: usize,
    /// The requests in flight to all of them, when they were last counted.
    in_flight: CachePadded<AtomicU64>,
    /// How often a host has looked full.
    full: CachePadded<AtomicU64>,
}

impl Bound {
    /// None where there is nobody else to go to, or no bound.
    pub(super) fn new(factor: f64, hosts: &Hosts, candidates: &Candidates) -> Option<Self> {
        // Below 1 there would be no room for all. What is not a number bounds nothing.
        if hosts.len() < 2 || !factor.is_finite() {
            return None;
        }
        let factor = factor.max(1.0);
        let factors = match hosts.unequal_weights() {
            None => [factor / hosts.len() as f64].into(),
            Some(weights) => {
                let sum: f64 = weights.iter().copied().map(f64::from).sum();
                let share = |weight: &u32| factor * f64::from(*weight) / sum;
                weights.iter().map(share).collect()
            }
        };
        Some(Self {
            factors,
            total: candidates.len(),
            in_flight: CachePadded::default(),
            full: CachePadded::default(),
        })
    }

    /// Whether the key's first host, with so many requests in flight, has room for one more, as far as is known
    /// without counting.
    #[inline]
    pub(super) fn seems_to_admit(
        &self,
        host: Host,
        in_flight: u32,
        candidates: &Candidates,
        entropy: u64,
    ) -> bool {
        if scale(low(entropy), self.total) == 0 {
            self.count(candidates);
        }
        self.admits(host, in_flight, self.in_flight.load(Ordering::Relaxed))
    }

    /// How many requests are in flight, where it matters.
    pub(super) fn in_flight(&self, candidates: &Candidates) -> u64 {
        let patience = (self.total / LOOKS) as u64;
        let full = self.full.fetch_add(1, Ordering::Relaxed);
        match patience <= 1 || full.is_multiple_of(patience) {
            true => self.count(candidates),
            false => self.in_flight.load(Ordering::Relaxed),
        }
    }

    /// Whether a host with so many requests in flight has room for one more, where there are so many in all.
    #[inline]
    pub(super) fn admits(&self, host: Host, in_flight: u32, all: u64) -> bool {
        let factor = match &*self.factors {
            [same] => *same,
            each => each.get(host.0 as usize).copied().unwrap_or_default(),
        };
        // Below ⌈x⌉ is, for a whole number, below x.
        f64::from(in_flight) < (all + 1) as f64 * factor
    }

    fn count(&self, candidates: &Candidates) -> u64 {
        let all = candidates
            .iter()
            .map(|one| u64::from(one.state.in_flight()))
            .sum();
        self.in_flight.store(all, Ordering::Relaxed);
        all
    }
}
