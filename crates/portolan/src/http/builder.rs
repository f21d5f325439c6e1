//! Making an HTTP client.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode, request::Parts, uri::Authority};

use super::{
    HttpClient,
    channel::Channel,
    heads::Learn,
    protocol::Http,
    redirect::Redirection,
    settings::{KeepAlive, Version},
};
use crate::{
    BalancerBuilder, BuildError, Endpoint, Follow, Naming, Told, affinity::Affinity,
    orca::LoadReports, sticky::Sticky,
};

/// An HTTP client in the making. It comes from [`BalancerBuilder::http`].
///
/// ```
/// use portolan::{Cluster, source::Fixed};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), portolan::BuildError> {
/// # let cluster = Cluster::from_source(Fixed::default());
/// let orders = cluster
///     .service("orders.shop:http")?
///     .http()
///     .http2()
///     .connect_timeout(Duration::from_secs(1))
///     .retry_idempotent()
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct HttpBuilder {
    balancer: BalancerBuilder,
    pub(crate) channel: Channel,
}

impl BalancerBuilder {
    /// An HTTP client: see [`portolan::http`](crate::http).
    pub fn http(self) -> HttpBuilder {
        HttpBuilder {
            balancer: self,
            channel: Channel::default(),
        }
    }
}

impl HttpBuilder {
    /// HTTP/1.1 only. Without TLS this is the default; with TLS the default is whichever protocol the
    /// endpoint agrees to.
    pub fn http1(mut self) -> Self {
        self.channel.connections.version = Version::Http1;
        self
    }

    /// HTTP/2 only; without TLS, with prior knowledge (h2c).
    pub fn http2(mut self) -> Self {
        self.channel.connections.version = Version::Http2;
        self
    }

    /// Whom requests are for that do not say it themselves: the Host header, or `:authority`. A
    /// request says it by an authority in its URI, or by a Host header. Default: the Service's host,
    /// with its port where that was written as a number.
    pub fn authority(mut self, authority: Authority) -> Self {
        self.channel.authority = Some(authority);
        self
    }

    /// What of a request decides who serves it, for policies that go by that: its key, whether it writes, the
    /// Pod it is pinned to. See [`affinity`](mod@crate::affinity). Default: only what a request's own extensions
    /// say ([`Routing`](crate::Routing)).
    pub fn affinity(mut self, affinity: impl Into<Affinity>) -> Self {
        self.channel.heads.affinity = affinity.into();
        self
    }

    /// Follows answers that say that a request belongs elsewhere: `classify` looks at the status and the
    /// headers, and says so; [`by_location`](super::by_location) does of 307 and 308. Such an answer was no answer
    /// to the request, which goes on to the endpoint it was sent to, as the first time; `follow` says how often.
    /// Default: every answer is an answer.
    ///
    /// ```
    /// # use portolan::{BuildError, Cluster, Follow, policy::{LeastRequest, Routes}};
    /// # use portolan::{affinity::header, http::by_location};
    /// # fn example(cluster: Cluster) -> Result<(), BuildError> {
    /// let routes = Routes::by_key();
    /// let orders = cluster
    ///     .service("orders.shop:http")?
    ///     .policy(routes.over(LeastRequest::new()))
    ///     .http()
    ///     .affinity(header("x-tenant"))
    ///     .follow(Follow::new().remember_in(&routes), by_location)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn follow(
        mut self,
        follow: Follow,
        classify: impl Fn(StatusCode, &HeaderMap) -> Option<Told> + Send + Sync + 'static,
    ) -> Self {
        self.channel.heads.redirection = Some(Redirection {
            follow,
            classify: Arc::new(classify),
        });
        self
    }

    /// Sends those who were served by an endpoint there again, by a token in a cookie or a header: see
    /// [`sticky`](mod@crate::sticky). Default: each request goes by the policy.
    pub fn sticky(mut self, sticky: Sticky) -> Self {
        self.channel.sticky = Some(sticky);
        self
    }

    /// Whose name requests bear that do not bear one themselves, and whose certificate is expected, where an
    /// endpoint has a DNS name of its own. Default: [`Naming::Service`].
    pub fn naming(mut self, naming: Naming) -> Self {
        self.channel.naming = naming;
        self
    }

    /// Speaks TLS. The certificate is checked for the Service's host, as in
    /// [`ServiceRef::host`](crate::ServiceRef::host), whichever endpoint is dialled.
    ///
    /// Which protocols are offered (ALPN) is set by this builder, and not taken from `config`. The
    /// crypto provider is the one of `config`; none is installed for the process.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = portolan::Cluster::from_source(portolan::source::Fixed::default());
    /// use portolan::http::rustls::{ClientConfig, RootCertStore, crypto::ring};
    /// use std::sync::Arc;
    ///
    /// let roots = RootCertStore::empty(); // … and the cluster's own
    /// let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
    ///     .with_safe_default_protocol_versions()?
    ///     .with_root_certificates(roots)
    ///     .with_no_client_auth();
    /// let orders = cluster.service("orders.shop:https")?.http().tls(config).build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: rustls::ClientConfig) -> Self {
        self.channel.tls = Some(config);
        self
    }

    /// The name that certificates are checked for. Default: the Service's host.
    #[cfg(feature = "tls")]
    pub fn server_name(mut self, name: rustls_pki_types::ServerName<'static>) -> Self {
        self.channel.server_name = Some(name);
        self
    }

    /// How many connections to each endpoint are made ahead of traffic and kept up. Default: 1. With
    /// HTTP/2 these are all there are, and requests take turns on them; more than one is for more
    /// throughput than one core of the endpoint's server gives to a connection. With HTTP/1.1 more
    /// are made as they are needed.
    pub fn connections_per_endpoint(mut self, connections: usize) -> Self {
        self.channel.connections.connections = connections;
        self
    }

    /// How many HTTP/1.1 connections there may be to each endpoint. A request that finds all of them
    /// busy waits for one, no longer than the connect timeout, and goes to another endpoint then.
    /// Default: 512, which few servers' workers can make use of.
    pub fn max_connections_per_endpoint(mut self, connections: usize) -> Self {
        self.channel.connections.max_connections = connections;
        self
    }

    /// How many connections there may be to all endpoints together. Where there are as many, no more are made: endpoints to
    /// which there is none get no requests, as if they could not be reached, and the others get theirs. Default: no limit but
    /// that of each endpoint. For a part of a large fleet that is the same each time, take a
    /// [subset](crate::BalancerBuilder::subset).
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.channel.connections.max_in_all = Some(connections);
        self
    }

    /// How long connecting may take, TLS included, and how long a request may wait for a connection.
    /// Default: 2 s. Within a cluster it takes about a millisecond; the rest is for one lost packet,
    /// which TCP sends again after a second (RFC 6298).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.channel.connections.connect_timeout = timeout;
        self
    }

    /// After how long without a request an HTTP/1.1 connection is closed, unless it is one of those
    /// that are kept ready. Default: 60 s, which is shorter than what most servers have.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.channel.connections.idle_timeout = timeout;
        self
    }

    /// How old a connection gets, give or take a tenth. One that is older takes no new requests, finishes those that it
    /// has, and closes; of those that are kept ready, there is another one first. Default: as old as it likes. Set it where what is between client and Pod
    /// (a proxy, a load balancer, TLS certificates that are replaced) goes by connections.
    pub fn max_connection_age(mut self, age: Duration) -> Self {
        self.channel.connections.max_age = Some(age);
        self
    }

    /// A new endpoint is connected to before it gets any request, at a random moment within `spread`. Meanwhile requests
    /// go to those that are connected to; where there are none, they go to the new ones, and wait for the connection. So
    /// no request waits for a handshake with a Pod that has just come, and a Pod that comes is not
    /// dialled by all of its clients in the same moment. Default: each endpoint is dialled as soon as it is there, and gets
    /// requests at once.
    ///
    /// ```
    /// # use portolan::{BuildError, Cluster};
    /// # use std::time::Duration;
    /// # fn example(cluster: Cluster) -> Result<(), BuildError> {
    /// let client = cluster
    ///     .service("orders.shop:http")?
    ///     .http()
    ///     .connect_ahead(Duration::from_millis(500))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_ahead(mut self, spread: Duration) -> Self {
        self.channel.connections.connect_ahead = Some(spread);
        self
    }

    /// How many dials that no request waits for may be under way at once, over all endpoints: to new endpoints, and to those
    /// that are lost. Default: 64, which connects to a thousand Pods in a fraction of a second. A request that waits for a
    /// connection waits for no other dial.
    pub fn dials_ahead(mut self, dials: usize) -> Self {
        self.channel.connections.dials_ahead = dials;
        self
    }

    /// How long an endpoint may take to begin its answer, counted from when the request is handed to a
    /// connection, so that sending its body is included. One that takes longer is given up: it counts
    /// against the endpoint, and the request goes to another one if it is [idempotent](super::Idempotent).
    /// Default: as long as it likes, since a request that waits for something to happen, as a long poll
    /// does, is a good one.
    ///
    /// This is for each endpoint that is tried. A limit on the whole, its body included, is a timeout
    /// round the call, such as tower's.
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.channel.connections.response_timeout = Some(limit);
        self
    }

    /// Sends an HTTP/2 ping on a connection that has been silent for `interval`, and gives the
    /// connection up when it is not answered within `timeout`. Default: 20 s and 10 s.
    ///
    /// Connections of either protocol to a node that has died are found out in half a minute without
    /// it, by TCP; this finds out a server that hangs, too.
    pub fn keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.channel.connections.keep_alive = Some(KeepAlive {
            interval,
            timeout,
            while_idle: true,
        });
        self
    }

    /// Sends no HTTP/2 pings.
    pub fn no_keep_alive(mut self) -> Self {
        self.channel.connections.keep_alive = None;
        self
    }

    /// How many bytes of a request's body are kept until it is answered, so that it can be sent
    /// again. A request of which more was read when it failed is not. Default: 64 KiB. What is kept
    /// is shared with the request, not copied.
    pub fn replay_limit(mut self, bytes: usize) -> Self {
        self.channel.replay_limit = bytes;
        self
    }

    /// Takes requests with idempotent methods (RFC 9110, 9.2.2: GET, HEAD, OPTIONS, TRACE, PUT,
    /// DELETE) for safe to send twice. Where one fails without an answer, it is tried on another
    /// endpoint even if the first may have processed it. By default only requests marked
    /// [`Idempotent`](super::Idempotent) are.
    pub fn retry_idempotent(mut self) -> Self {
        self.channel.idempotency.by_method();
        self
    }

    /// Takes requests for which `rule` holds for safe to send twice, besides others that are.
    pub fn retry_if(mut self, rule: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.channel.idempotency.by_rule(rule);
        self
    }

    /// Shows the head of each response, and whose it is, to `learn`, as soon as it is there: who is the primary, and
    /// how far a replica is behind, may be written in headers. It is called on the request path, and must not block.
    ///
    /// ```
    /// use portolan::{Cluster, policy::{Epoch, Leadership, PrimaryReplica}, source::Fixed};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), portolan::BuildError> {
    /// # let cluster = Cluster::from_source(Fixed::default());
    /// let leadership = Leadership::new();
    /// let told = leadership.clone();
    /// let db = cluster
    ///     .service("db.shop:http")?
    ///     .policy(PrimaryReplica::by_leadership(&leadership))
    ///     .http()
    ///     .learn(move |endpoint, headers| {
    ///         let term = headers.get("x-primary-term").and_then(|term| term.to_str().ok()?.parse().ok());
    ///         if let Some(term) = term {
    ///             told.announce(endpoint.placement().clone(), Epoch::new(term));
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn learn(mut self, learn: impl Fn(&Endpoint, &HeaderMap) + Send + Sync + 'static) -> Self {
        self.channel.heads.learn = Learn::by(learn);
        self
    }

    /// Reads what endpoints report of their load, for policies that go by it: see [`orca`](crate::orca). Default: nothing
    /// is read.
    pub fn load_reports(mut self, reports: LoadReports) -> Self {
        self.channel.load_reports = Some(reports);
        self
    }

    /// Makes the client, and starts to follow the Service.
    ///
    /// # Errors
    /// Where a setting makes no sense, or there is no tokio runtime.
    pub fn build(mut self) -> Result<HttpClient, BuildError> {
        if self.balancer.retries() {
            self.channel.idempotency.by_method();
        }
        if let Some(reports) = &self.channel.load_reports {
            reports.check(false)?;
        }
        let make = self.channel.make(self.balancer.service_ref())?;
        let send = self.channel.clone().sending(&self.balancer)?;
        let service = self.balancer.service_ref();
        let protocol = Http {
            heads: self.channel.into_heads(service),
        };
        Ok(HttpClient {
            balance: self.balancer.build_over_http(make, protocol, None)?,
            send,
        })
    }
}

impl fmt::Debug for HttpBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpBuilder")
            .field("balancer", &self.balancer)
            .field("connections", &self.channel.connections)
            .field("authority", &self.channel.authority)
            .field("idempotency", &self.channel.idempotency)
            .finish_non_exhaustive()
    }
}
