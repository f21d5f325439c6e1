//! HTTP/1.1 and HTTP/2, in clear text or TLS, on hyper.
//!
//! ```
//! use http_body_util::{BodyExt, Full};
//! use portolan::Cluster;
//!
//! # async fn example(cluster: Cluster) -> Result<(), Box<dyn std::error::Error>> {
//! let orders = cluster.service("orders.shop:http")?.http().build()?;
//! let request = http::Request::post("/orders").body(Full::from("one portolan, please"))?;
//! let response = orders.send(request).await?;
//! let body = response.into_body().collect().await?.to_bytes();
//! # Ok(())
//! # }
//! ```
//!
//! # Names
//! Only the address that is dialled is the endpoint's. The Host header or `:authority`, and the name
//! in TLS, are the Service's own, or what the request says.
//!
//! # Connections
//! Each endpoint has connections of its own, which are made as soon as the endpoint is known, ahead of
//! traffic, and made again when they are lost. When the endpoint is gone they finish what is in flight,
//! and close.
//!
//! # Sending again
//! A request that provably was not processed is tried on another endpoint: the endpoint could not be
//! connected to, the connection was closed before the request left, or HTTP/2 says so (`REFUSED_STREAM`,
//! or GOAWAY with a lower stream). One that may have been processed is tried again only where it is
//! [`Idempotent`], or the client was [told so](HttpBuilder::retry_idempotent). A response of any status
//! is an answer, and is never retried.
//!
//! An incarnation of a Pod that was asked is asked again only when it has been away and is back. Where it
//! may have processed the request, that is once at most, and when nobody else is left: a request that makes
//! its server crash makes none crash more than twice. A sole endpoint that closed the connection before
//! the request left is asked once more at once.
//! Where nobody is left to be asked, a request waits for one that comes or comes back, for as
//! long as any request [waits](crate::BalancerBuilder::wait).
//!
//! # How long it may take
//! Connecting, and waiting for an endpoint, are bounded from the start. The answer is not, for a long poll is
//! as good a request as any: [`response_timeout`](HttpBuilder::response_timeout) bounds its beginning at each
//! endpoint. A Node that has died is found out in half a minute, whatever was under way (TCP keep-alive and
//! `TCP_USER_TIMEOUT`); a server that hangs, with HTTP/2, by its pings.
//!
//! # What counts against an endpoint
//! A request that was not answered, a response body that broke off, and the statuses 5xx except 501
//! and 505.

mod body;
mod builder;
mod channel;
pub(crate) mod endpoint;
mod heads;
mod idempotent;
mod protocol;
mod redirect;
pub(crate) mod refusal;
pub(crate) mod replay;
mod request;
pub(crate) mod settings;
#[cfg(feature = "tls")]
mod tls;
pub(crate) mod whole;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

pub use body::ResponseBody;
pub use builder::HttpBuilder;
pub use endpoint::{ConnectError, ResponseTimedOut};
pub use idempotent::Idempotent;
pub use redirect::by_location;
/// The version of rustls whose `ClientConfig` is taken.
#[cfg(feature = "tls")]
pub use rustls;

#[cfg(feature = "reqwest")]
pub(crate) use body::Tracked;
#[cfg(feature = "grpc")]
pub(crate) use channel::Channel;
pub(crate) use channel::Sending;
#[cfg(feature = "reqwest")]
pub(crate) use channel::default_authority;
#[cfg(feature = "reqwest")]
pub(crate) use {
    endpoint::{is_by_caller, is_unprocessed, never_left},
    protocol::is_failure,
};
#[cfg(feature = "grpc")]
pub(crate) use {
    heads::{Heads, Learn, duplicate},
    redirect::Redirection,
};

use crate::{Balance, BoxError, Drained, Error, Explanation, Observer, sticky::Visit};
use endpoint::{HttpEndpoint, Request};
use protocol::Http;

/// An HTTP client over all live endpoints of a Service.
///
/// It is a tower [`Service`], and takes requests with any body. Cloning is for handing it to another
/// task; clones share everything.
///
/// See the [module](self) for what becomes of a request, and [`HttpBuilder`] for what can be set.
#[derive(Clone, Debug)]
pub struct HttpClient {
    balance: Balance<HttpEndpoint, Http>,
    send: Sending,
}

impl HttpClient {
    /// Looks at the balancer from outside: which endpoints get requests, and how they do.
    #[must_use]
    pub fn observe(&self) -> Observer {
        self.balance.observe()
    }

    /// Why this request would go where it would go now: whom the cluster's rules take off, what each policy makes of the
    /// rest, who is chosen, and who would be next. Nothing is sent.
    #[must_use]
    pub fn explain<B>(&self, request: &http::Request<B>) -> Explanation {
        let heads = &self.balance.protocol().heads;
        self.balance.explain(&self.send.routing(request, heads))
    }

    /// What to put into a response for its client to forget its session, where sessions are kept in a cookie: see
    /// [`Sticky::forget`](crate::sticky::Sticky::forget).
    #[must_use]
    pub fn forget_session(&self) -> Option<(http::HeaderName, http::HeaderValue)> {
        self.send.forget_session()
    }

    /// Ends the client and all of its clones: new requests are refused, those under way are waited for,
    /// no longer than `within`. See [`Balance::shutdown`].
    ///
    /// # Cancel safety
    /// As there.
    pub async fn shutdown(&self, within: Duration) -> Drained {
        self.balance.shutdown(within).await
    }

    /// Sends a request to an endpoint of the balancer's choice.
    ///
    /// # Errors
    /// Where no endpoint answered; the [`Error`] names those that were tried, and why.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request. It may have been processed.
    pub fn send<B>(&self, request: http::Request<B>) -> ResponseFuture
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let mut request = self.send.prepare(request);
        let visit = self
            .send
            .visit(&mut request, &self.balance.protocol().heads);
        ResponseFuture {
            inner: self.balance.send(request),
            visit,
        }
    }
}

impl<B> Service<http::Request<B>> for HttpClient
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<ResponseBody>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> ResponseFuture {
        self.send(request)
    }
}

pin_project! {
    /// The response of an [`HttpClient`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture {
        #[pin]
        inner: crate::ResponseFuture<HttpEndpoint, Http, Request>,
        visit: Option<Box<Visit>>,
    }
}

impl Future for ResponseFuture {
    type Output = Result<http::Response<ResponseBody>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut answer = ready!(this.inner.as_mut().poll(cx));
        if let (Some(visit), Ok(response)) = (this.visit.take(), &mut answer) {
            visit.end(this.inner.session_moves(), response);
        }
        Poll::Ready(answer)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
