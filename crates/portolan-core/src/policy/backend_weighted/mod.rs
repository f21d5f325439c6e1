//! In turn, by what the backends themselves say they can take (gRFC A58, `weighted_round_robin`).
//!
//! A weight that somebody wrote down is right until the Pods land on other machines. Here each backend tells how
//! many requests it answers and how much of it that takes; the quotient is what it could answer, and that is its
//! weight. The turns are those of a static stride, as in [`WeightedRoundRobin`](super::WeightedRoundRobin), but
//! over weights that change in place: they are looked at again on the way, by whichever pick finds that it is time,
//! a few endpoints at a time. There is no timer to wait for, no lock, and nothing to allocate, and it works
//! wherever a policy may be put, with the time that each pick is given anyway.

mod weights;

use std::{sync::Arc, time::Duration};

use crossbeam_utils::CachePadded;

use self::weights::{FULL, Reporters, Weights};
use super::{Explanation, PickContext, Picker, Policy, Verdict, weighted_round_robin::phase};
use crate::{
    Candidates, Index, Time,
    sync::{AtomicU64, Ordering},
};

/// Each endpoint in turn, as often as it says that it can take it.
///
/// The weight of an endpoint is requests per second / (utilization + errors per request × penalty), of what it
/// [reported](crate::EndpointState::report_load) last; so all come to the same utilization, whatever they run on,
/// and one that fails is shunned for more than the work that it does not do. Endpoints of which nothing is known
/// get what the others get on average. Where fewer than two report, all are alike, and it is
/// [`RoundRobin`](super::RoundRobin). Weights of endpoints do not count: the reports know better.
///
/// No endpoint gets more than ten times the mean, so that a confused one cannot draw everything, nor less than a
/// hundredth, or it would never be heard of again.
///
/// Weights are as noisy as the reports: simulated at 0.9 of capacity, with equal Pods that each answer 180 requests/s, means
/// over a second make the p99 a fifth longer than [`RoundRobin`](super::RoundRobin)'s, and means over five seconds hardly
/// longer. So have backends report means over some seconds; weights follow that much later.
///
/// It says how much an endpoint can do, not how much it has to do right now: a Pod that stalls shows only when it
/// reports so. Where that matters more, take [`LeastRequest`](super::LeastRequest) or
/// [`Prequal`](super::Prequal).
///
/// Use one for each balancer: it remembers the time of its last pick.
///
/// ```
/// use portolan_core::policy::BackendWeighted;
/// use std::time::Duration;
///
/// let policy = BackendWeighted::new().blackout(Duration::from_secs(30)).error_penalty(2.0);
/// # let _: &dyn portolan_core::Policy = &policy;
/// ```
#[derive(Clone, Debug, Default)]
pub struct BackendWeighted {
    settings: Settings,
    /// The time of the last look, in nanoseconds; 0 before the first. A new picker goes on from there.
    looked: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    blackout: Duration,
    expiry: Duration,
    period: Duration,
    error_penalty: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            blackout: Duration::from_secs(10),
            expiry: Duration::from_secs(180),
            period: Duration::from_secs(1),
            error_penalty: 1.0,
        }
    }
}

/// A weight is not looked at more often than this (gRFC A58).
const SHORTEST_PERIOD: Duration = Duration::from_millis(100);

impl BackendWeighted {
    /// The policy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For how long the reports of an endpoint that has just begun to report do not count. Default: 10 s. In its
    /// first seconds a process is busy with itself, and looks as if it could do little. Zero: they count at once.
    #[must_use]
    pub fn blackout(mut self, blackout: Duration) -> Self {
        self.settings.blackout = blackout;
        self
    }

    /// How long a report counts. Default: 3 min, so that an endpoint which gets few requests, and so reports seldom,
    /// does not pass for one of which nothing is known. After a silence of 3 min the [blackout](Self::blackout) begins
    /// anew, whatever is set here.
    #[must_use]
    pub fn expiry(mut self, expiry: Duration) -> Self {
        self.settings.expiry = expiry;
        self
    }

    /// How often each weight is looked at. Default: 1 s; less than 100 ms counts as that.
    #[must_use]
    pub fn update_period(mut self, period: Duration) -> Self {
        self.settings.period = period.max(SHORTEST_PERIOD);
        self
    }

    /// How much worse than a full load it is to fail every request. Default: 1. Without it, an endpoint that fails
    /// fast looks as if it could take nearly anything. What is negative or no number counts as zero.
    #[must_use]
    pub fn error_penalty(mut self, penalty: f64) -> Self {
        self.settings.error_penalty = if penalty > 0.0 { penalty } else { 0.0 };
        self
    }
}

impl Policy for BackendWeighted {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let total = candidates.len() as u64;
        let looked = Time::from_nanos(self.looked.load(Ordering::Relaxed));
        Arc::new(BackendWeightedPicker {
            weights: Weights::of(candidates, self.settings, looked),
            candidates: candidates.clone(),
            looked: Arc::clone(&self.looked),
            // Starting at a round of its own for each client, and leaving 2^32 rounds before the end.
            step: CachePadded::new(AtomicU64::new((candidates.seed() >> 32) * total)),
        })
    }
}

#[derive(Debug)]
struct BackendWeightedPicker {
    candidates: Candidates,
    weights: Weights,
    looked: Arc<AtomicU64>,
    step: CachePadded<AtomicU64>,
}

impl BackendWeightedPicker {
    /// The endpoint whose turn it is at this step, if it takes it.
    fn at(&self, step: u64) -> Option<Index> {
        let total = self.candidates.len() as u64;
        let (position, round) = ((step % total) as usize, step / total);
        let share = u64::from(self.weights.share(position));
        // The running total is wanted only modulo a full share.
        let start = u64::from(phase(position as u32, FULL));
        let before = ((round % u64::from(FULL)) * share + start) % u64::from(FULL);
        (before + share >= u64::from(FULL)).then(|| Index::at(position))
    }

    fn look(&self, now: Time) {
        if self.weights.look(&self.candidates, now) {
            self.looked.store(now.as_nanos(), Ordering::Relaxed);
        }
    }
}

impl Picker for BackendWeightedPicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        let total = self.candidates.len();
        if let Err(verdict) = context.untried(total) {
            return verdict;
        }
        self.look(context.now);
        // As a rule somebody has a full share, and takes a turn each round; while weights change nobody may.
        for _ in 0..2 * total {
            let step = self.step.fetch_add(1, Ordering::Relaxed);
            match self.at(step) {
                Some(index) if !context.tried.contains(index) => return Verdict::Use(index),
                _ => {}
            }
        }
        context.nth_untried(total, context.entropy as usize)
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        self.look(context.now);
        let total = self.candidates.len();
        let said = match self.weights.reporters() {
            Reporters::TooFew => {
                format!("the next in turn of {total}, each as often: fewer than two report")
            }
            Reporters::Some { count, least, most } => format!(
                "the next in turn of {total}, by what they report: {count} do, from {least:.2} to {most:.2} of the mean"
            ),
        };
        explanation.note("BackendWeighted", said);
        self.pick(context)
    }

    fn never_panics(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
