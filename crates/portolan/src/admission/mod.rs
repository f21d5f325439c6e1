//! How many requests are let in at once, and what becomes of the rest.
//!
//! An endpoint's own limit ([`max_in_flight_per_endpoint`](crate::BalancerBuilder::max_in_flight_per_endpoint)) keeps one
//! that hangs from collecting requests. Admission is for the whole: where all endpoints together have more to do than
//! they can, each further request makes those before it slower, until all are too late. Better to answer some at
//! once, with a reason, and the rest in time.
//!
//! ```
//! use portolan::{Cluster, admission::Admission, source::Fixed};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), portolan::BuildError> {
//! # let cluster = Cluster::from_source(Fixed::default());
//! let orders = cluster
//!     .service("orders.shop:http")?
//!     .admission(Admission::at_most(500).queue(100, Duration::from_millis(200)))
//!     .http()
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! A request holds its place until its response has been read, retries and pauses included. One that is not let in ends
//! with [`ErrorKind::Shed`](crate::ErrorKind), and nothing was sent.
//!
//! It is a tower layer, too, round any service: [`Admission::layer`].

mod gate;
mod layer;

use std::{fmt, time::Duration};

pub use layer::{AdmissionError, AdmissionLayer, Admitted, ResponseFuture};
pub use portolan_core::admission::Gradient;

use crate::BuildError;
pub(crate) use gate::{Entrance, Gate, Permit};

/// How many requests are let in: see the [module](self).
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    limit: Limit,
    queue: usize,
    patience: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Fixed(usize),
    Adaptive(Gradient),
}

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ShedReason {
    /// As many requests are in flight as may be, and as many wait.
    QueueFull,
    /// It waited for as long as it may, and no place came free.
    WaitedTooLong,
}

impl Admission {
    /// So many requests at once.
    #[must_use]
    pub fn at_most(requests: usize) -> Self {
        Self::new(Limit::Fixed(requests))
    }

    /// As many as can be served without a queue, as their latency shows: see [`Gradient`].
    #[must_use]
    pub fn adaptive(gradient: Gradient) -> Self {
        Self::new(Limit::Adaptive(gradient))
    }

    fn new(limit: Limit) -> Self {
        Self {
            limit,
            queue: 0,
            patience: Duration::ZERO,
        }
    }

    /// How many requests may wait for a place, and for how long each: in order, the first first. Default: none; a queue
    /// in front of what is full adds to the latency of all.
    #[must_use]
    pub fn queue(mut self, requests: usize, patience: Duration) -> Self {
        (self.queue, self.patience) = (requests, patience);
        self
    }

    /// A tower layer with one limit for all the services that are made of it, for whatever is not balanced, or for several
    /// balancers together. A request holds its place until its response is there: what a body takes, the layer does
    /// not know. Who waits does so by the timers of the tokio runtime where it is called; outside of
    /// any nobody waits, and the queue counts as full.
    ///
    /// ```
    /// use portolan::admission::{Admission, AdmissionError};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = Admission::at_most(1).layer()?;
    /// let busy = layer.layer(service_fn(async |(): ()| std::future::pending::<std::io::Result<()>>().await));
    /// let mut first = Box::pin(busy.clone().oneshot(()));
    /// assert!(futures::poll!(&mut first).is_pending());
    /// assert!(matches!(busy.oneshot(()).await, Err(AdmissionError::Shed(_))));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where a setting makes no sense.
    pub fn layer(self) -> Result<AdmissionLayer, BuildError> {
        self.check()?;
        Ok(AdmissionLayer::new(self))
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        match self.limit {
            Limit::Adaptive(gradient) => gradient.check()?,
            Limit::Fixed(limit) => {
                if !(1..=MOST).contains(&limit) {
                    return Err(BuildError::Setting {
                        setting: "admission.at_most",
                        value: limit.to_string(),
                        expected: "expected at least 1, or nothing would ever be sent, and less than 2^29",
                    });
                }
            }
        }
        if self.queue > 0 && self.patience.is_zero() {
            return Err(BuildError::Setting {
                setting: "admission.queue.patience",
                value: "0ns".into(),
                expected: "expected more than zero, or no queue",
            });
        }
        Ok(())
    }
}

/// More than any program has, and fewer than the semaphore can count.
const MOST: usize = (1 << 29) - 1;

impl fmt::Display for ShedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => {
                "as many requests are in flight as are let in (`Admission`), and the queue is full"
            }
            Self::WaitedTooLong => {
                "as many requests are in flight as are let in (`Admission`), and none ended in time"
            }
        })
    }
}

#[cfg(test)]
mod tests;
