//! Endpoints that have just come get less at first.
//!
//! A process that has just started has cold caches, an empty pool and code that is not compiled yet; given its
//! full share at once it answers slowly, or falls over again. So it is given a part of what the policy would
//! give it, and more from moment to moment (Envoy's `slow_start_config`).
//!
//! It is done to *picks*, whatever the policy: one that falls on such an endpoint stands with the probability of
//! its [share](crate::EndpointState::share), and else another is asked for. Weights would not do: of two idle
//! endpoints, the power of two choices takes the heavier one always.

use std::{sync::Arc, time::Duration};

use crate::{
    Candidates, Explanation, Index, InvalidSetting, PickContext, Picker, Verdict,
    policy::random_bits, setting::expect,
};

/// How long an endpoint that has just come, or come back, gets less than its part.
///
/// A policy [by identity](crate::Policy::is_by_identity) is not slowed: a key has one place.
///
/// ```
/// use portolan_core::health::SlowStart;
/// use std::time::Duration;
///
/// let slow = SlowStart::over(Duration::from_secs(30));
/// assert_eq!(slow.share_at(Duration::ZERO), 0.1);
/// assert_eq!(slow.share_at(Duration::from_secs(15)), 0.5);
/// assert_eq!(slow.share_at(Duration::from_secs(30)), 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    window: Duration,
    min_share: f64,
    aggression: f64,
}

impl SlowStart {
    /// Over this time, from a tenth of its part, evenly.
    #[must_use]
    pub fn over(window: Duration) -> Self {
        Self {
            window,
            min_share: 0.1,
            aggression: 1.0,
        }
    }

    /// The part that it gets at once. Default: 0.1, as Envoy has it: enough to warm up by.
    #[must_use]
    pub fn with_min_share(mut self, share: f64) -> Self {
        self.min_share = share;
        self
    }

    /// The part grows with (age / window)^(1 / aggression): above 1, faster at first. Default: 1, evenly.
    #[must_use]
    pub fn with_aggression(mut self, aggression: f64) -> Self {
        self.aggression = aggression;
        self
    }

    /// What part it gets at this age.
    #[must_use]
    pub fn share_at(&self, age: Duration) -> f64 {
        if age >= self.window {
            return 1.0;
        }
        let gone = age.as_secs_f64() / self.window.as_secs_f64();
        gone.powf(1.0 / self.aggression)
            .max(self.min_share)
            .min(1.0)
    }

    /// How often the parts are to be set anew: in steps that nobody notices.
    #[must_use]
    pub fn step(&self) -> Duration {
        (self.window / 50).max(Duration::from_millis(100))
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// The first setting that does not, and what was expected of it.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        expect(
            !self.window.is_zero(),
            "slow_start.window",
            &self.window,
            "expected more than zero; leave slow start off to have none",
        )?;
        expect(
            self.min_share > 0.0 && self.min_share <= 1.0,
            "slow_start.min_share",
            &self.min_share,
            "expected more than 0, or nothing would ever be learnt of the endpoint, and at most 1",
        )?;
        expect(
            self.aggression.is_finite() && self.aggression > 0.0,
            "slow_start.aggression",
            &self.aggression,
            "expected more than zero",
        )
    }
}

/// The picker, made to give endpoints their [share](crate::EndpointState::share). Where all have their whole, it is
/// the picker itself: a slow start costs nothing when it is over.
#[must_use]
pub fn ramped(picker: Arc<dyn Picker>, candidates: &Candidates) -> Arc<dyn Picker> {
    if candidates.iter().all(|one| one.state.withheld() == 0) {
        return picker;
    }
    let candidates = candidates.clone();
    Arc::new(Ramped { picker, candidates })
}

#[derive(Debug)]
struct Ramped {
    picker: Arc<dyn Picker>,
    candidates: Candidates,
}

/// Where all are slow, somebody has to take the request.
const MAX_ASKED: u64 = 4;

impl Ramped {
    fn stands(&self, index: Index, entropy: u64) -> bool {
        let candidate = self.candidates.get(index);
        let withheld = candidate.map_or(0, |one| one.state.withheld());
        (random_bits(entropy, MAX_ASKED) >> 32) as u32 >= withheld
    }
}

impl Picker for Ramped {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        let mut again = *context;
        let mut verdict = self.picker.pick(&again);
        for nth in 1..MAX_ASKED {
            match verdict {
                Verdict::Use(index) if !self.stands(index, again.entropy) => {
                    again.entropy = random_bits(context.entropy, nth);
                    verdict = self.picker.pick(&again);
                }
                _ => break,
            }
        }
        verdict
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        let slow = self
            .candidates
            .iter()
            .filter(|one| one.state.withheld() > 0);
        let names: Vec<_> = slow
            .take(3)
            .map(|one| {
                format!(
                    "{} {:.0}%",
                    one.endpoint.placement(),
                    100.0 * one.state.share()
                )
            })
            .collect();
        explanation.note(
            "SlowStart",
            format!("some get less than their part yet: {}", names.join(", ")),
        );
        self.picker.explain(context, explanation);
        self.pick(context)
    }

    fn admits(&self, index: Index, context: &PickContext<'_>) -> bool {
        self.picker.admits(index, context)
    }

    fn may_pick(&self, index: Index, context: &PickContext<'_>) -> bool {
        self.picker.may_pick(index, context)
    }

    fn is_timed(&self) -> bool {
        self.picker.is_timed()
    }

    fn never_panics(&self) -> bool {
        self.picker.never_panics()
    }
}

#[cfg(test)]
mod tests;
