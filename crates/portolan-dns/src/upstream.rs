//! The DNS servers: asked one after the other, until one answers.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hickory_resolver::{
    NameServerPool, PoolContext, TlsConfig,
    config::{ConnectionConfig, NameServerConfig, ResolverOpts},
    net::{
        runtime::TokioRuntimeProvider,
        xfer::{DnsHandle, FirstAnswer},
    },
    proto::op::{DnsRequestOptions, Query},
};
use portolan_core::{SourceError, SourceErrorKind};

use crate::{
    Error,
    reply::{Failure, Reply, read},
};

/// How long a UDP answer may be. 1232 is what fits the least MTU of IPv6, 1280, with the headers of
/// IPv6 and UDP off: larger ones are fragmented, and fragments get lost or forged (RFC 9715, DNS Flag
/// Day 2020). What is longer comes truncated, and is asked for again by TCP.
const EDNS_SIZE: u16 = 1232;

/// Queries at once on one TCP connection, for all Services that are followed. One more waits.
const PER_CONNECTION: usize = 1024;

/// Somebody who can be asked.
pub(crate) trait Ask: Send + Sync + 'static {
    /// The answer to one question, from whoever has it.
    fn ask(&self, query: &Query) -> impl Future<Output = Result<Reply, SourceError>> + Send;
}

/// DNS servers that all know the same.
///
/// The transport is hickory's: packets lost and sent again, forged ones left aside, truncated ones
/// asked for by TCP. Its resolver on top of that is passed by, as its cache would hide from us when an
/// answer expires, and its errors, which server failed how.
pub(crate) struct Upstreams {
    servers: Vec<Server>,
    /// The server that answered last. It is asked first, so that one that is dead costs one timeout
    /// and not one for each query.
    answered: AtomicUsize,
    timeout: Duration,
}

struct Server {
    address: SocketAddr,
    pool: NameServerPool<TokioRuntimeProvider>,
}

impl Upstreams {
    pub(crate) fn new(addresses: &[SocketAddr], timeout: Duration) -> Result<Self, Error> {
        if addresses.is_empty() {
            return Err(Error::NoNameservers);
        }
        let servers = addresses
            .iter()
            .map(|address| Server::new(*address, timeout))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            servers,
            answered: AtomicUsize::new(0),
            timeout,
        })
    }
}

impl Server {
    fn new(address: SocketAddr, timeout: Duration) -> Result<Self, Error> {
        let mut options = ResolverOpts::default();
        // Less than we wait ourselves: a TCP connection that is dead is given up for a new one only
        // where hickory sees that nothing came.
        options.timeout = timeout / 2;
        options.max_active_requests = PER_CONNECTION;
        let tls = TlsConfig::new().map_err(|error| Error::Client {
            cause: error.into(),
        })?;
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut one| {
            one.port = address.port();
            one
        });
        let config = NameServerConfig::new(address.ip(), true, connections.into());
        let context = Arc::new(PoolContext::new(options, tls));
        let provider = TokioRuntimeProvider::default();
        Ok(Self {
            address,
            pool: NameServerPool::from_config([config], context, provider),
        })
    }

    async fn ask(&self, query: &Query, timeout: Duration) -> Result<Reply, Failure> {
        let mut options = DnsRequestOptions::default();
        options.edns_payload_len = EDNS_SIZE;
        let answer = self.pool.lookup(query.clone(), options).first_answer();
        match tokio::time::timeout(timeout, answer).await {
            Ok(result) => read(query, result),
            Err(_) => Err(Failure::new(
                SourceErrorKind::Unavailable,
                "did not answer in time",
            )),
        }
    }
}

impl Ask for Upstreams {
    async fn ask(&self, query: &Query) -> Result<Reply, SourceError> {
        let start = self.answered.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        let order = self.servers.iter().enumerate().cycle().skip(start);
        for (index, server) in order.take(self.servers.len()) {
            match server.ask(query, self.timeout).await {
                Ok(reply) => {
                    self.answered.store(index, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(failure) => failures.push((server.address, failure)),
            }
        }
        Err(error(query, &failures))
    }
}

fn error(query: &Query, failures: &[(SocketAddr, Failure)]) -> SourceError {
    let kind = failures
        .last()
        .map_or(SourceErrorKind::Unavailable, |(_, failure)| failure.kind);
    let problems: Vec<_> = failures
        .iter()
        .map(|(address, failure)| format!("the DNS server {address} {}", failure.problem))
        .collect();
    let (name, kind_of_record) = (query.name(), query.query_type());
    SourceError::new(
        kind,
        format!(
            "no answer for {kind_of_record} `{name}`: {}",
            problems.join("; ")
        ),
    )
}
