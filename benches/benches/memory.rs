//! Bytes of memory for each endpoint, among 10,000: every layer by itself.

use std::{convert::Infallible, future::ready};

use allocation_counter::AllocationInfo;
use portolan::{Cluster, Endpoint, EndpointSet, Resolution, source::channel};
use portolan_benches::{BoxError, Figures, Goal, candidates, endpoints, short_criterion};
use tower::{Layer, Service, service_fn};

#[path = "support/api.rs"]
mod api;
#[path = "support/held.rs"]
mod held;
#[path = "support/watched.rs"]
mod watched;

use held::{held, held_by};
use watched::{watched, watched_at_two_ports, watched_dual_stack};

const ENDPOINTS: u32 = 10_000;

fn main() -> Result<(), BoxError> {
    let mut figures = Figures::new("memory for each of 10,000 endpoints");
    let mut add_with = |what: &str, held: AllocationInfo, goal| {
        let each = held.bytes_current as f64 / f64::from(ENDPOINTS);
        figures.add(what, Some(each), "bytes", goal);
    };
    let mut add = |what: &str, held| add_with(what, held, Goal::None);
    add(
        "endpoints with name, UID, node and zone, in a set",
        held(|| endpoints(ENDPOINTS).collect::<EndpointSet>()),
    );
    add(
        "the same, with the state of each",
        held(|| candidates(endpoints(ENDPOINTS))),
    );
    let set: EndpointSet = endpoints(ENDPOINTS).collect();
    add(
        "a balancer of them, without the endpoints",
        held_by(balancer(set.clone()))?,
    );
    add(
        "the same, and the snapshot before, while somebody still looks at it",
        held_by(balancer_with_two_snapshots(set))?,
    );
    let goal = || Goal::AtMost(200.0);
    add_with(
        "the source over the Kubernetes API, with the endpoints",
        held_by(watched(ENDPOINTS, 0))?,
        goal(),
    );
    add_with(
        "the same, after three rolling updates of all of them",
        held_by(watched(ENDPOINTS, 3))?,
        goal(),
    );
    add_with(
        "the source, of Pods with an address of each family",
        held_by(watched_dual_stack(ENDPOINTS))?,
        Goal::None,
    );
    add_with(
        "the source, where two ports are followed",
        held_by(watched_at_two_ports(ENDPOINTS))?,
        Goal::None,
    );
    figures.print()?;
    // Memory is counted, not sampled.
    short_criterion().final_summary();
    Ok(())
}

async fn balancer(set: EndpointSet) -> Result<impl Sized, BoxError> {
    let (teller, source) = channel();
    teller.tell(Resolution::Present(set));
    let layer = Cluster::from_source(source).service("search")?.layer()?;
    let mut service = layer.layer(|_: &Endpoint| service_fn(|()| ready(Ok::<(), Infallible>(()))));
    service.call(()).await?;
    // The set, too, for it is not to count as freed.
    Ok((service, teller))
}

async fn balancer_with_two_snapshots(set: EndpointSet) -> Result<impl Sized, BoxError> {
    let (teller, source) = channel();
    teller.tell(Resolution::Present(set.clone()));
    let layer = Cluster::from_source(source).service("search")?.layer()?;
    let mut service = layer.layer(|_: &Endpoint| service_fn(|()| ready(Ok::<(), Infallible>(()))));
    service.call(()).await?;
    let mut observer = service.observe();
    let before = observer.changed().await.ok_or("no snapshot")?;
    // One is gone, so the next snapshot shares no list with this one.
    let fewer = set.iter().skip(1).cloned().collect();
    teller.tell(Resolution::Present(EndpointSet::new(fewer)));
    observer.changed().await.ok_or("no second snapshot")?;
    Ok((service, teller, before))
}
