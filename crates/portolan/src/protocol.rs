//! What the balancer must know of a protocol, and nothing more.

use std::fmt;

use tower_service::Service;

use crate::{BoxError, Endpoint, Follow, Lease, Routing, Told, retry::Pushback};

/// How one protocol's responses and errors are to be read.
///
/// It is the only place where the balancer touches a response or an error: to tie the [`Lease`] to
/// the end of the response, to tell a success from a failure, and to get back a request that was
/// not sent.
pub trait Protocol<Req, S: Service<Req>>: Send + Sync + 'static {
    /// What the caller gets: the response, with whatever ends the lease.
    type Response;

    /// Whether the request may be sent again although it may have been processed. Asked once for
    /// each request, before it is sent. By default, never.
    fn is_idempotent(&self, request: &Req) -> bool {
        let _ = request;
        false
    }

    /// What of the request decides who serves it. Asked whenever an endpoint is to be chosen, which is once
    /// for nearly every request. By default, nothing does.
    #[inline]
    fn routing<'r>(&'r self, request: &'r Req) -> Routing<'r> {
        let _ = request;
        Routing::new()
    }

    /// Something to make the request from once more, should the answer send it elsewhere. Asked right before a
    /// request is sent. By default nothing is kept, and [no redirect](Self::told) is followed.
    #[inline]
    fn keep(&self, request: &Req) -> Option<Kept<Req>> {
        let _ = request;
        None
    }

    /// An endpoint's response is there, and will be given to the caller, or say that the request belongs elsewhere. For
    /// what every response says besides: it is called on the request path, and must not block. By default, nothing.
    #[inline]
    fn hear(&self, endpoint: &Endpoint, response: &S::Response) {
        let _ = (endpoint, response);
    }

    /// What an answer says of where the request belongs. Asked only where something [was kept](Self::keep).
    fn told(&self, response: &S::Response) -> Option<Told> {
        let _ = response;
        None
    }

    /// Whether an answer says that the endpoint cannot serve the request now, and another might: a 503, say. Asked only
    /// of [idempotent](Self::is_idempotent) requests, where [retries](crate::BalancerBuilder::retry) are on. By default
    /// every answer is one.
    #[inline]
    fn refusal(&self, response: &S::Response) -> Option<Refusal> {
        let _ = response;
        None
    }

    /// The request that such an answer is the answer to, to be sent once more; `None` where it cannot be. By default it
    /// cannot.
    fn again(&self, response: &mut S::Response) -> Option<Req> {
        let _ = response;
        None
    }

    /// Something to make the request from a second time, while the first is on its way. Asked only of
    /// [idempotent](Self::is_idempotent) requests that may be [hedged](crate::BalancerBuilder::hedge), right before they are
    /// sent. By default nothing, and none is hedged.
    fn duplicate(&self, request: &Req) -> Option<Duplicate<Req>> {
        let _ = request;
        None
    }

    /// The endpoint has answered. Records how well, and ties the lease to the end of the response.
    fn respond(&self, response: S::Response, lease: Lease) -> Self::Response;

    /// The endpoint's service failed.
    fn fail(&self, error: S::Error) -> Failure<Req>;
}

/// What a request is made from a second time, while the first is on its way.
pub struct Duplicate<Req>(Box<dyn FnOnce() -> Option<Req> + Send>);

impl<Req> Duplicate<Req> {
    /// `make` makes the request, if that is possible by then.
    pub fn new(make: impl FnOnce() -> Option<Req> + Send + 'static) -> Self {
        Self(Box::new(make))
    }

    pub(crate) fn make(self) -> Option<Req> {
        (self.0)()
    }
}

impl<Req> fmt::Debug for Duplicate<Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duplicate").finish_non_exhaustive()
    }
}

/// What an endpoint answers that cannot serve a request now.
#[derive(Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// The answer, in short: what is told where no other endpoint answers better.
    pub cause: BoxError,
    /// What it says about sending the request again.
    pub pushback: Pushback,
}

impl Refusal {
    /// A refusal that says no more than that.
    pub fn new(cause: impl Into<BoxError>) -> Self {
        Self {
            cause: cause.into(),
            pushback: Pushback::Unsaid,
        }
    }

    /// Adds what it says about sending the request again.
    #[must_use]
    pub fn with_pushback(mut self, pushback: Pushback) -> Self {
        self.pushback = pushback;
        self
    }
}

/// A request that may be made once more.
pub struct Kept<Req> {
    key: Option<Box<[u8]>>,
    again: Option<Box<dyn FnOnce() -> Option<Req> + Send>>,
    follow: Follow,
}

impl<Req> Kept<Req> {
    /// A request of this key, which `again` makes once more, if that is possible still; and how far redirects
    /// of it are followed.
    pub fn new(
        key: Option<&[u8]>,
        follow: Follow,
        again: impl FnOnce() -> Option<Req> + Send + 'static,
    ) -> Self {
        Self {
            key: key.map(Box::from),
            again: Some(Box::new(again)),
            follow,
        }
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    pub(crate) fn follow(&self) -> &Follow {
        &self.follow
    }

    /// The request, the first time that this is called.
    pub(crate) fn again(&mut self) -> Option<Req> {
        self.again.take()?()
    }
}

impl<Req> fmt::Debug for Kept<Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// What an endpoint's service makes of a request that failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure<Req> {
    /// Whether the request may have reached the endpoint.
    pub sent: Sent,
    /// The request, whole, where it can still be sent to another endpoint.
    pub request: Option<Req>,
    /// Whose fault it was.
    pub culprit: Culprit,
    /// What happened.
    pub cause: BoxError,
}

/// Whose fault a failure was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Culprit {
    /// The endpoint's, or the network's on the way there: it counts against the endpoint.
    Endpoint,
    /// The caller's, whose own request body failed, say: it counts against nobody.
    Caller,
}

/// Whether a request may have reached an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sent {
    /// Nothing left: there was no connection to send it on.
    Unreachable,
    /// It provably was not processed: the connection closed before the request left, or the
    /// endpoint refused it unread (HTTP/2 `REFUSED_STREAM`, or GOAWAY below its id).
    No,
    /// It may have been processed.
    Maybe,
}

impl<Req> Failure<Req> {
    /// A failure of which nothing is known: the request is gone and may have been processed.
    pub fn new(cause: impl Into<BoxError>) -> Self {
        Self {
            sent: Sent::Maybe,
            request: None,
            culprit: Culprit::Endpoint,
            cause: cause.into(),
        }
    }

    /// Says that it was the caller's own fault.
    #[must_use]
    pub fn by_caller(mut self) -> Self {
        self.culprit = Culprit::Caller;
        self
    }

    /// Sets whether the request may have reached the endpoint.
    #[must_use]
    pub fn with_sent(mut self, sent: Sent) -> Self {
        self.sent = sent;
        self
    }

    /// Gives the request back.
    #[must_use]
    pub fn with_request(mut self, request: impl Into<Option<Req>>) -> Self {
        self.request = request.into();
        self
    }
}

/// A protocol of which nothing is known: `Ok` is a success, and the request ends with it; `Err` is a
/// failure after which the request may have been processed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opaque;

impl<Req, S> Protocol<Req, S> for Opaque
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;

    fn respond(&self, response: S::Response, mut lease: Lease) -> S::Response {
        lease.succeed();
        response
    }

    fn fail(&self, error: S::Error) -> Failure<Req> {
        Failure::new(error)
    }
}
