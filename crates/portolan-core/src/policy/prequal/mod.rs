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

use self::{
    load::Load,
    threshold::{Threshold, Usual},
};
use super::{
    Explanation, PickContext, Picker, Policy, Verdict,
    random::{high, low, next_entropy, scale},
};
use crate::{Candidates, Index};

/// Of a few endpoints at random, the fastest that is not overloaded.
///
/// Both numbers that it goes by, requests in hand and latency, are what the endpoint reported last, if that is not
/// too [old](Self::max_age); else they are this client's own. Of the requests in hand, a report counts the less the older
/// it is, and what this client has in flight there counts in any case. Latency should be that of requests which came when
/// about as many were in hand as are now, as the paper has it: an average over everything is old news, too.
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

    /// How many endpoints are drawn for each request. Default: 5, enough that hardly a request finds only slow ones where
    /// a tenth of them is slow. Fewer than 2 count as 2, more than 16 as 16.
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

    fn usual(&self, context: &PickContext<'_>) -> Usual {
        let (now, total) = (context.now, self.candidates.len());
        let load = |position| self.load(Index::at(position), context);
        self.threshold.at(now, context.entropy, total, load)
    }
}

impl Picker for PrequalPicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        let left = match context.untried(self.candidates.len()) {
            Ok(left) => left,
            Err(verdict) => return verdict,
        };
        let usual = self.usual(context);
        let drawn = Drawn::some(self.settings.choices, left, context.entropy);
        let ranked = drawn.iter().filter_map(|(nth, lot)| {
            let index = context.tried.skip(nth);
            Some((self.load(index, context)?.rank(usual), lot, index))
        });
        match ranked.min_by_key(|(rank, lot, _)| (*rank, *lot)) {
            Some((.., index)) => Verdict::Use(index),
            None => context.nth_untried(self.candidates.len(), low(context.entropy) as usize),
        }
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        let (total, max_age) = (self.candidates.len(), self.settings.max_age);
        let choices = self.settings.choices.min(total);
        let states = self.candidates.iter().map(|one| &one.state);
        let told = states.filter(|state| load::is_told(state, context.now, max_age));
        let told = told.count();
        let cold = match self.usual(context).most_cold {
            f32::INFINITY => "all of them cold".to_owned(),
            most => format!("cold up to {most:.1} in hand"),
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
    /// Each with a lot, which decides between equals.
    numbers: [(usize, u32); MOST_CHOICES],
    count: usize,
}

impl Drawn {
    /// `count` numbers from 0 to `total` − 1, or all.
    fn some(count: usize, total: usize, mut entropy: u64) -> Self {
        let mut this = Self {
            numbers: [(0, 0); MOST_CHOICES],
            count: 0,
        };
        for last in total.saturating_sub(count)..total {
            let number = scale(high(entropy), last + 1);
            let drawn = this.iter().any(|(one, _)| one == number);
            let number = if drawn { last } else { number };
            if let Some(place) = this.numbers.get_mut(this.count) {
                *place = (number, low(entropy));
                this.count += 1;
            }
            entropy = next_entropy(entropy);
        }
        this
    }

    fn iter(&self) -> impl Iterator<Item = (usize, u32)> {
        self.numbers.iter().copied().take(self.count)
    }
}

#[cfg(test)]
mod tests;
