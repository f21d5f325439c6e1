//! reqwest, balanced.
//!
//! ```
//! # async fn example(cluster: portolan::Cluster) -> Result<(), Box<dyn std::error::Error>> {
//! let orders = cluster.service("orders.shop:http")?.reqwest().build()?;
//! let order = orders.get("/orders/17").bearer_auth("token").send().await?;
//! println!("{}", order.text().await?);
//! # Ok(())
//! # }
//! ```
//!
//! [`ReqwestClient`] is also a tower `Service<reqwest::Request>`. There is a `reqwest::Client` for each
//! endpoint, with connections of its own; [`ReqwestBuilder::client`] sets what all of them have.
//!
//! # Names
//! URLs name the Service; its name is in the Host header and in TLS, whichever endpoint is dialled. The
//! URL's port is in the Host header too, and is not what is dialled: that is the port of the endpoint.
//!
//! # Redirects
//! They are not followed by default, for where one leads is not known to be the same Service. A policy
//! of one's own is followed within the endpoint that answered.
//!
//! # Sending again
//! A request whose endpoint could not be connected to, closed the connection before the request left, or
//! refused it unread (HTTP/2), goes to another endpoint. One that may have been processed does only if the client was
//! [told so](ReqwestBuilder::retry_idempotent). Reqwest's own retries are off. A body that is a stream
//! is kept for this up to 64 KiB.

mod builder;
mod endpoint;
mod protocol;
mod request;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use pin_project_lite::pin_project;
use reqwest::{Method, Request, Response, Url};
use tower_service::Service;

pub use builder::{BuildError, ReqwestBuilder};
pub use request::{RequestBuilder, RequestError};

use crate::{
    Balance, Drained, Error, Explanation, Observer, Protocol as _, Routing,
    affinity::Head,
    sticky::{Sessions, Visit},
};
use endpoint::ReqwestEndpoint;
use protocol::Reqwest;
use request::Call;

/// A reqwest client over all live endpoints of a Service.
///
/// Cloning is for handing it to another task; clones share everything.
///
/// See the [module](self) for what becomes of a request, and [`ReqwestBuilder`] for what can be set.
#[derive(Clone, Debug)]
pub struct ReqwestClient {
    balance: Balance<ReqwestEndpoint, Reqwest>,
    /// Makes requests, and never sends any.
    maker: reqwest::Client,
    base: Url,
    sessions: Option<Arc<Sessions>>,
}

impl ReqwestClient {
    /// Starts a GET request. `path` is taken relative to the [base](ReqwestBuilder::base_url).
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// Starts a POST request.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// Starts a PUT request.
    pub fn put(&self, path: &str) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    /// Starts a PATCH request.
    pub fn patch(&self, path: &str) -> RequestBuilder {
        self.request(Method::PATCH, path)
    }

    /// Starts a DELETE request.
    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// Starts a HEAD request.
    pub fn head(&self, path: &str) -> RequestBuilder {
        self.request(Method::HEAD, path)
    }

    /// Starts a request.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = match self.base.join(path) {
            Ok(url) => self.maker.request(method, url),
            // It says what is wrong with it when it is sent.
            Err(_) => self.maker.request(method, path),
        };
        RequestBuilder::new(self.clone(), request)
    }

    /// Sends a request to an endpoint of the balancer's choice.
    ///
    /// # Errors
    /// Where no endpoint answered; the [`Error`] names those that were tried, and why.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request. It may have been processed.
    pub fn execute(&self, request: Request) -> ResponseFuture {
        self.send(request.into())
    }

    fn send(&self, mut call: Call) -> ResponseFuture {
        let visit = self.visit(&mut call).map(Box::new);
        ResponseFuture {
            inner: self.balance.send(call),
            visit,
        }
    }

    /// Looks which session the request is of, where sessions are kept and nothing else says where it goes.
    fn visit(&self, call: &mut Call) -> Option<Visit> {
        let sessions = self.sessions.as_ref()?;
        let routing = self.balance.protocol().routing(call);
        let visit = sessions.visit(&routing, call.request.headers(), SystemTime::now())?;
        if let Some(session) = visit.session() {
            let own = std::mem::take(&mut call.own.routing);
            call.own.routing = own.with_session(session);
        }
        Some(visit)
    }

    /// Ends the client and all of its clones: new requests are refused, those under way are waited for, no longer than
    /// `within`. See [`Balance::shutdown`].
    ///
    /// # Cancel safety
    /// As there.
    pub async fn shutdown(&self, within: Duration) -> Drained {
        self.balance.shutdown(within).await
    }

    /// Why this request would go where it would go now: whom the cluster's rules take off, what each policy
    /// makes of the rest, who is chosen, and who would be next. Nothing is sent.
    #[must_use]
    pub fn explain(&self, request: &Request) -> Explanation {
        let routing = self
            .balance
            .protocol()
            .affinity
            .routing(&Head::of_reqwest(request));
        self.explain_routing(routing, request)
    }

    /// What to put into a response for its client to forget its session, where sessions are kept in a cookie: see
    /// [`Sticky::forget`](crate::sticky::Sticky::forget).
    #[must_use]
    pub fn forget_session(&self) -> Option<(http::HeaderName, http::HeaderValue)> {
        self.sessions.as_ref()?.forget()
    }

    fn explain_call(&self, call: &Call) -> Explanation {
        let routing = self.balance.protocol().routing(call);
        self.explain_routing(routing, &call.request)
    }

    fn explain_routing(&self, routing: Routing<'_>, request: &Request) -> Explanation {
        let sessions = self.sessions.as_ref();
        let visit = sessions
            .and_then(|sessions| sessions.visit(&routing, request.headers(), SystemTime::now()));
        match visit.and_then(|visit| visit.session()) {
            Some(session) => self.balance.explain(&routing.with_session(session)),
            None => self.balance.explain(&routing),
        }
    }

    /// To look at the endpoints, and what is measured of them.
    #[must_use]
    pub fn observe(&self) -> Observer {
        self.balance.observe()
    }
}

impl Service<Request> for ReqwestClient {
    type Response = Response;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        self.execute(request)
    }
}

pin_project! {
    /// The response of a [`ReqwestClient`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture {
        #[pin]
        inner: crate::ResponseFuture<ReqwestEndpoint, Reqwest, Call>,
        visit: Option<Box<Visit>>,
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response, Error>;

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
