//! What a source says of a Service, and what a source is.

use std::{error::Error, fmt, pin::Pin, sync::Arc};

use futures_core::Stream;

use crate::{Endpoint, ServiceRef};

/// All endpoints of a Service at one moment, in the order of their
/// [placement](crate::Placement), then [incarnation](crate::Incarnation).
///
/// An endpoint that did not change is the same `Arc` as in the set before, so that finding what
/// changed among thousands is a comparison of pointers.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EndpointSet(Arc<[Arc<Endpoint>]>);

impl EndpointSet {
    /// The set of these endpoints. They are put in order, and of several with the same placement
    /// and incarnation the first stays.
    #[must_use]
    pub fn new(mut endpoints: Vec<Arc<Endpoint>>) -> Self {
        let in_order = |pair: &[Arc<Endpoint>]| match pair {
            [a, b] => order(a, b).is_lt(),
            _ => true,
        };
        if !endpoints.windows(2).all(in_order) {
            endpoints.sort_by(|a, b| order(a, b));
            endpoints.dedup_by(|a, b| order(a, b).is_eq());
        }
        Self(endpoints.into())
    }

    /// The set of these endpoints, which are in order already, and each there once.
    ///
    /// For a source that edits a large set: to look at each of 10,000 again, scattered over memory as
    /// they are, costs it more than the edit. It is checked in debug builds; a set out of order leads
    /// to endpoints taken for new ones, and nothing worse.
    #[must_use]
    pub fn from_ordered(endpoints: Vec<Arc<Endpoint>>) -> Self {
        debug_assert!(
            endpoints.is_sorted_by(|a, b| order(a, b).is_lt()),
            "the endpoints are not in order"
        );
        Self(endpoints.into())
    }

    /// The endpoints, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Arc<Endpoint>] {
        &self.0
    }

    /// Whether both are one and the same set, without looking inside.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The order of endpoints in a set: by placement, then incarnation.
pub(crate) fn order(a: &Endpoint, b: &Endpoint) -> std::cmp::Ordering {
    a.placement()
        .cmp(b.placement())
        .then_with(|| a.incarnation().cmp(&b.incarnation()))
}

impl std::ops::Deref for EndpointSet {
    type Target = [Arc<Endpoint>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromIterator<Endpoint> for EndpointSet {
    fn from_iter<I: IntoIterator<Item = Endpoint>>(endpoints: I) -> Self {
        Self::new(endpoints.into_iter().map(Arc::new).collect())
    }
}

impl fmt::Debug for EndpointSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|endpoint| endpoint.placement()))
            .finish()
    }
}

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

/// Why a source learnt nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    kind: SourceErrorKind,
    message: Arc<str>,
    #[source]
    cause: Option<Arc<dyn Error + Send + Sync>>,
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
        }
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(Arc::from(cause.into()));
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> SourceErrorKind {
        self.kind
    }
}
