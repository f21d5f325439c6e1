//! Sending a request again where that helps, and not where it harms.
//!
//! A request that found no connection goes to another endpoint, always. One that provably was not processed does
//! by default, at once; with a [`Retry`] it does with the measure below, and so do two more kinds:
//! one that was not answered, or was answered that the endpoint *cannot serve now* (a 503, an UNAVAILABLE), where the
//! request is [idempotent](crate::http::Idempotent). The measure:
//!
//! - on another endpoint than those tried, as long as there is one, and within the request's shard or pin;
//! - after a short, random pause, or the one that the answer asks for (`Retry-After`, gRPC's pushback);
//! - a few times for each request, and for all together within a [budget](RetryBudget): where everything fails,
//!   retries do not multiply the load.
//!
//! ```
//! use portolan::{Cluster, retry::Retry, source::Fixed};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), portolan::BuildError> {
//! # let cluster = Cluster::from_source(Fixed::default());
//! let orders = cluster
//!     .service("orders.shop:http")?
//!     .retry(Retry::new().deadline(Duration::from_secs(2)))
//!     .http()
//!     .response_timeout(Duration::from_millis(500)) // of each try
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! The body is sent again from what was kept of it while it was sent, which is a reference and no copy
//! ([`replay_limit`](crate::http::HttpBuilder::replay_limit)).

use std::{sync::Arc, time::Duration};

pub use portolan_core::retry::{RetryBackoff, RetryBudget};

use crate::BuildError;
use portolan_core::retry::RetryTokens;

/// How requests are sent again: see the [module](self).
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    tries: usize,
    pub(crate) budget: RetryBudget,
    backoff: RetryBackoff,
    pub(crate) deadline: Option<Duration>,
    max_retry_after: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            tries: 3,
            budget: RetryBudget::default(),
            backoff: RetryBackoff::default(),
            deadline: None,
            max_retry_after: Duration::from_secs(1),
        }
    }
}

impl Retry {
    /// With the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many times a request is sent to an endpoint that may process it, the first included. Default: 3: where
    /// each try fails independently with a probability of 1%, one request in a million fails. (Those that did not
    /// reach an endpoint count towards [`max_attempts`](crate::BalancerBuilder::max_attempts) only.)
    #[must_use]
    pub fn tries(mut self, tries: usize) -> Self {
        self.tries = tries;
        self
    }

    /// What share of all requests may be retries. Default: [`RetryBudget::default`].
    #[must_use]
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// How long to pause before a retry, where the answer does not say. Default: [`RetryBackoff::default`].
    #[must_use]
    pub fn backoff(mut self, backoff: RetryBackoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How long a request may take until its answer begins, all tries and pauses together; then it ends with
    /// [`ErrorKind::DeadlineExceeded`](crate::ErrorKind). Default: none, as only the caller knows; a gRPC call has
    /// its own (`grpc-timeout`).
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The longest pause that an answer may ask for. One that asks for more is given to the caller, as it is. Default:
    /// 1 s: a caller who waits longer than that would rather know.
    #[must_use]
    pub fn max_retry_after(mut self, longest: Duration) -> Self {
        self.max_retry_after = longest;
        self
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        self.budget.check()?;
        self.backoff.check()?;
        let refuse = |setting, value: String, expected| {
            Err(BuildError::Setting {
                setting,
                value,
                expected,
            })
        };
        if self.tries == 0 {
            return refuse("retry.tries", "0".into(), "expected at least 1, the first");
        }
        if self.deadline.is_some_and(|deadline| deadline.is_zero()) {
            return refuse("retry.deadline", "0ns".into(), "expected more than zero");
        }
        Ok(())
    }
}

/// What an answer says about sending the request again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pushback {
    /// Nothing.
    #[default]
    Unsaid,
    /// After so long (`Retry-After`, `grpc-retry-pushback-ms`).
    After(Duration),
    /// Not at all (a negative `grpc-retry-pushback-ms`).
    Never,
}

/// Why a request that might have been sent again was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotRetried {
    /// Too many requests have been sent again of late: see [`RetryBudget`].
    BudgetSpent,
    /// It has been sent as often as it may: see [`Retry::tries`].
    TriesSpent,
    /// The answer asked for a longer pause than is waited, or said not to.
    PushedBack,
}

/// The retries of one balancer.
#[derive(Debug)]
pub(crate) struct Retries {
    settings: Retry,
    tokens: Arc<RetryTokens>,
}

impl Retries {
    pub(crate) fn new(settings: Retry, tokens: Arc<RetryTokens>) -> Self {
        Self { settings, tokens }
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.settings.deadline
    }

    /// How long to pause before a request is sent again that has been sent so often. Takes it off the budget.
    pub(crate) fn next(&self, sent: usize, pushback: Pushback) -> Result<Duration, NotRetried> {
        if sent >= self.settings.tries {
            return Err(NotRetried::TriesSpent);
        }
        let pause = match pushback {
            Pushback::Never => return Err(NotRetried::PushedBack),
            Pushback::After(pause) if pause > self.settings.max_retry_after => {
                return Err(NotRetried::PushedBack);
            }
            // Whoever is told to come back in a second is not to come with everybody else.
            Pushback::After(pause) => pause.saturating_add(pause.mul_f64(0.1 * fastrand::f64())),
            Pushback::Unsaid => {
                let retries = u32::try_from(sent.saturating_sub(1)).unwrap_or(u32::MAX);
                self.settings.backoff.wait(retries, fastrand::u64(..))
            }
        };
        match self.tokens.take() {
            true => Ok(pause),
            false => Err(NotRetried::BudgetSpent),
        }
    }

    pub(crate) fn put_back(&self) {
        self.tokens.put_back();
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::Time;

    use super::*;

    #[test]
    fn a_pause_of_any_length_may_be_allowed() {
        let settings = Retry::new().max_retry_after(Duration::MAX);
        let tokens = Arc::new(RetryTokens::new(settings.budget, Time::ORIGIN));
        let retries = Retries::new(settings, tokens);
        for asked in [Duration::MAX, Duration::from_secs(u64::MAX)] {
            let pause = retries.next(1, Pushback::After(asked)).unwrap();
            assert!(pause >= asked);
        }
    }
}
