//! What the balanced service promises, whatever the protocol: tested on scripted endpoints, under
//! paused time.
#![cfg(test)]

mod admission;
mod discovery;
mod fencing;
mod handles;
mod health;
mod hedging;
mod keys;
mod limits;
#[cfg(feature = "metrics")]
mod metrics;
mod model;
mod moody;
mod nodes;
mod outliers;
mod policy;
mod repeats;
mod resilience;
mod retries;
mod retry_answers;
mod rounds;
mod routing;
mod scripted;
mod sessions;
mod shutdown;
mod sources;
mod spans;
mod staleness;
mod subset;
mod timing;
mod traffic;

use std::{
    collections::BTreeMap,
    future::{Ready, ready},
    task::{Context, Poll},
    time::Duration,
};

use portolan::{
    Balance, BalancerBuilder, BoxError, Cluster, Endpoint, Placement, Resolution,
    source::{Teller, channel},
};
use tower::{Layer, Service, ServiceExt};

pub(crate) fn endpoint(ordinal: u16) -> Endpoint {
    Endpoint::new(
        Placement::new(format!("db-{ordinal}")),
        format!("127.0.0.1:{}", 1 + ordinal).parse().unwrap(),
    )
    .with_uid(format!("uid-{ordinal}"))
}

pub(crate) fn present(ordinals: impl IntoIterator<Item = u16>) -> Resolution {
    Resolution::Present(ordinals.into_iter().map(endpoint).collect())
}

pub(crate) fn cluster_of(ordinals: impl IntoIterator<Item = u16>) -> (Teller, Cluster) {
    let (teller, source) = channel();
    teller.tell(present(ordinals));
    (teller, Cluster::from_source(source))
}

/// What the tests balance: each endpoint answers with its name.
#[derive(Clone)]
pub(crate) struct Named(pub(crate) String);

impl Service<()> for Named {
    type Response = String;
    type Error = BoxError;
    type Future = Ready<Result<String, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(self.0.clone()))
    }
}

/// The service over endpoints that answer with their names.
pub(crate) fn named(builder: BalancerBuilder) -> Balance<Named> {
    let make = |endpoint: &Endpoint| Named(endpoint.placement().to_string());
    builder.layer().unwrap().layer(make)
}

pub(crate) async fn spread<S>(service: &S, requests: usize) -> BTreeMap<String, usize>
where
    S: Service<(), Response = String, Error = portolan::Error> + Clone,
{
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let answer = service.clone().oneshot(()).await.unwrap();
        *counts.entry(answer).or_default() += 1;
    }
    counts
}

/// Waits until the balancer serves exactly these endpoints, for as long as paused time goes on.
pub(crate) async fn until_served_by<S>(service: &S, expected: &[&str])
where
    S: Service<(), Response = String, Error = portolan::Error> + Clone,
{
    for _ in 0..1000 {
        let served = spread(service, 4 * expected.len().max(1)).await;
        if served
            .keys()
            .map(String::as_str)
            .eq(expected.iter().copied())
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never served by {expected:?}");
}
