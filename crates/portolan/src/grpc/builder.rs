//! Making a gRPC channel.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode, request::Parts, uri::Authority};

use super::{GrpcClient, protocol::Grpc};
use crate::{
    BalancerBuilder, BuildError, Endpoint, Follow, Naming, Told,
    affinity::Affinity,
    http::{
        Channel, Learn, Redirection,
        settings::{KeepAlive, Version},
    },
    orca::{self, LoadReports},
    sticky::Sticky,
};

/// A gRPC channel in the making. It comes from [`BalancerBuilder::grpc`].
///
/// ```
/// use portolan::{Cluster, source::Fixed};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), portolan::BuildError> {
/// # let cluster = Cluster::from_source(Fixed::default());
/// let channel = cluster
///     .service("greeter.shop:grpc")?
///     .grpc()
///     .connections_per_endpoint(2)
///     .retry_if(|call| call.uri.path().starts_with("/greeter.Greeter/Get"))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct GrpcBuilder {
    balancer: BalancerBuilder,
    channel: Channel,
}

/// Servers of the gRPC family take pings for abuse that come oftener than every five minutes, unless they
/// are told otherwise, and hang up ("too_many_pings", gRFC A8): on a stream that is merely quiet, too, and on
/// a connection without a call after two hours at the soonest. So half a minute more than that, and only
/// while calls are under way. The timeout is gRPC's own.
const PINGS: KeepAlive = KeepAlive {
    interval: Duration::from_secs(330),
    timeout: Duration::from_secs(20),
    while_idle: false,
};

impl BalancerBuilder {
    /// A gRPC channel: see [`portolan::grpc`](crate::grpc).
    pub fn grpc(self) -> GrpcBuilder {
        let mut channel = Channel::default();
        channel.connections.version = Version::Http2;
        channel.connections.keep_alive = Some(PINGS);
        GrpcBuilder {
            balancer: self,
            channel,
        }
    }
}

impl GrpcBuilder {
    /// Whom calls are for, `:authority`. Default: the Service's host, with its port where that was
    /// written as a number.
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

    /// Follows answers that say that a call belongs elsewhere: `classify` looks at the HTTP status and the
    /// headers, and says so. A call that ends at once has its trailers there, its gRPC status among them; one
    /// that has sent a message is not followed. `follow` says how often. Default: every answer is an answer.
    ///
    /// ```
    /// # use portolan::{BuildError, Cluster, Follow, Told, policy::Redirect};
    /// # fn example(cluster: Cluster) -> Result<(), BuildError> {
    /// let kv = cluster
    ///     .service("kv.shop:grpc")?
    ///     .grpc()
    ///     .follow(Follow::new(), |_, trailers| {
    ///         let leader = trailers.get("x-not-leader-ask")?.to_str().ok()?;
    ///         Some(Told::Elsewhere(Redirect::to_pod(leader)))
    ///     })
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

    /// Shows the head of each response, and whose it is, to `learn`, as soon as it is there: who is the primary may be
    /// written in it. As for [HTTP](crate::http::HttpBuilder::learn); trailers that come after messages are not in it.
    pub fn learn(mut self, learn: impl Fn(&Endpoint, &HeaderMap) + Send + Sync + 'static) -> Self {
        self.channel.heads.learn = Learn::by(learn);
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

    /// Speaks TLS. The certificate is checked for the Service's host, whichever endpoint is dialled:
    /// see [`HttpBuilder::tls`](crate::http::HttpBuilder::tls).
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

    /// How many connections to each endpoint are made ahead of traffic and kept up. Calls take turns
    /// on them. Default: 1; more is for more throughput than one core of the endpoint's server gives
    /// to a connection.
    pub fn connections_per_endpoint(mut self, connections: usize) -> Self {
        self.channel.connections.connections = connections;
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

    /// How long connecting may take, TLS included, and how long a call may wait for a connection.
    /// Default: 2 s, as for [HTTP](crate::http::HttpBuilder::connect_timeout).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.channel.connections.connect_timeout = timeout;
        self
    }

    /// How old a connection gets, give or take a tenth. One that is older takes no new requests, finishes those that it
    /// has, and closes; there is another one first. Default: as old as it likes. Set it where what is between client and Pod
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
    ///     .service("orders.shop:grpc")?
    ///     .grpc()
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

    /// How long an endpoint may take to begin its answer, for each endpoint that is tried: see
    /// [`HttpBuilder::response_timeout`](crate::http::HttpBuilder::response_timeout). Servers send the headers of a
    /// stream with its first message, so a stream that may be quiet at first should have none. Default: as long as
    /// the call's own deadline allows.
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.channel.connections.response_timeout = Some(limit);
        self
    }

    /// Sends an HTTP/2 ping on a connection with calls under way that has been silent for `interval`, and
    /// gives the connection up when it is not answered within `timeout`. Default: 330 s and 20 s, for a
    /// gRPC server hangs up on a client that sends them more often than it has been told to allow (by
    /// default, every 5 minutes, however many calls there are): set it shorter where the servers permit
    /// that. This finds out a server that hangs. A node that has died is found out in half a minute without
    /// pings, by TCP.
    pub fn keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.channel.connections.keep_alive = Some(KeepAlive {
            interval,
            timeout,
            while_idle: false,
        });
        self
    }

    /// How many bytes of a call's messages are kept until it is answered, so that it can be sent
    /// again. A call of which more was sent when it failed is not. Default: 64 KiB. What is kept is
    /// shared with the call, not copied.
    pub fn replay_limit(mut self, bytes: usize) -> Self {
        self.channel.replay_limit = bytes;
        self
    }

    /// Takes calls for which `rule` holds for safe to send twice, besides those that are marked
    /// [`Idempotent`](crate::http::Idempotent). Where one fails without an answer, it is tried on
    /// another endpoint even if the first may have processed it. Default: none.
    pub fn retry_if(mut self, rule: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.channel.idempotency.by_rule(rule);
        self
    }

    /// Reads what endpoints report of their load, for policies that go by it: see [`orca`](crate::orca). Default: nothing
    /// is read.
    pub fn load_reports(mut self, reports: LoadReports) -> Self {
        self.channel.load_reports = Some(reports);
        self
    }

    /// Makes the channel, and starts to follow the Service.
    ///
    /// # Errors
    /// Where a setting makes no sense, or there is no tokio runtime.
    pub fn build(self) -> Result<GrpcClient, BuildError> {
        if let Some(reports) = &self.channel.load_reports {
            reports.check(true)?;
        }
        let make = self.channel.make(self.balancer.service_ref())?;
        let send = self.channel.clone().sending(&self.balancer)?;
        let service = self.balancer.service_ref();
        let reports = self.channel.load_reports.clone();
        let protocol = Grpc {
            heads: self.channel.into_heads(service),
        };
        let listener = match (&reports, &protocol.heads.reports) {
            (Some(reports), Some(reader)) => orca::listener(reports, reader),
            _ => None,
        };
        Ok(GrpcClient {
            balance: self.balancer.build_over_http(make, protocol, listener)?,
            send,
        })
    }
}

impl fmt::Debug for GrpcBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcBuilder")
            .field("balancer", &self.balancer)
            .field("connections", &self.channel.connections)
            .field("authority", &self.channel.authority)
            .finish_non_exhaustive()
    }
}
