//! What a request, or the making of a balancer, can fail with.

use std::{error::Error as StdError, fmt, net::SocketAddr, sync::Arc, time::Duration};

use portolan_core::{
    Endpoint, Explanation, Freshness, InvalidSetting, Placement, Reason, ServiceRef, SourceError,
    Time,
};

use crate::{Sent, admission::ShedReason, retry::NotRetried};

/// Any error, as tower and its friends pass it on.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a request was not answered: which Service it was for, which endpoints were tried, and what
/// each of them said.
///
/// The last endpoint's own error is the [`source`](StdError::source).
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    service: ServiceRef,
    attempts: Vec<Attempt>,
    stale: Option<Stale>,
    explanation: Option<Explanation>,
    not_retried: Option<NotRetried>,
}

/// What the source has against the Service, and since when.
#[derive(Debug)]
struct Stale {
    error: SourceError,
    age: Duration,
    /// The age at which endpoints are not used any more, where it is reached.
    limit: Option<Duration>,
}

/// What kind of failure an [`Error`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No endpoint was there to serve the request, for as long as it was allowed to wait.
    NoEndpoints {
        /// How long it waited.
        waited: Duration,
    },
    /// There is no such Service, and none was made for as long as the request was allowed to wait.
    NotFound {
        /// How long it waited.
        waited: Duration,
    },
    /// The source cannot say what the endpoints are, and waiting will not help.
    Discovery,
    /// Each endpoint was tried, and none took the request.
    Exhausted,
    /// An endpoint failed, and the request may have been processed: it was not sent again.
    Failed,
    /// Each endpoint has as many requests in flight as it may have.
    Overloaded,
    /// Too many requests are waiting for an endpoint already.
    TooManyWaiting,
    /// The request was not answered in the time that it has for all its tries.
    DeadlineExceeded,
    /// As many requests are in flight as are [let in](crate::admission). Nothing was sent.
    Shed(ShedReason),
    /// The policy refused the request.
    Refused(Reason),
    /// An answer said that the request belongs elsewhere, and it cannot be sent there.
    Misdirected {
        /// Whose answer it was.
        by: String,
        /// Where to, in the answer's words.
        to: String,
        /// Why not.
        because: Misdirection,
    },
    /// The policy named an endpoint that does not exist, or has been tried, or it panicked. A bug in the
    /// policy; the log says more.
    PolicyAtFault,
    /// The client [has been shut down](crate::Balance::shutdown), and takes nothing new.
    ShutDown,
    /// The task that follows the Service has ended: the runtime it ran on was shut down, or the client was before the
    /// request had an endpoint.
    Closed,
}

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misdirection {
    /// It leads to somebody who is no endpoint of the Service.
    Stranger,
    /// There have been as many for this request as are [followed](crate::Follow::max_hops).
    TooManyHops,
}

/// One endpoint that was tried for a request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Whether the request may have reached it.
    pub sent: Sent,
    /// What happened.
    pub cause: BoxError,
}

impl Attempt {
    pub(crate) fn new(endpoint: Arc<Endpoint>, sent: Sent, cause: BoxError) -> Self {
        Self {
            endpoint,
            sent,
            cause,
        }
    }

    /// The stable name of the endpoint.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        self.endpoint.placement()
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address()
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, service: ServiceRef) -> Self {
        Self(Box::new(Inner {
            kind,
            service,
            attempts: Vec::new(),
            stale: None,
            explanation: None,
            not_retried: None,
        }))
    }

    pub(crate) fn with_attempts(mut self, attempts: Vec<Attempt>) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// Adds what the source has against the Service, where it has something. `limit` is the age at
    /// which endpoints are not used any more.
    pub(crate) fn with_freshness(
        mut self,
        freshness: &Freshness,
        now: Time,
        limit: Option<Duration>,
    ) -> Self {
        if let (Freshness::Stale { error, .. }, Some(age)) = (freshness, freshness.age(now)) {
            self.0.stale = Some(Stale {
                error: error.clone(),
                age,
                limit: limit.filter(|limit| age >= *limit),
            });
        }
        self
    }

    /// Adds why there was nobody to choose.
    pub(crate) fn with_explanation(mut self, explanation: Option<Explanation>) -> Self {
        self.0.explanation = explanation;
        self
    }

    /// Adds why the request was not sent again.
    pub(crate) fn with_not_retried(mut self, why: NotRetried) -> Self {
        self.0.not_retried = Some(why);
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The Service that the request was for.
    #[must_use]
    pub fn service(&self) -> &ServiceRef {
        &self.0.service
    }

    /// The endpoints that were tried, in order.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    /// What the source said last, where it is failing.
    #[must_use]
    pub fn source_error(&self) -> Option<&SourceError> {
        self.0.stale.as_ref().map(|stale| &stale.error)
    }

    /// How old the endpoints were that the request could go by, where the source is failing.
    #[must_use]
    pub fn staleness(&self) -> Option<Duration> {
        self.0.stale.as_ref().map(|stale| stale.age)
    }

    /// Why there was nobody to choose, where that is what ended the request: whom the cluster's rules took off,
    /// and what the policies made of the rest.
    #[must_use]
    pub fn explanation(&self) -> Option<&Explanation> {
        self.0.explanation.as_ref()
    }

    /// Why the request was not sent again, where it might have been: see [`retry`](crate::retry).
    #[must_use]
    pub fn not_retried(&self) -> Option<NotRetried> {
        self.0.not_retried
    }

    /// Whether the request provably was not processed, so that it may be sent again.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.0
            .attempts
            .iter()
            .all(|attempt| attempt.sent != Sent::Maybe)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.service, self.0.kind)?;
        for (nth, attempt) in self.0.attempts.iter().enumerate() {
            f.write_str(if nth == 0 { "; tried " } else { ", " })?;
            write!(
                f,
                "{} ({}): {}",
                attempt.placement(),
                attempt.address(),
                attempt.cause
            )?;
        }
        match self.0.not_retried {
            Some(NotRetried::BudgetSpent) => f.write_str(
                "; not sent again, for too many requests have been of late (`Retry::budget`)",
            )?,
            Some(NotRetried::TriesSpent) => {
                f.write_str("; it was sent as often as it may be (`Retry::tries`)")?;
            }
            Some(NotRetried::PushedBack) => f.write_str("; not sent again, as it was told")?,
            None => {}
        }
        if let Some(stale) = &self.0.stale {
            write!(f, "; {stale}")?;
        }
        match &self.0.explanation {
            Some(explanation) => write!(f, "; {explanation}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nobody goes by the microseconds of an age.
        let age = Duration::from_millis(self.age.as_millis().try_into().unwrap_or(u64::MAX));
        write!(f, "discovery has been failing for {age:?}")?;
        if let Some(limit) = self.limit {
            write!(f, ", and endpoints are used for {limit:?} at most")?;
        }
        write!(f, ": {}", self.error)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoints { waited } => {
                write!(f, "no endpoint is ready (waited {waited:?})")
            }
            Self::NotFound { waited } => {
                write!(f, "there is no such Service (waited {waited:?})")
            }
            Self::Discovery => f.write_str("its endpoints cannot be found out"),
            Self::Exhausted => f.write_str("no endpoint took the request"),
            Self::Failed => f.write_str("the endpoint failed"),
            Self::Overloaded => {
                f.write_str("every endpoint has as many requests in flight as it may have")
            }
            Self::TooManyWaiting => f.write_str("too many requests are waiting for an endpoint"),
            Self::DeadlineExceeded => f.write_str(
                "it was not answered in time, all tries taken together (`Retry::deadline`)",
            ),
            Self::Shed(reason) => reason.fmt(f),
            Self::Refused(reason) => reason.fmt(f),
            Self::Misdirected { by, to, because } => {
                write!(f, "{by} says that the request belongs to {to}, ")?;
                f.write_str(match because {
                    Misdirection::Stranger => "which is no endpoint of the Service",
                    Misdirection::TooManyHops => "and it has been sent on too often already",
                })
            }
            Self::PolicyAtFault => f.write_str(
                "the policy named an endpoint that does not exist, or panicked: see the log",
            ),
            Self::ShutDown => f.write_str("the client has been shut down"),
            Self::Closed => {
                f.write_str("the balancer has ended: it, or its runtime, was shut down")
            }
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("service", &self.0.service)
            .field("attempts", &self.0.attempts)
            .field("stale", &self.0.stale)
            .field("explanation", &self.0.explanation)
            .field("not_retried", &self.0.not_retried)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match (self.0.attempts.last(), self.source_error()) {
            (Some(attempt), _) => Some(attempt.cause.as_ref()),
            (None, Some(error)) => Some(error),
            (None, None) => None,
        }
    }
}

/// Why a balancer could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The name of the Service cannot be read.
    #[error(transparent)]
    Service(#[from] portolan_core::ParseServiceRefError),
    /// There is no tokio runtime on which to follow the Service. It needs one with timers and I/O, as
    /// `#[tokio::main]` and `Builder::enable_all` make them. Requests may be sent from any other, and need
    /// neither there.
    #[error(
        "there is no tokio runtime here on which to follow {0}: build the balancer in an async \
         function, or inside `Runtime::enter`"
    )]
    NoRuntime(ServiceRef),
    /// A setting makes no sense.
    #[error("{setting} is {value}: {expected}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What it was set to.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
}

impl From<InvalidSetting> for BuildError {
    fn from(invalid: InvalidSetting) -> Self {
        Self::Setting {
            setting: invalid.setting,
            value: invalid.value,
            expected: invalid.expected,
        }
    }
}
