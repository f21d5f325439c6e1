//! The one of two with fewer requests in flight.

use std::sync::Arc;

use super::{Weights, pick_of_two};
use crate::{Candidates, PickContext, Picker, Policy, Verdict};

/// Of two endpoints at random, the one with fewer requests in flight for its weight.
///
/// The default: it needs no tuning, reacts within one request to a Pod that slows down, and is never
/// fooled by the clock. What it compares is (in flight + 1) / weight, the load that the endpoint
/// would have with this request. An endpoint of weight zero is chosen only against another such one.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastRequest;

#[derive(Debug)]
struct LeastRequestPicker {
    candidates: Candidates,
    weights: Weights,
}

impl LeastRequest {
    /// The policy.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Policy for LeastRequest {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        Arc::new(LeastRequestPicker {
            weights: Weights::of(candidates),
            candidates: candidates.clone(),
        })
    }
}

impl Picker for LeastRequestPicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        pick_of_two(&self.candidates, context, |(a, one), (b, other)| {
            // (in flight + 1) / weight, compared crosswise: without a division, and exact.
            let load = |in_flight: u32| u64::from(in_flight) + 1;
            let cost_a = u128::from(load(one.state.in_flight())) * u128::from(self.weights.get(b));
            let cost_b =
                u128::from(load(other.state.in_flight())) * u128::from(self.weights.get(a));
            cost_b < cost_a
        })
    }

    fn is_timed(&self) -> bool {
        false
    }
}
