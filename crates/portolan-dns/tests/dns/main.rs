//! DNS by real packets: against the server of `portolan-test`, as CoreDNS and as a liar.
#![cfg(test)]

mod cluster;
mod faults;
mod hosts;
mod refresh;
mod size;

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt};
use portolan_core::{EndpointSet, Resolution, Source, SourceError};
use portolan_dns::{Dns, DnsOptions};
use portolan_test::dns::DnsServer;

pub(crate) const DB: &str = "db.shop.svc.cluster.local";

/// For what must come; far more than it takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type News = Pin<Box<dyn Stream<Item = Resolution> + Send>>;

/// Looks every 20 ms, whatever the TTL, and waits little for an answer.
pub(crate) fn hasty() -> DnsOptions {
    let ms = Duration::from_millis;
    DnsOptions::default()
        .refresh_between(ms(20), ms(20))
        .backoff(ms(20), ms(20))
        .query_timeout(ms(250))
}

/// A client of this server, whose endpoints may be on this machine.
pub(crate) fn client(server: &DnsServer) -> Dns {
    Dns::with_nameservers([server.address()])
        .unwrap()
        .with_options(hasty())
        .unwrap()
        .allow_loopback()
}

pub(crate) fn watch(dns: &Dns, service: &str) -> News {
    dns.watch(&service.parse().unwrap())
}

pub(crate) async fn next(news: &mut News) -> Resolution {
    let next = tokio::time::timeout(PATIENCE, news.next());
    next.await.expect("nothing was said").expect("it ended")
}

pub(crate) async fn present(news: &mut News) -> EndpointSet {
    match next(news).await {
        Resolution::Present(set) => set,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn failed(news: &mut News) -> SourceError {
    match next(news).await {
        Resolution::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

/// Waits for a set that lists exactly these, as `placement address`.
pub(crate) async fn until(news: &mut News, expected: &[String]) -> EndpointSet {
    for _ in 0..1000 {
        if let Resolution::Present(set) = next(news).await
            && listed(&set) == expected
        {
            return set;
        }
    }
    panic!("never {expected:?}");
}

pub(crate) fn listed(set: &EndpointSet) -> Vec<String> {
    set.iter()
        .map(|one| format!("{} {}", one.placement(), one.address()))
        .collect()
}
