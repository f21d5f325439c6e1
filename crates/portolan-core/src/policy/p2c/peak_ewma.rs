//! The one of two that is likely to answer sooner.

use std::sync::Arc;

use super::{Weights, pick_of_two};
use crate::{Candidates, EndpointState, Explanation, PickContext, Picker, Policy, Time, Verdict};

/// Of two endpoints at random, the one with the lower expected latency, times the requests in flight.
///
/// The latency is a *peak* EWMA: one slow response counts at once, and is forgotten slowly (see
/// [`Measurement`](crate::Measurement)). Failures count as slow, so an endpoint that fails fast draws
/// no traffic.
///
/// An endpoint that has answered nothing yet is given one request at a time until it has: enough to
/// be measured, not enough to be drowned. What callers wait for it in vain adds up meanwhile, so that an
/// endpoint which hangs from the start is left alone after the first time-outs, and then tried rarely.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeakEwma;

#[derive(Debug)]
struct PeakEwmaPicker {
    candidates: Candidates,
    weights: Weights,
}

/// What an endpoint that never answered costs for each request in flight: more than any that did.
const UNANSWERED_NANOS: f32 = 1e12;

impl PeakEwma {
    /// The policy.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Policy for PeakEwma {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        Arc::new(PeakEwmaPicker {
            weights: Weights::of(candidates),
            candidates: candidates.clone(),
        })
    }
}

impl Picker for PeakEwmaPicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        pick_of_two(&self.candidates, context, |(a, one), (b, other)| {
            let cost_a = cost(&one.state, context.now) * self.weights.get(b) as f32;
            let cost_b = cost(&other.state, context.now) * self.weights.get(a) as f32;
            cost_b < cost_a
        })
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        explanation.note(
            "PeakEwma",
            format!("soonest answer of two drawn from {}", self.candidates.len()),
        );
        self.pick(context)
    }

    fn never_panics(&self) -> bool {
        true
    }
}

#[inline]
fn cost(state: &EndpointState, now: Time) -> f32 {
    let in_flight = state.in_flight() as f32;
    match state.expected_latency(now) {
        Some(expected) if expected.answered => expected.nanos * (in_flight + 1.0),
        in_vain => {
            let waited = in_vain.map_or(0.0, |waited| waited.nanos);
            waited + UNANSWERED_NANOS * in_flight
        }
    }
}
