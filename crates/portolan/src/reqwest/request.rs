//! A request in the making.

use std::fmt;

use reqwest::{
    Body, Response,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::ReqwestClient;
use crate::{Error, Explanation, Routing};

/// A request in the making, of a [`ReqwestClient`].
///
/// What is not here is there by [`with`](Self::with), which gives the whole of
/// `reqwest::RequestBuilder`:
///
/// ```
/// # use std::time::Duration;
/// # async fn example(orders: portolan::reqwest::ReqwestClient) -> Result<(), Box<dyn std::error::Error>> {
/// let response = orders
///     .post("/orders")
///     .with(|request| request.timeout(Duration::from_secs(1)).body("one portolan, please"))
///     .send()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: ReqwestClient,
    request: reqwest::RequestBuilder,
    own: Own,
}

/// A request on its way, with what reqwest's own has no place for.
#[derive(Debug)]
pub(crate) struct Call {
    pub(super) request: reqwest::Request,
    pub(super) own: Own,
}

/// What a request says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    pub(super) routing: Routing<'static>,
    pub(super) idempotent: bool,
}

impl From<reqwest::Request> for Call {
    fn from(request: reqwest::Request) -> Self {
        Self {
            request,
            own: Own::default(),
        }
    }
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request cannot be made: its path, a header or its body is wrong.
    #[error("the request cannot be made: {0}")]
    Request(#[source] reqwest::Error),
    /// No endpoint answered it.
    #[error(transparent)]
    Send(#[from] Error),
}

impl RequestBuilder {
    pub(super) fn new(client: ReqwestClient, request: reqwest::RequestBuilder) -> Self {
        Self {
            client,
            request,
            own: Own::default(),
        }
    }

    /// Adds a header.
    pub fn header<K, V>(self, name: K, value: V) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.with(|request| request.header(name, value))
    }

    /// Sets headers, in place of those of the same names.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.with(|request| request.headers(headers))
    }

    /// Sets a bearer token.
    pub fn bearer_auth(self, token: impl fmt::Display) -> Self {
        self.with(|request| request.bearer_auth(token))
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.with(|request| request.body(body))
    }

    /// Says who is to serve it, where the policy goes by that: its key, whether it writes, the Pod it is pinned
    /// to. What this says goes before what the client's [affinity](super::ReqwestBuilder::affinity) finds.
    ///
    /// ```
    /// # use portolan::Routing;
    /// # async fn example(orders: portolan::reqwest::ReqwestClient) -> Result<(), Box<dyn std::error::Error>> {
    /// let order = orders.get("/orders/17").routing(Routing::key("tenant-7").read()).send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn routing(mut self, routing: Routing<'static>) -> Self {
        self.own.routing = routing;
        self
    }

    /// Marks it as safe to send twice: where it fails without an answer, it is tried on another endpoint even
    /// if the first may have processed it.
    pub fn idempotent(mut self) -> Self {
        self.own.idempotent = true;
        self
    }

    /// Anything else that reqwest can do to a request: `json`, `query`, `form`, `multipart`,
    /// `timeout` (for each try, if there is more than one), …
    pub fn with(
        mut self,
        change: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Self {
        self.request = change(self.request);
        self
    }

    /// Why it would go where it would go now, as [`ReqwestClient::explain`] says it, with what it says
    /// [itself](Self::routing). `None` where it cannot be made, or its body is a stream, which cannot be looked at
    /// without being sent.
    #[must_use]
    pub fn explain(&self) -> Option<Explanation> {
        let request = self.request.try_clone()?.build().ok()?;
        let own = self.own.clone();
        Some(self.client.explain_call(&Call { request, own }))
    }

    /// Sends it to an endpoint of the balancer's choice.
    ///
    /// # Errors
    /// Where the request is wrong in itself, or no endpoint answered.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request. It may have been processed.
    pub async fn send(self) -> Result<Response, RequestError> {
        let request = self.request.build().map_err(RequestError::Request)?;
        let own = self.own;
        Ok(self.client.send(Call { request, own }).await?)
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request.fmt(f)
    }
}
