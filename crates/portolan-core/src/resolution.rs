//! What a source says of a Service, and what a source is.

use std::{error::Error, fmt, pin::Pin, sync::Arc, time::Duration};

use futures_core::Stream;

use crate::{EndpointSet, ServiceRef};

/// What a [`Source`] says of a Service. Three things that must not be confused:
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Resolution {
    /// The Service is there, and these are all its endpoints. The set may be truly empty.
    Present(EndpointSet),
    /// There is no such Service (yet). Its endpoints, if it had any, are gone.
    Absent,
    /// Nothing was learnt. Whatever was known before still holds.
    Failed(SourceError),
}

/// Follows Services, and says what stands behind them.
///
/// A source tells membership only; health is measured by the client.
///
/// # What must hold
/// - The stream yields a resolution as soon as one is known, then one for each change, for ever:
///   failures are [`Resolution::Failed`], and the source goes on trying by itself, with a backoff.
///   A stream that ends is taken for a source that has given up.
/// - Dropping the stream stops whatever was started for it.
/// - A `Present` set is whole. A source never yields a part of a list.
///
/// ```
/// use futures_core::Stream;
/// use portolan_core::{EndpointSet, Resolution, ServiceRef, Source};
/// use std::{pin::Pin, task::{Context, Poll}};
///
/// /// Always the same endpoints, for any Service.
/// #[derive(Debug)]
/// struct Fixed(EndpointSet);
///
/// struct Once(Option<Resolution>);
///
/// impl Stream for Once {
///     type Item = Resolution;
///     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Resolution>> {
///         match self.0.take() {
///             Some(resolution) => Poll::Ready(Some(resolution)),
///             None => Poll::Pending, // nothing ever changes
///         }
///     }
/// }
///
/// impl Source for Fixed {
///     fn watch(&self, _: &ServiceRef) -> Pin<Box<dyn Stream<Item = Resolution> + Send>> {
///         Box::pin(Once(Some(Resolution::Present(self.0.clone()))))
///     }
/// }
/// ```
pub trait Source: fmt::Debug + Send + Sync {
    /// Follows one Service. Nothing is asked of anybody before the stream is polled.
    fn watch(&self, service: &ServiceRef) -> Pin<Box<dyn Stream<Item = Resolution> + Send>>;

    /// Says that a connection to an endpoint of this Service failed, so that what the source said last
    /// may be out of date.
    ///
    /// For a source that looks from time to time, as one over DNS does: it may look again soon. One
    /// that is told of changes has nothing to do, which is the default. Called from the task that
    /// follows the Service, as often as connections fail: it must not block, and a source that acts
    /// on it limits how often. A source that is made of others passes it on.
    fn suspect(&self, service: &ServiceRef) {
        let _ = service;
    }
}

impl<S: Source + ?Sized> Source for Arc<S> {
    fn watch(&self, service: &ServiceRef) -> Pin<Box<dyn Stream<Item = Resolution> + Send>> {
        (**self).watch(service)
    }

    fn suspect(&self, service: &ServiceRef) {
        (**self).suspect(service);
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn watch(&self, service: &ServiceRef) -> Pin<Box<dyn Stream<Item = Resolution> + Send>> {
        (**self).watch(service)
    }

    fn suspect(&self, service: &ServiceRef) {
        (**self).suspect(service);
    }
}

/// Why a source learnt nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    kind: SourceErrorKind,
    message: Arc<str>,
    #[source]
    cause: Option<Arc<dyn Error + Send + Sync>>,
    age: Duration,
}

/// What kind of failure a [`SourceError`] is, and so who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceErrorKind {
    /// The source cannot be reached, or answered with an error of its own. It may pass.
    Unavailable,
    /// The source refuses: a permission is missing.
    Forbidden,
    /// The source does not accept who asks: no token, or an expired one.
    Unauthenticated,
    /// The question cannot be answered: no such port, a type of Service that is not handled.
    Invalid,
    /// What is asked for is not there yet, and nobody is at fault: a load balancer without an address.
    Pending,
    /// The answer makes no sense.
    Corrupt,
}

impl SourceError {
    /// An error that says, in `message`, what happened and what to do.
    #[must_use]
    pub fn new(kind: SourceErrorKind, message: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            cause: None,
            age: Duration::ZERO,
        }
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(Arc::from(cause.into()));
        self
    }

    /// The same error from a source whose last good word is this old already. It is for sources that
    /// remember from before they were asked: others need not say it, since whoever follows them
    /// heard their last good word himself.
    ///
    /// ```
    /// use portolan_core::{SourceError, SourceErrorKind};
    /// use std::time::Duration;
    ///
    /// let error = SourceError::new(SourceErrorKind::Unavailable, "connection refused")
    ///     .with_age(Duration::from_secs(90));
    /// assert_eq!(error.age(), Duration::from_secs(90));
    /// ```
    #[must_use]
    pub fn with_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> SourceErrorKind {
        self.kind
    }

    /// How old the source's last good word was already when this was said. Default: zero.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age
    }
}
