//! Active health checks: endpoints are asked whether they are well, apart from any request.
//!
//! Kubernetes asks its Pods already, from their own Node, and takes those that are not ready out of the Service. A check of
//! one's own finds out what that cannot: that the *way* from here to there is broken, that a Pod hangs whose probes are slow
//! or lax, that one answers its probe and not its clients. Endpoints of which nobody keeps watch otherwise (a list in a file,
//! an address outside the cluster) have no other check at all.
//!
//! ```
//! use portolan::{Cluster, health_check::HealthCheck, source::Fixed};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), portolan::BuildError> {
//! # let cluster = Cluster::from_source(Fixed::default());
//! let nodes = cluster
//!     .service("db.shop:client")?
//!     .health_check(HealthCheck::tcp().interval(Duration::from_secs(5)))
//!     .nodes()?;
//! for one in nodes.observe().view().health() {
//!     println!("{}: {:?}", one.endpoint().placement(), one.last_failure());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What comes of it
//! An endpoint that is not well is left out of the choice, exactly as one that cannot be reached, and for as long as another
//! one is well: where all fail their checks, the check is more likely to be wrong than all of them, and all stay. (A policy
//! by identity, such as a shard, waits or fails as it does for an endpoint that is out of reach: it sends nothing elsewhere.)
//! Requests know nothing of checks, and wait for none: checks have tasks of their own, and what they find is a level that
//! the driver looks at.
//!
//! # When it is asked
//! The first check of an endpoint is at a random moment of the first interval, each next one an interval after the last
//! began, give or take a tenth; no more than [`at_once`](HealthCheck::at_once) are under way in a balancer. So neither a
//! thousand endpoints nor a thousand clients are in step. One that was not well, and could not be connected to, is asked as soon
//! as it can be again. A check takes no longer than its timeout. Each incarnation is
//! checked for as long as it may get requests; a Pod that replaces another begins anew.
//!
//! # On which connection
//! [`tcp`](HealthCheck::tcp) connects, and closes the connection at once; a check [of one's own](HealthCheck::with) does as
//! it likes.
//!
//! Checks by HTTP and gRPC of a balancer that speaks HTTP ([`http`](crate::BalancerBuilder), `grpc`) are requests on the
//! connections that its requests go on, with its TLS and its names: they find out what happens to requests, are within the
//! limit on connections of an endpoint, and open none. Where all HTTP/1.1 connections are busy, the check is left out: it says
//! nothing that an endpoint has much to do.
//!
//! A check has a connection of its own, in clear text (HTTP/1.1; for gRPC, HTTP/2), where it goes [to another
//! port](HttpCheck::port), or where the balancer's connections are not Portolan's: a layer, nodes, reqwest. It has one of
//! HTTP/2 with the client's TLS where a gRPC check is wanted of a client that does not speak HTTP/2 only.

mod answer;
mod asker;
#[cfg(feature = "grpc")]
mod grpc;
mod health;
#[cfg(feature = "http")]
mod http;
mod monitor;
mod standing;
mod tally;

use std::{
    fmt::{self, Display},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};

pub use health::Health;
#[cfg(feature = "http")]
pub use http::HttpCheck;

use crate::{BuildError, Endpoint};
pub(crate) use asker::Checker;
pub(crate) use health::Record;
pub(crate) use monitor::Monitor;

/// How endpoints are asked whether they are well, and how often: see the [module](self).
///
/// It is given to [`BalancerBuilder::health_check`](crate::BalancerBuilder::health_check).
#[derive(Clone, Debug)]
#[must_use = "nobody is asked until a balancer is given it"]
pub struct HealthCheck {
    kind: Kind,
    settings: Settings,
}

#[derive(Clone)]
enum Kind {
    Tcp,
    #[cfg(feature = "http")]
    Http(Arc<HttpCheck>),
    #[cfg(feature = "grpc")]
    Grpc(Arc<str>),
    With(Arc<Ask>),
}

/// Whether an endpoint is well, or what is wrong with it.
type Ask = dyn Fn(Arc<Endpoint>) -> BoxFuture<'static, Result<(), String>> + Send + Sync;

#[derive(Clone, Copy, Debug)]
struct Settings {
    interval: Duration,
    timeout: Duration,
    healthy_after: u32,
    unhealthy_after: u32,
    at_once: usize,
    trusts_new: bool,
}

/// No process has more connections to spare.
const MOST_AT_ONCE: usize = 65_536;

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            healthy_after: 1,
            unhealthy_after: 3,
            at_once: 64,
            trusts_new: true,
        }
    }
}

impl HealthCheck {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            settings: Settings::default(),
        }
    }

    /// An endpoint is well if it can be connected to. No TLS, nothing is sent.
    pub fn tcp() -> Self {
        Self::of(Kind::Tcp)
    }

    /// An endpoint is well if it answers a GET of this path with a status from 200 to 399, which is what the
    /// kubelet's probes go by; an [`HttpCheck`] says more.
    ///
    /// ```
    /// use portolan::{Cluster, health_check::{HealthCheck, HttpCheck}, source::Fixed};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), portolan::BuildError> {
    /// # let cluster = Cluster::from_source(Fixed::default());
    /// let orders = cluster
    ///     .service("orders.shop:http")?
    ///     .health_check(HealthCheck::http(HttpCheck::get("/healthz").statuses(200..=204)))
    ///     .http()
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "http")]
    pub fn http(check: impl Into<HttpCheck>) -> Self {
        Self::of(Kind::Http(Arc::new(check.into())))
    }

    /// An endpoint is well if its server says `SERVING` of itself by `grpc.health.v1`: see
    /// [`grpc_service`](Self::grpc_service).
    #[cfg(feature = "grpc")]
    pub fn grpc() -> Self {
        Self::grpc_service("")
    }

    /// An endpoint is well if it says `SERVING` of this service by `grpc.health.v1`
    /// ([GRPC Health Checking Protocol](https://github.com/grpc/grpc/blob/master/doc/health-checking.md)).
    ///
    /// It is told of each change at once, by `Watch`, and its word counts at once, whatever the thresholds. A
    /// stream that cannot be had, or does not begin in time, is a check that failed. A server without `Watch`
    /// is asked by `Check`, once an interval; one that knows neither cannot be checked so, and is well (as gRPC's own clients
    /// have it: gRFC A17), which is logged.
    ///
    /// ```
    /// use portolan::{Cluster, health_check::HealthCheck, source::Fixed};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), portolan::BuildError> {
    /// # let cluster = Cluster::from_source(Fixed::default());
    /// let greeter = cluster
    ///     .service("greeter.shop:grpc")?
    ///     .health_check(HealthCheck::grpc_service("greeter.Greeter"))
    ///     .grpc()
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "grpc")]
    pub fn grpc_service(name: impl Into<Arc<str>>) -> Self {
        Self::of(Kind::Grpc(name.into()))
    }

    /// An endpoint is well if `ask` says so; its error says what is wrong. One that panics is not well.
    ///
    /// ```
    /// use portolan::{Cluster, Endpoint, health_check::HealthCheck, source::Fixed};
    /// use std::sync::Arc;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), portolan::BuildError> {
    /// # let cluster = Cluster::from_source(Fixed::default());
    /// let check = HealthCheck::with(async |endpoint: Arc<Endpoint>| {
    ///     let _connection = tokio::net::TcpStream::connect(endpoint.address()).await?;
    ///     // … say PING, expect PONG …
    ///     Ok::<_, std::io::Error>(())
    /// });
    /// let redis = cluster.service("redis.shop:client")?.health_check(check).nodes()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with<A, E>(ask: impl Fn(Arc<Endpoint>) -> A + Send + Sync + 'static) -> Self
    where
        A: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        Self::of(Kind::With(Arc::new(move |endpoint| {
            let answer = ask(endpoint);
            async { answer.await.map_err(|error| error.to_string()) }.boxed()
        })))
    }

    /// How often an endpoint is asked. Default: 10 s, as the kubelet does: requests find out sooner what is wrong with an
    /// endpoint that they go to.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.settings.interval = interval;
        self
    }

    /// How long an answer may take, connecting included. Default: 1 s, as the kubelet has it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// After how many good checks in a row an endpoint that was not well is again. Default: 1, as the kubelet has it: the
    /// endpoint has just answered.
    pub fn healthy_after(mut self, checks: u32) -> Self {
        self.settings.healthy_after = checks;
        self
    }

    /// After how many failed checks in a row an endpoint is not well any more. Default: 3, as the kubelet has it, for one or two
    /// are lost by chance.
    pub fn unhealthy_after(mut self, checks: u32) -> Self {
        self.settings.unhealthy_after = checks;
        self
    }

    /// How many endpoints of a balancer are asked at the same time. Default: 64: so the connections that checks open besides
    /// those of requests, and what a thousand endpoints that never answer can keep busy, are bounded. Where that many do
    /// not answer for so long that others are asked late, those are asked less often, and stay as they were.
    pub fn at_once(mut self, checks: usize) -> Self {
        self.settings.at_once = checks;
        self
    }

    /// A new endpoint gets no request before its first good check, while another endpoint is well. Default: it is
    /// trusted from the start, since Kubernetes lists a Pod when its readiness probe has passed. With this, the first check
    /// is within a tenth of an interval. Those that are there when there is nobody else, as at the start of a client, are
    /// trusted all the same: or the first one that is checked would get the requests of all.
    pub fn distrust_new(mut self) -> Self {
        self.settings.trusts_new = false;
        self
    }

    /// Whether it makes sense.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let refuse = |setting, value: &dyn fmt::Debug, expected| {
            Err(BuildError::Setting {
                setting,
                value: format!("{value:?}"),
                expected,
            })
        };
        let Settings {
            interval, timeout, ..
        } = self.settings;
        if interval.is_zero() {
            return refuse(
                "health_check.interval",
                &interval,
                "expected more than zero",
            );
        }
        if timeout.is_zero() {
            return refuse("health_check.timeout", &timeout, "expected more than zero");
        }
        if timeout > interval {
            return refuse(
                "health_check.timeout",
                &timeout,
                "expected no more than health_check.interval, or checks would overtake each other",
            );
        }
        if self.settings.healthy_after == 0 {
            return refuse("health_check.healthy_after", &0, "expected at least 1");
        }
        if self.settings.unhealthy_after == 0 {
            return refuse("health_check.unhealthy_after", &0, "expected at least 1");
        }
        if self.settings.at_once == 0 || self.settings.at_once > MOST_AT_ONCE {
            return refuse(
                "health_check.at_once",
                &self.settings.at_once,
                "expected 1 to 65536",
            );
        }
        match &self.kind {
            #[cfg(feature = "http")]
            Kind::Http(check) => check.check(),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("Tcp"),
            #[cfg(feature = "http")]
            Self::Http(check) => check.fmt(f),
            #[cfg(feature = "grpc")]
            Self::Grpc(service) => f.debug_tuple("Grpc").field(service).finish(),
            Self::With(_) => f.write_str("With"),
        }
    }
}
