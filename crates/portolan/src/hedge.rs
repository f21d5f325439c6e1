//! A second try while the first is on its way, for requests that take longer than most.
//!
//! One slow endpoint in a hundred, or one pause of a garbage collector, is the slowest per cent of all requests. Where
//! a request takes longer than all but a few do, the same request goes to *another* endpoint as well, and the first
//! answer counts; the other try is cancelled ("The tail at scale", Dean and Barroso, 2013). It costs a few per cent
//! more requests, within the [budget](crate::retry::RetryBudget) that retries have, and only
//! [idempotent](crate::http::Idempotent) requests are hedged: both tries may be processed.
//!
//! Off unless asked for:
//!
//! ```
//! use portolan::{Cluster, hedge::Hedge, source::Fixed};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), portolan::BuildError> {
//! # let cluster = Cluster::from_source(Fixed::default());
//! let search = cluster
//!     .service("search:http")?
//!     .hedge(Hedge::at_quantile(0.95))
//!     .http()
//!     .retry_idempotent()
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! The second try keeps to the request's shard, pin and session: where nobody else may serve it, there is none. A
//! request whose body is still being sent is not hedged; over reqwest, one whose body is a stream.

use std::{sync::Arc, time::Duration};

use portolan_core::retry::{LatencyQuantile, RetryTokens};

use crate::BuildError;

/// When a request is hedged: see the [module](self).
#[derive(Clone, Debug, PartialEq)]
pub struct Hedge {
    quantile: f64,
    soonest: Duration,
}

/// How many requests of late it takes to know how long most take.
const MIN_SAMPLES: u64 = 100;

impl Hedge {
    /// When a request has taken longer than this share of all of late, from 0 to 1. 0.95 makes 5% more requests at
    /// most, and turns the slowest 5% into nearly the fastest of two. Until a hundred requests have been
    /// answered within ten seconds, none is hedged.
    #[must_use]
    pub fn at_quantile(quantile: f64) -> Self {
        Self {
            quantile,
            soonest: Duration::from_millis(1),
        }
    }

    /// Never sooner than this, however fast the endpoints are. Default: 1 ms, below which a timer and a second
    /// request cost more than they save.
    #[must_use]
    pub fn no_sooner_than(mut self, soonest: Duration) -> Self {
        self.soonest = soonest;
        self
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if self.quantile > 0.0 && self.quantile < 1.0 {
            return Ok(());
        }
        Err(BuildError::Setting {
            setting: "hedge.quantile",
            value: format!("{:?}", self.quantile),
            expected: "expected more than 0 and less than 1",
        })
    }
}

/// The hedging of one balancer.
#[derive(Debug)]
pub(crate) struct Hedging {
    settings: Hedge,
    latency: LatencyQuantile,
    tokens: Arc<RetryTokens>,
}

impl Hedging {
    pub(crate) fn new(settings: Hedge, tokens: Arc<RetryTokens>) -> Self {
        Self {
            latency: LatencyQuantile::new(settings.quantile, MIN_SAMPLES),
            settings,
            tokens,
        }
    }

    /// After how long a second try is made.
    pub(crate) fn delay(&self) -> Option<Duration> {
        let most = self.latency.value()?;
        Some(most.max(self.settings.soonest))
    }

    /// Takes the second try off the budget.
    pub(crate) fn may(&self) -> bool {
        self.tokens.take()
    }

    /// A request was answered after so long.
    pub(crate) fn answered(&self, took: Duration) {
        self.latency.record(took);
    }

    pub(crate) fn turn(&self) {
        self.latency.turn();
    }
}
