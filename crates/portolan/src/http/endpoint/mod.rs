//! The service of one endpoint: it sends requests on connections of its own, which end with it.
//!
//! It is built on hyper's connections and not on a pooling client, for three things that those do not
//! give: connections are made ahead of traffic and kept up by tasks, so that a dead endpoint is known
//! before a request finds out; a request that was not sent is given back whole; and the connections
//! are this endpoint's alone, whatever name the request bears.

mod dial;
mod error;
mod http1;
mod http2;
mod negotiate;
mod transport;
mod turn;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::uri::{Authority, Scheme};
use hyper::body::Incoming;
use portolan_core::ServiceRef;
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{Instant, Timeout, timeout, timeout_at},
};
use tower_service::Service;

pub(crate) use dial::Offer;
pub(crate) use error::SendError;
#[cfg(feature = "grpc")]
pub(crate) use error::find_h2_error;
pub use error::{ConnectError, ResponseTimedOut};
#[cfg(feature = "reqwest")]
pub(crate) use error::{is_by_caller, is_unprocessed, never_left};
pub(crate) use transport::Places;
#[cfg(any(feature = "tls", test))]
pub(crate) use transport::Stream;
use transport::Transport;

#[cfg(feature = "tls")]
use super::tls::Tls;
use super::{
    channel::default_authority,
    replay::Replay,
    request::Target,
    settings::{ConnectionSettings, Version},
};
use crate::{Endpoint, MakeEndpoint, Reachability};
use dial::Dialer;
use negotiate::Negotiation;
use turn::Turns;

pub(crate) type Request = http::Request<Replay>;
pub(crate) type Response = http::Response<Incoming>;

/// Makes [`HttpEndpoint`]s.
#[derive(Clone, Debug)]
pub(crate) struct MakeHttp {
    pub(super) target: Target,
    pub(super) renames: Renames,
    pub(super) settings: ConnectionSettings,
    /// For dials that no request waits for.
    pub(super) dials_ahead: Arc<Semaphore>,
    /// Nothing where there may be any number of connections.
    pub(super) places: Option<Places>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<Tls>>,
}

/// What an endpoint with a DNS name of its own is called by that name for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Renames {
    pub(super) authority: bool,
    #[cfg(feature = "tls")]
    pub(super) certificate: bool,
    /// The port that goes without saying.
    pub(super) usual_port: u16,
}

impl MakeEndpoint for MakeHttp {
    type Service = HttpEndpoint;

    fn make(&self, endpoint: &Endpoint, reachability: Reachability) -> HttpEndpoint {
        let dialer = Dialer {
            address: endpoint.address(),
            alternate: endpoint.alternate(),
            timeout: self.settings.connect_timeout,
            tally: Arc::clone(reachability.tally()),
            places: self.places.clone(),
            #[cfg(feature = "tls")]
            tls: self.tls_to(endpoint),
        };
        let connect = Connect {
            dialer,
            settings: self.settings.clone(),
            reachability,
            turns: Turns::new(
                Arc::clone(&self.dials_ahead),
                self.settings.connect_ahead.unwrap_or_default(),
            ),
            runtime: Handle::current(),
        };
        let connections = match self.version() {
            Version::Http1 => Connections::Known(connect.http1(None)),
            Version::Http2 => Connections::Known(connect.http2(None)),
            Version::Negotiated => Connections::Asking(Box::new(Negotiation::start(connect))),
        };
        HttpEndpoint(Arc::new(Inner {
            target: self.target_of(endpoint),
            connections,
            #[cfg(feature = "grpc")]
            max_age: self.settings.max_age,
        }))
    }

    fn connects_first(&self) -> bool {
        self.settings.connect_ahead.is_some()
    }

    fn heals(&self) -> bool {
        true
    }
}

/// What asks endpoints on connections besides those of requests.
impl MakeHttp {
    /// HTTP/1.1 in clear text, in the Service's name; of a Service that has none, in no name.
    pub(crate) fn plain(service: &ServiceRef) -> Self {
        let nobody = Authority::from_static("localhost");
        let authority = default_authority(service, 80).unwrap_or(nobody);
        Self {
            target: Target::new(Scheme::HTTP, authority),
            renames: Renames::default(),
            settings: ConnectionSettings::default(),
            dials_ahead: one_place(),
            places: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// HTTP/1.1 in clear text, in the same names.
    pub(crate) fn in_clear_text(&self) -> Self {
        Self {
            target: self.target.in_clear_text(),
            renames: self.renames,
            settings: ConnectionSettings::default(),
            dials_ahead: one_place(),
            places: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// The same, of HTTP/2, and one connection for each endpoint.
    #[cfg(feature = "grpc")]
    pub(crate) fn of_http2(&self) -> Self {
        let mut this = self.clone();
        this.settings.version = Version::Http2;
        this.settings.connections = 1;
        this.settings.connect_ahead = None;
        this
    }

    /// Whether it speaks HTTP/2 and nothing else.
    #[cfg(feature = "grpc")]
    pub(crate) fn is_http2(&self) -> bool {
        self.settings.version == Version::Http2
    }
}

impl MakeHttp {
    /// Whom requests to this endpoint are for.
    fn target_of(&self, endpoint: &Endpoint) -> Target {
        let port = endpoint.address().port();
        let name = endpoint.host().filter(|_| self.renames.authority);
        let authority = name.and_then(|host| match port == self.renames.usual_port {
            true => Authority::try_from(host).ok(),
            false => Authority::try_from(format!("{host}:{port}")).ok(),
        });
        match authority {
            Some(authority) => self.target.named(authority),
            None => self.target.clone(),
        }
    }

    /// Whose certificate this endpoint has to show.
    #[cfg(feature = "tls")]
    fn tls_to(&self, endpoint: &Endpoint) -> Option<Arc<Tls>> {
        let tls = self.tls.as_ref()?;
        let name = endpoint.host().filter(|_| self.renames.certificate);
        match name.and_then(|host| host.to_owned().try_into().ok()) {
            Some(name) => Some(Arc::new(tls.named(name))),
            None => Some(Arc::clone(tls)),
        }
    }

    fn version(&self) -> Version {
        #[cfg(feature = "tls")]
        let negotiates = self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let negotiates = false;
        match self.settings.version {
            Version::Negotiated if !negotiates => Version::Http1,
            version => version,
        }
    }
}

/// Sends requests to one endpoint. Clones share its connections.
#[derive(Clone)]
pub(crate) struct HttpEndpoint(Arc<Inner>);

impl HttpEndpoint {
    /// As a call, which has a connection within this time or fails.
    pub(crate) async fn send_within(
        self,
        request: Request,
        within: Duration,
    ) -> Result<Response, SendError> {
        self.0.send(request, Some(within)).await
    }

    /// For how long a stream of our own may hold on to a connection, which is to end at its age: a little longer, by
    /// when there is another one.
    #[cfg(feature = "grpc")]
    pub(crate) fn longest_stream(&self) -> Option<Duration> {
        let age = self.0.max_age?;
        // What is beyond the clock is as good as for ever.
        let longest = age.checked_add(age / 5)?;
        Instant::now().checked_add(longest).map(|_| longest)
    }
}

struct Inner {
    target: Target,
    connections: Connections,
    #[cfg(feature = "grpc")]
    max_age: Option<Duration>,
}

enum Connections {
    Known(Protocol),
    Asking(Box<Negotiation>),
}

/// The connections, by the protocol that is spoken on them.
#[derive(Clone)]
enum Protocol {
    Http1(Arc<http1::Pool>),
    Http2(Arc<http2::Links>),
}

/// All that is needed for connecting.
#[derive(Clone, Debug)]
struct Connect {
    dialer: Dialer,
    settings: ConnectionSettings,
    reachability: Reachability,
    turns: Turns,
    /// Where the connections are, and the timers: requests may come from any other runtime.
    runtime: Handle,
}

/// How long an endpoint may take to begin its answer.
struct AnswerWithin {
    limit: Duration,
    runtime: Handle,
}

impl AnswerWithin {
    async fn wait<T>(
        limit: Option<Self>,
        answer: impl Future<Output = T>,
    ) -> Result<T, ResponseTimedOut> {
        let Some(Self { limit, runtime }) = limit else {
            return Ok(answer.await);
        };
        let answer = {
            let _entered = runtime.enter();
            timeout(limit, answer)
        };
        answer.await.map_err(|_| ResponseTimedOut { limit })
    }
}

impl Connect {
    /// Waits for something no longer than until `deadline`, wherever it is polled.
    fn until<F: Future>(&self, deadline: Instant, future: F) -> Timeout<F> {
        let _entered = self.runtime.enter();
        timeout_at(deadline, future)
    }

    fn answer_within(&self) -> Option<AnswerWithin> {
        self.settings.response_timeout.map(|limit| AnswerWithin {
            limit,
            runtime: self.runtime.clone(),
        })
    }

    fn http1(self, first: Option<Transport>) -> Protocol {
        Protocol::Http1(http1::Pool::start(self, first))
    }

    fn http2(self, first: Option<Transport>) -> Protocol {
        Protocol::Http2(Arc::new(http2::Links::start(self, first)))
    }
}

impl Inner {
    /// Sends a request on a connection that is there within this time, or the connect timeout if nothing is said.
    async fn send(
        self: Arc<Self>,
        request: Request,
        within: Option<Duration>,
    ) -> Result<Response, SendError> {
        let connections = match &self.connections {
            Connections::Known(known) => known.clone(),
            Connections::Asking(negotiation) => match negotiation.outcome().await {
                Ok(known) => known,
                Err(error) => return Err(SendError::not_connected(error, request)),
            },
        };
        let target = self.target.clone();
        drop(self);
        match connections {
            Protocol::Http1(pool) => http1::send(pool, &target, request, within).await,
            Protocol::Http2(links) => http2::send(links, &target, request, within).await,
        }
    }
}

impl Service<Request> for HttpEndpoint {
    type Response = Response;
    type Error = SendError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, SendError>> + Send>>;

    /// Always ready: waiting for a connection is part of the call, so that it is bounded by the
    /// connect timeout and ends in an error that gives the request back.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Box::pin(Arc::clone(&self.0).send(request, None))
    }
}

impl fmt::Debug for HttpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpEndpoint")
            .field("target", &self.0.target)
            .finish_non_exhaustive()
    }
}

/// For checks, each of which waits for its connection.
fn one_place() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1))
}

/// Until when a request may be on its way to a connection, tries on several included.
fn deadline(settings: &ConnectionSettings, within: Option<Duration>) -> Instant {
    later(within.unwrap_or(settings.connect_timeout))
}

/// So much later than now. What is beyond the clock is a day, which is as good as for ever.
fn later(duration: Duration) -> Instant {
    let now = Instant::now();
    let day = Duration::from_secs(86_400);
    now.checked_add(duration).unwrap_or(now + day)
}

#[cfg(test)]
mod tests;
