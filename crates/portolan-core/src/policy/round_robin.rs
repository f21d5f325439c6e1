//! Each in turn.

use std::sync::Arc;

use crossbeam_utils::CachePadded;

use super::{Explanation, PickContext, Picker, Policy, Verdict};
use crate::{
    Candidates,
    sync::{AtomicU64, Ordering},
};

/// Each endpoint in turn, in the order of their placement; weights do not count.
///
/// The first turn is drawn at random with each new set of endpoints, so that many clients that
/// start together do not all start with the same Pod.
///
/// The turn is one counter that all threads share: where they pick at the same moment it costs
/// them a cache line's travel (some 30 ns). [`LeastRequest`](super::LeastRequest) has no such counter.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin;

#[derive(Debug)]
struct RoundRobinPicker {
    total: usize,
    turn: CachePadded<AtomicU64>,
}

impl RoundRobin {
    /// The policy.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Policy for RoundRobin {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        Arc::new(RoundRobinPicker {
            total: candidates.len(),
            // Half of the range keeps the counter from wrapping, which would break the turn once.
            turn: CachePadded::new(AtomicU64::new(candidates.seed() >> 1)),
        })
    }
}

impl Picker for RoundRobinPicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        // On targets of 32 bits the turn is cut off, which is as good a turn.
        context.nth_untried(self.total, turn as usize)
    }

    fn is_timed(&self) -> bool {
        false
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        explanation.note("RoundRobin", format!("the next in turn of {}", self.total));
        self.pick(context)
    }

    fn never_panics(&self) -> bool {
        true
    }
}
