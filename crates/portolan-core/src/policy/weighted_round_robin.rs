//! In turn, by weight, smoothly.
//!
//! nginx's smooth weighted round robin updates every endpoint's counter on each pick: O(n), under a
//! lock. This is the *static stride* form of the same idea (gRPC's weighted_round_robin uses one
//! too): a single atomic counter walks round the endpoints, and on its g-th round an endpoint of
//! weight w takes its turn where the running total g·w/max passes a whole number. So after any g
//! rounds each endpoint has had ⌊g·w/max⌋ or one more: never more than one turn from its due.
//!
//! Rounds in which most endpoints pass would make picks slow where one weight towers over the rest.
//! Such an endpoint is given several places on the round, far from each other, none of which weighs
//! more than a few times the mean: then a pick passes a handful of places, however uneven the weights.

use std::sync::Arc;

use crossbeam_utils::CachePadded;

use super::{Explanation, PickContext, Picker, Policy, RoundRobin, Verdict};
use crate::{
    Candidates, Index,
    sync::{AtomicU64, Ordering},
};

/// Each endpoint in turn, as often as its weight says, and evenly: weights 5, 1, 1 never send five in
/// a row to the first one.
///
/// An endpoint of weight zero takes no turn, unless all are zero. With equal weights this is
/// [`RoundRobin`].
#[derive(Clone, Copy, Debug, Default)]
pub struct WeightedRoundRobin;

#[derive(Debug)]
pub(super) struct StridePicker {
    total: usize,
    places: Box<[Place]>,
    /// The weight of the heaviest place.
    heaviest: u64,
    step: CachePadded<AtomicU64>,
}

/// A place on the round.
#[derive(Clone, Copy, Debug)]
struct Place {
    index: Index,
    weight: u32,
    /// Where in its cycle the place starts, so that places of equal weight take turns apart.
    phase: u32,
}

/// No place weighs more than this many times the mean.
const HEAVIEST_TO_MEAN: u64 = 4;

impl WeightedRoundRobin {
    /// The policy.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Policy for WeightedRoundRobin {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        match candidates.weights() {
            None => RoundRobin.build(candidates),
            Some(weights) => Arc::new(StridePicker::new(&weights, candidates.seed())),
        }
    }
}

impl StridePicker {
    pub(super) fn new(weights: &[u32], seed: u64) -> Self {
        let places = lay_out(weights);
        let heaviest = places.iter().map(|place| place.weight).max().unwrap_or(1);
        // Starting at a round of its own for each client, and leaving 2^32 rounds before the end.
        let start = (seed >> 32) * places.len() as u64;
        Self {
            total: weights.len(),
            heaviest: u64::from(heaviest),
            places,
            step: CachePadded::new(AtomicU64::new(start)),
        }
    }

    /// How many places have been passed so far.
    #[cfg(test)]
    pub(super) fn steps(&self) -> u64 {
        self.step.load(Ordering::Relaxed)
    }

    /// The endpoint whose turn it is at this step, if it takes it.
    fn at(&self, step: u64) -> Option<Index> {
        let places = self.places.len() as u64;
        let place = self.places.get((step % places) as usize)?;
        let round = step / places;
        // The running total is wanted only modulo the heaviest weight.
        let before = ((round % self.heaviest) * u64::from(place.weight) + u64::from(place.phase))
            % self.heaviest;
        (before + u64::from(place.weight) >= self.heaviest).then_some(place.index)
    }
}

impl Picker for StridePicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        if let Err(verdict) = context.untried(self.total) {
            return verdict;
        }
        // Within one round the heaviest place takes its turn, so one round is enough to find one,
        // and two are where the heaviest ones have been tried.
        for _ in 0..2 * self.places.len() {
            let step = self.step.fetch_add(1, Ordering::Relaxed);
            match self.at(step) {
                Some(index) if !context.tried.contains(index) => return Verdict::Use(index),
                _ => {}
            }
        }
        // All that is left is very light, or weighs nothing.
        context.nth_untried(self.total, context.entropy as usize)
    }

    fn is_timed(&self) -> bool {
        false
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        explanation.note(
            "WeightedRoundRobin",
            format!("the next in turn of {}, by weight", self.total),
        );
        self.pick(context)
    }

    fn never_panics(&self) -> bool {
        true
    }
}

/// The places on the round: one for an ordinary endpoint, several for a heavy one.
fn lay_out(weights: &[u32]) -> Box<[Place]> {
    let weighty = weights.iter().filter(|&&weight| weight > 0).count().max(1) as u64;
    let sum: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let limit = (sum * HEAVIEST_TO_MEAN / weighty).clamp(1, u64::from(u32::MAX)) as u32;
    let mut places = Vec::with_capacity(weights.len() * 5 / 4 + 1);
    for (position, &weight) in weights
        .iter()
        .enumerate()
        .filter(|(_, weight)| **weight > 0)
    {
        let shares = weight.div_ceil(limit);
        for share in 0..shares {
            let place = Place {
                index: Index::at(position),
                // The shares add up to the weight exactly.
                weight: weight / shares + u32::from(share < weight % shares),
                phase: 0,
            };
            // The first share stands at its endpoint's own place, the others evenly round from it.
            let spot = (position as u64 * u64::from(shares)
                + u64::from(share) * weights.len() as u64)
                % (weights.len() as u64 * u64::from(shares));
            // A fraction of the round, as 32 bits.
            let spot = (u128::from(spot) << 32) / (weights.len() as u128 * u128::from(shares));
            places.push((spot as u32, place));
        }
    }
    places.sort_by_key(|(spot, place)| (*spot, place.index));
    let heaviest = places
        .iter()
        .map(|(_, place)| place.weight)
        .max()
        .unwrap_or(1);
    places
        .into_iter()
        .enumerate()
        .map(|(order, (_, place))| Place {
            phase: phase(order as u32, heaviest),
            ..place
        })
        .collect()
}

/// Starting points spread evenly over the cycle, whatever the number of places: multiples of the
/// golden ratio.
pub(super) fn phase(order: u32, heaviest: u32) -> u32 {
    let fraction = order.wrapping_mul(0x9e37_79b9);
    ((u64::from(fraction) * u64::from(heaviest)) >> 32) as u32
}
