//! One Pod among 10,000 restarts: how long until requests go to the new one.
//!
//! Everything runs on one thread, so that the time is that of the work and of nothing else.

use std::{
    future::{Ready, ready},
    sync::Arc,
    time::{Duration, Instant},
};

use portolan::{
    BoxError as PortolanError, Cluster, Endpoint, EndpointSet, Observer, PickContext, Picker,
    Placement, Policy, Resolution, Verdict,
    policy::{Candidates, Index, LeastRequest},
    source::{Teller, channel},
};
use portolan_benches::{
    BoxError, Figures, Goal, Run, endpoint, endpoints, restarts, short_criterion,
};
use tower::{Layer, Service, service_fn};

#[path = "support/api.rs"]
mod api;

const ENDPOINTS: u32 = 10_000;
/// The one that restarts.
const CHANGED: u32 = 5_017;
const CHANGES: u32 = 60;
const BURST: u32 = 1_000;
/// Longer than the driver rests after a change: each is the first after a quiet time.
const QUIET: Duration = Duration::from_millis(120);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let mut figures = Figures::new("change of one endpoint among 10,000, on one thread");
    told(&mut figures).await?;
    watched(&mut figures).await?;
    figures.print()?;
    // There is nothing here for criterion to repeat: a change is waited for, not run.
    short_criterion().final_summary();
    Ok(())
}

/// By a source that has the new set already: reconcile, build, publish.
async fn told(figures: &mut Figures) -> Result<(), BoxError> {
    let (teller, source) = channel();
    let mut set: Vec<Arc<Endpoint>> = endpoints(ENDPOINTS).map(Arc::new).collect();
    tell(&teller, &set);
    let (mut service, observer) = balanced(Cluster::from_source(source))?;
    let mut restarts = 0;
    let mut restart = || {
        restarts += 1;
        if let Some(place) = set.get_mut(CHANGED as usize) {
            *place = Arc::new(endpoint(CHANGED, restarts));
        }
        let next = EndpointSet::new(set.clone());
        let teller = &teller;
        (restarts, move || {
            teller.tell(Resolution::Present(next));
            Ok(())
        })
    };
    seen(&mut service, 0).await?;
    let mut times = Vec::new();
    for _ in 0..CHANGES {
        let (expected, event) = restart();
        times.push(change(&mut service, &observer, expected, event).await?);
    }
    report(figures, "a set is told", times);

    let before = observer.view().generation();
    let mut last = 0;
    let started = Instant::now();
    for _ in 0..BURST {
        let (expected, event) = restart();
        event()?;
        last = expected;
        tokio::task::yield_now().await;
    }
    let burst = started.elapsed();
    seen(&mut service, last).await?;
    let published = observer.view().generation() - before;
    figures.add(
        format!("snapshots for {BURST} changes in {} ms", burst.as_millis()),
        Some(published as f64),
        "",
        Goal::None,
    );
    Ok(())
}

/// By the Kubernetes API: a slice of 100 endpoints comes down the watch as JSON.
async fn watched(figures: &mut Figures) -> Result<(), BoxError> {
    // Made before: a real server's work is not done in the client's process, nor on its heap.
    let said = |times| api::Api::restarted(CHANGED, times);
    let changes: Vec<String> = (1..=CHANGES).map(said).collect();
    let burst: Vec<String> = (CHANGES + 1..=CHANGES + BURST).map(said).collect();
    let (api, client) = api::Api::start(ENDPOINTS);
    let cluster = Cluster::from_source(portolan_kube::Cluster::from(client));
    let (mut service, observer) = balanced(cluster)?;
    seen(&mut service, 0).await?;
    let mut times = Vec::new();
    for (expected, said) in (1..).zip(changes) {
        let event = || api.say(said).map_err(BoxError::from);
        times.push(change(&mut service, &observer, expected, event).await?);
    }
    report(figures, "a slice changes on the watch", times);

    let before = observer.view().generation();
    let started = Instant::now();
    for event in burst {
        api.say(event)?;
        tokio::task::yield_now().await;
    }
    let took = started.elapsed();
    seen(&mut service, CHANGES + BURST).await?;
    let published = observer.view().generation() - before;
    figures.add(
        format!("snapshots for {BURST} slices in {} ms", took.as_millis()),
        Some(published as f64),
        "",
        Goal::None,
    );
    Ok(())
}

/// From the event until a request sees it, after a quiet time.
async fn change(
    service: &mut impl Restarts,
    observer: &Observer,
    expected: u32,
    event: impl FnOnce() -> Result<(), BoxError>,
) -> Result<Run, BoxError> {
    tokio::time::sleep(QUIET).await;
    let before = observer.view().generation();
    let watch = Run::start();
    event()?;
    seen(service, expected).await?;
    let run = watch.stop();
    match observer.view().generation() - before {
        1 => Ok(run),
        snapshots => Err(format!("one change came as {snapshots} snapshots").into()),
    }
}

/// Sends requests until one is answered by the Pod that has restarted so many times.
async fn seen(service: &mut impl Restarts, expected: u32) -> Result<(), BoxError> {
    loop {
        if service.call(()).await.map_err(BoxError::from)? == Some(expected) {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

fn report(figures: &mut Figures, what: &str, mut runs: Vec<Run>) {
    let at = |runs: &[Run], share: f64| {
        let position = (runs.len().saturating_sub(1) as f64 * share).round() as usize;
        runs.get(position).copied()
    };
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let goal = Goal::AtMost(2.0);
    runs.sort_by_key(|run| run.wall);
    let (half, most) = (at(&runs, 0.5), at(&runs, 0.99));
    figures.add(
        format!("{what}, p50"),
        half.map(|run| millis(run.wall)),
        "ms",
        goal,
    );
    figures.add(
        format!("{what}, p99"),
        most.map(|run| millis(run.wall)),
        "ms",
        Goal::None,
    );
    runs.sort_by_key(|run| run.cpu);
    let half = at(&runs, 0.5);
    figures.add(
        format!("{what}, CPU, p50"),
        half.map(|run| millis(run.cpu)),
        "ms",
        goal,
    );
}

fn tell(teller: &Teller, set: &[Arc<Endpoint>]) {
    teller.tell(Resolution::Present(EndpointSet::new(set.to_vec())));
}

/// A service that answers how often the Pod that serves it has restarted.
trait Restarts: Service<(), Response = Option<u32>, Error = portolan::Error> {}

impl<S> Restarts for S where S: Service<(), Response = Option<u32>, Error = portolan::Error> {}

fn balanced(cluster: Cluster) -> Result<(impl Restarts, Observer), BoxError> {
    let layer = cluster
        .service("search.shop:http")?
        .policy(ToTheChanged)
        .layer()?;
    let service = layer.layer(|endpoint: &Endpoint| {
        let restarts = restarts(endpoint);
        service_fn(move |()| -> Ready<Result<Option<u32>, PortolanError>> { ready(Ok(restarts)) })
    });
    let observer = service.observe();
    Ok((service, observer))
}

/// Builds what the default policy builds, and sends every request to the endpoint that is changed.
#[derive(Debug)]
struct ToTheChanged;

#[derive(Debug)]
struct OnlyOne {
    index: Option<Index>,
    _default: Arc<dyn Picker>,
}

impl Policy for ToTheChanged {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let name = endpoint(CHANGED, 0).placement().clone();
        let found = candidates
            .as_slice()
            .binary_search_by(|one| Placement::cmp(one.endpoint.placement(), &name));
        Arc::new(OnlyOne {
            index: found.ok().map(|position| Index::new(position as u32)),
            _default: LeastRequest::new().build(candidates),
        })
    }
}

impl Picker for OnlyOne {
    fn pick(&self, _: &PickContext<'_>) -> Verdict {
        self.index.map_or(Verdict::Wait, Verdict::Use)
    }
}
