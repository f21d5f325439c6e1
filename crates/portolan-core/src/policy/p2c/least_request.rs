//! The one of two with fewer requests in flight.

use std::sync::Arc;

use super::{Weights, pick_of_two};
use crate::{Candidate, Candidates, Explanation, PickContext, Picker, Policy, Verdict};

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
            let load = |one: &Candidate| u64::from(one.state.in_flight()) + 1;
            let (load_a, weight_a, weight_b) =
                (load(one), self.weights.get(a), self.weights.get(b));
            // Nobody does better than one that is idle and weighs no less. So the other's counter, which
            // another thread may have written last, is not even looked at (30 ns with two threads).
            if load_a == 1 && weight_a >= weight_b {
                return false;
            }
            // (in flight + 1) / weight, compared crosswise: without a division, and exact.
            let cost_a = u128::from(load_a) * u128::from(weight_b);
            let cost_b = u128::from(load(other)) * u128::from(weight_a);
            cost_b < cost_a
        })
    }

    fn is_timed(&self) -> bool {
        false
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        explanation.note(
            "LeastRequest",
            format!(
                "fewest in flight of two drawn from {}",
                self.candidates.len()
            ),
        );
        self.pick(context)
    }

    fn never_panics(&self) -> bool {
        true
    }
}
