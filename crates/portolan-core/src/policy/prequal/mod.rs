//! The one that will answer soonest, of those that are not overloaded.
//!
//! "Load is not what you should balance" (Wydrowski et al., NSDI 2024): what a caller feels is latency, and what
//! foretells it is how many requests an endpoint has in hand. So of a few endpoints drawn at random those that have
//! more in hand than most of the fleet are *hot*; of the others, the *cold* ones, the fastest is chosen, and where all
//! are hot, the one with the least in hand. The paper has its clients probe; here the two numbers come with whatever an
//! endpoint [reports](crate::EndpointState::report_load), on answers or otherwise. Of one that reports nothing, the
//! client goes by what it has measured itself.

mod load;
mod threshold;

use std::{sync::Arc, time::Duration};

use self::{load::Load, threshold::Threshold};
use super::{
    Explanation, PickContext, Picker, Policy, Verdict,
    random::{high, low, next_entropy, scale},
};
use crate::{Candidates, Index};

/// Of a few endpoints at random, the fastest that is not overloaded.
///
/// Both numbers that it goes by, requests in hand and latency, are what the endpoint reported last, if that is not
/// too [old](Self::max_age), corrected by what this client has sent there since; else they are this client's own.
///
/// An endpoint that has failed three requests in a row comes last, until what its failures count for
/// ([`Measurement::failure_latency`](crate::Measurement)) has faded: a Pod that fails at once has nothing in hand and
/// answers fastest of all. One of which nothing is known is given one request at a time. Weights of endpoints do not
/// count: latency knows better.
///
/// ```
/// use portolan_core::policy::Prequal;
///
/// let policy = Prequal::new().hot_above(0.6).choices(3);
/// # let _: &dyn portolan_core::Policy = &policy;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Prequal {
    choices: usize,
    quantile: f64,
    max_age: Duration,
}

impl Default for Prequal {
    fn default() -> Self {
        Self {
            choices: 5,
            quantile: 0.84,
            max_age: Duration::from_secs(1),
        }
    }
}

/// More are never drawn for a pick.
const MOST_CHOICES: usize = 16;

impl Prequal {
    /// The policy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many endpoints are drawn for each request. Default: 5. More know the fleet better, and follow old news
    /// more closely; fewer than 2 count as 2, more than 16 as 16.
    #[must_use]
    pub fn choices(mut self, choices: usize) -> Self {
        self.choices = choices.clamp(2, MOST_CHOICES);
        self
    }

    /// Above which quantile of the requests that endpoints have in hand one of them is hot. Default: 0.84, as in the
    /// paper. At 0 only the requests in hand count, at 1 only latency does. What is out of range counts as the nearer
    /// end, and what is no number changes nothing.
    #[must_use]
    pub fn hot_above(mut self, quantile: f64) -> Self {
        if !quantile.is_nan() {
            self.quantile = quantile.clamp(0.0, 1.0);
        }
        self
    }

    /// How old a report may be. Default: 1 s, as in the paper. Queues are filled and emptied in less.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }
}

impl Policy for Prequal {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        Arc::new(PrequalPicker {
            settings: *self,
            threshold: Threshold::new(self.quantile),
            candidates: candidates.clone(),
        })
    }
}

#[derive(Debug)]
struct PrequalPicker {
    settings: Prequal,
    candidates: Candidates,
    threshold: Threshold,
}

impl PrequalPicker {
    fn load(&self, index: Index, context: &PickContext<'_>) -> Option<Load> {
        let one = self.candidates.get(index)?;
        Some(Load::of(&one.state, context.now, self.settings.max_age))
    }

    fn cold_below(&self, context: &PickContext<'_>) -> u64 {
        let total = self.candidates.len();
        self.threshold
            .at(context.now, context.entropy, total, |position| {
                let load = self.load(Index::at(position), context);
                load.map_or(0, |load| load.requests)
            })
    }
}

impl Picker for PrequalPicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        let left = match context.untried(self.candidates.len()) {
            Ok(left) => left,
            Err(verdict) => return verdict,
        };
        let cold_below = self.cold_below(context);
        let drawn = Drawn::some(self.settings.choices, left, context.entropy);
        let indices = drawn.iter().map(|nth| context.tried.skip(nth));
        let ranked =
            indices.filter_map(|index| Some((self.load(index, context)?.rank(cold_below), index)));
        // The first drawn of equals, so that no order of names is preferred.
        match ranked.min_by_key(|(rank, _)| *rank) {
            Some((_, index)) => Verdict::Use(index),
            None => context.nth_untried(self.candidates.len(), low(context.entropy) as usize),
        }
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        let (total, choices) = (
            self.candidates.len(),
            self.settings.choices.min(self.candidates.len()),
        );
        let reports =
            |one: &&crate::Candidate| load::is_told(&one.state, context.now, self.settings.max_age);
        let told = self.candidates.iter().filter(reports).count();
        let cold = match self.cold_below(context) {
            u64::MAX => "all of them cold".to_owned(),
            below => format!("cold below {below} in hand"),
        };
        explanation.note(
            "Prequal",
            format!("the fastest cold one of {choices} drawn from {total}, {cold}; {told} report"),
        );
        self.pick(context)
    }

    fn never_panics(&self) -> bool {
        true
    }
}

/// Distinct numbers at random (Floyd's algorithm, Bentley and Floyd 1987).
struct Drawn {
    numbers: [usize; MOST_CHOICES],
    count: usize,
}

impl Drawn {
    /// `count` numbers from 0 to `total` − 1, or all.
    fn some(count: usize, total: usize, mut entropy: u64) -> Self {
        let mut this = Self {
            numbers: [0; MOST_CHOICES],
            count: 0,
        };
        for last in total.saturating_sub(count)..total {
            let number = scale(high(entropy), last + 1);
            let number = if this.iter().any(|one| one == number) {
                last
            } else {
                number
            };
            if let Some(place) = this.numbers.get_mut(this.count) {
                *place = number;
                this.count += 1;
            }
            entropy = next_entropy(entropy);
        }
        this
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        self.numbers.iter().copied().take(self.count)
    }
}

#[cfg(test)]
mod tests;
