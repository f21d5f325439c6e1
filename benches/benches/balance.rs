//! The balanced service over services that do nothing, against the balancer of tower that can be
//! cloned: `tower::balance::p2c` with `PeakEwma`, behind a `Buffer`.

use std::{
    convert::Infallible,
    future::{Ready, poll_fn, ready},
    hint::black_box,
    time::Duration,
};

use futures::{StreamExt, future::try_join_all, stream};
use portolan::{Cluster, Endpoint, policy, source::Fixed};
use portolan_benches::{
    BoxError, Contender, Figures, Goal, Retried, Run, Together, alone_and_together, compare,
    criterion, endpoints, short_criterion,
};
use tokio::runtime::Runtime;
use tower::{
    Layer, Service,
    balance::p2c,
    buffer::Buffer,
    discover::Change,
    load::{CompleteOnResponse, PeakEwma},
    service_fn,
};

const ENDPOINTS: u32 = 100;
const ROUNDS: usize = 150;
/// Runs of two threads at once, and how many requests each of the two makes: a tenth of a millisecond.
const PAIRS: usize = 4_000;
const TURNS: u64 = 600;

fn main() -> Result<(), BoxError> {
    let one = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let entered = one.enter();
    let ours = balanced(policy::LeastRequest::new())?;
    let ours_ewma = balanced(policy::PeakEwma::new())?;
    let ours_resilient = resilient()?;
    let ours_shared = balanced(policy::LeastRequest::new())?;
    let towers = tower_p2c();
    drop(entered);

    let mut contenders = [
        on_one("portolan, least request", &one, &ours, 1),
        on_one("portolan, least request, 64 at once", &one, &ours, 64),
        on_one("portolan, peak EWMA", &one, &ours_ewma, 1),
        on_one(
            "portolan, least request, resilient",
            &one,
            &ours_resilient,
            1,
        ),
        on_one("tower p2c + Buffer", &one, &towers, 1),
        on_one("tower p2c + Buffer, 64 at once", &one, &towers, 64),
    ];
    criterion(&mut short_criterion(), "balance", &mut contenders)?;
    let costs = compare(ROUNDS, &mut contenders)?;

    let mut figures = Figures::new("balance, CPU per request, 100 endpoints");
    costs.iter().for_each(|cost| figures.add_cost(cost));
    let [ours, ours_64, _, resilient, towers, towers_64] = &costs[..] else {
        return Err("a contender is missing".into());
    };
    let eighth = Goal::AtMost(1.0 / 8.0);
    figures.add(
        "of tower's, one at a time",
        ours.ratio_to(towers),
        "",
        eighth,
    );
    figures.add(
        "of tower's, 64 at once",
        ours_64.ratio_to(towers_64),
        "",
        eighth,
    );

    figures.add(
        "retry, outliers, breaker, slow start: added",
        resilient.difference_to(ours),
        "ns",
        Goal::AtMost(150.0),
    );

    let two = on_two_threads("portolan", &one, &ours_shared)?;
    for cost in [&two.alone, &two.cpu, &two.elapsed] {
        figures.add_cost(cost);
    }
    // A measurement of one and the same thing varies by this much.
    figures.add(
        "4 tasks on 2 threads, elapsed, of 1 task",
        two.elapsed.ratio_to(&two.alone),
        "",
        Goal::AtMost(1.05),
    );
    figures.print()?;
    Ok(())
}

type Nothing = Ready<Result<(), Infallible>>;

fn nothing()
-> impl Service<(), Response = (), Error = Infallible, Future = Nothing> + Clone + Send + Sync + 'static
{
    service_fn(|()| ready(Ok(())))
}

fn balanced(
    policy: impl portolan::Policy + 'static,
) -> Result<impl Requests, portolan::BuildError> {
    let cluster = Cluster::from_source(Fixed::from_iter(endpoints(ENDPOINTS)));
    let layer = cluster.service("search")?.policy(policy).layer()?;
    Ok(layer.layer(|_: &Endpoint| nothing()))
}

/// All that [`resilient`](portolan::BalancerBuilder::resilient) switches on, with a limit for each endpoint, for requests
/// that may be retried.
fn resilient() -> Result<impl Requests, portolan::BuildError> {
    let cluster = Cluster::from_source(Fixed::from_iter(endpoints(ENDPOINTS)));
    let builder = cluster.service("search")?.resilient();
    let builder = builder.max_in_flight_per_endpoint(100);
    builder.build_with(|_: &Endpoint| nothing(), Retried)
}

fn tower_p2c() -> impl Requests {
    let members = (0..ENDPOINTS).map(|number| {
        let service = PeakEwma::new(
            nothing(),
            Duration::from_secs(1),
            Duration::from_secs(10).as_nanos() as f64,
            CompleteOnResponse::default(),
        );
        Ok::<_, Infallible>(Change::Insert(number, service))
    });
    // It ends in a pending stream, as any discovery does.
    let discovery = stream::iter(members).chain(stream::pending());
    Buffer::new(p2c::Balance::new(Box::pin(discovery)), 1024)
}

/// What is compared: services that tasks can have a clone of each.
trait Requests:
    Service<(), Response = (), Error: Into<BoxError> + Send, Future: Send> + Clone + Send + 'static
{
}

impl<S> Requests for S where
    S: Service<(), Response = (), Error: Into<BoxError> + Send, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// One task on one thread, with so many requests at once.
fn on_one<'a>(
    name: &str,
    runtime: &'a Runtime,
    service: &'a impl Requests,
    at_once: u64,
) -> Contender<'a> {
    Contender::new(name, move |turns| {
        let (run, done) = Run::of(|| {
            runtime.block_on(requests(service.clone(), turns.div_ceil(at_once), at_once))
        });
        done?;
        Ok(run)
    })
}

/// Two threads at once, with two tasks each. The driver stays on the runtime that it was started on.
fn on_two_threads(
    name: &str,
    drivers: &Runtime,
    service: &(impl Requests + Sync),
) -> Result<Together, BoxError> {
    // The first request waits for discovery.
    drivers.block_on(requests(service.clone(), 1, 1))?;
    alone_and_together(name, PAIRS, TURNS, || {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let mut services = [service.clone(), service.clone()];
        Ok(move |tasks: u64, turns: u64| {
            let tasks = services
                .iter_mut()
                .take(tasks as usize)
                .map(|service| repeat(service, turns / tasks, 1));
            runtime.block_on(try_join_all(tasks)).map(drop)
        })
    })
}

async fn requests(mut service: impl Requests, times: u64, at_once: u64) -> Result<(), BoxError> {
    repeat(&mut service, times, at_once).await
}

async fn repeat(service: &mut impl Requests, times: u64, at_once: u64) -> Result<(), BoxError> {
    let mut responses = Vec::new();
    for _ in 0..times {
        for _ in 0..at_once {
            poll_fn(|cx| service.poll_ready(cx))
                .await
                .map_err(Into::into)?;
            responses.push(service.call(()));
        }
        for response in responses.drain(..) {
            black_box(response.await.map_err(Into::into)?);
        }
    }
    Ok(())
}
