//! What came of a run.

use std::time::Duration;

/// How long answers took, and how many requests had none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Of requests that were answered well: the times, in order.
    answered: Vec<Duration>,
    failed: usize,
    given_up: usize,
}

/// What became of one request, for who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was answered, after so long.
    Answered(Duration),
    /// It was refused.
    Failed,
    /// Its sender gave up.
    GivenUp,
}

impl Outcome {
    /// Counts a request.
    pub fn count(&mut self, ending: Ending) {
        match ending {
            Ending::Answered(took) => self.answered.push(took),
            Ending::Failed => self.failed += 1,
            Ending::GivenUp => self.given_up += 1,
        }
    }

    /// No more are to come.
    #[must_use]
    pub fn complete(mut self) -> Self {
        self.answered.sort_unstable();
        self
    }

    /// How many requests there were.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.answered.len() + self.failed + self.given_up
    }

    /// The share of them that was not answered, from 0 to 1.
    #[must_use]
    pub fn errors(&self) -> f64 {
        (self.failed + self.given_up) as f64 / self.requests().max(1) as f64
    }

    /// The quantile of the times that answers took: 0.5 is the median. `Duration::ZERO` where there were none.
    #[must_use]
    pub fn latency(&self, quantile: f64) -> Duration {
        let last = self.answered.len().saturating_sub(1);
        let nth = (quantile * last as f64).round() as usize;
        self.answered.get(nth).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_errors() {
        let mut outcome = Outcome::default();
        assert_eq!(
            (outcome.errors(), outcome.latency(0.5)),
            (0.0, Duration::ZERO)
        );
        for millis in (0..=100).rev() {
            outcome.count(Ending::Answered(Duration::from_millis(millis)));
        }
        outcome.count(Ending::Failed);
        outcome.count(Ending::GivenUp);
        let outcome = outcome.complete();
        assert_eq!(outcome.latency(0.99), Duration::from_millis(99));
        assert_eq!((outcome.requests(), outcome.errors()), (103, 2.0 / 103.0));
    }
}
