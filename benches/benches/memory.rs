//! Bytes of memory for each endpoint, among 10,000: every layer by itself.

use std::{convert::Infallible, future::ready, hint::black_box};

use allocation_counter::{AllocationInfo, measure};
use futures::StreamExt;
use portolan::{Cluster, Endpoint, EndpointSet, Resolution, ServiceRef, Source, source::channel};
use portolan_benches::{BoxError, Figures, Goal, candidates, endpoints, short_criterion};
use tower::{Layer, Service, service_fn};

#[path = "support/api.rs"]
mod api;

const ENDPOINTS: u32 = 10_000;

fn main() -> Result<(), BoxError> {
    let mut figures = Figures::new("memory for each of 10,000 endpoints");
    let mut add = |what: &str, held: AllocationInfo| {
        let each = held.bytes_current as f64 / f64::from(ENDPOINTS);
        figures.add(what, Some(each), "bytes", Goal::None);
    };
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
    add(
        "the source over the Kubernetes API, with the endpoints",
        held_by(watched())?,
    );
    figures.print()?;
    // Memory is counted, not sampled.
    short_criterion().final_summary();
    Ok(())
}

/// What `make` makes holds so much.
fn held<T>(make: impl FnOnce() -> T) -> AllocationInfo {
    let mut made = None;
    let held = measure(|| made = Some(make()));
    drop(black_box(made));
    held
}

/// What `make` makes holds so much, with the tasks that it starts.
fn held_by<T>(make: impl Future<Output = Result<T, BoxError>>) -> Result<AllocationInfo, BoxError> {
    // A runtime of its own: what the last one's tasks leave behind is freed with it, not here.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut made = Err("not made".into());
    let held = measure(|| made = runtime.block_on(make));
    made.map(|_| held)
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

async fn watched() -> Result<impl Sized, BoxError> {
    let (api, client) = api::Api::start(ENDPOINTS);
    let cluster = portolan_kube::Cluster::from(client);
    let service: ServiceRef = "search.shop:http".parse()?;
    let mut resolutions = cluster.watch(&service);
    loop {
        match resolutions.next().await {
            Some(Resolution::Present(set)) if set.len() == ENDPOINTS as usize => break,
            Some(Resolution::Failed(error)) => return Err(error.into()),
            Some(_) => {}
            None => return Err("the source has ended".into()),
        }
    }
    Ok((api, cluster, resolutions))
}
