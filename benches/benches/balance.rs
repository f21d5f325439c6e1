//! The balanced service over services that do nothing, against the balancer of tower that can be
//! cloned: `tower::balance::p2c` with `PeakEwma`, behind a `Buffer`.

use std::{
    convert::Infallible,
    future::{Ready, poll_fn, ready},
    hint::black_box,
    time::Duration,
};

use futures::{StreamExt, stream};
use portolan::{Cluster, Endpoint, policy, source::Fixed};
use portolan_benches::{
    BoxError, Contender, Figures, Goal, Run, compare, criterion, endpoints, short_criterion,
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

fn main() -> Result<(), BoxError> {
    let one = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let two = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;

    let _entered = one.enter();
    let ours = balanced(policy::LeastRequest::new())?;
    let ours_ewma = balanced(policy::PeakEwma::new())?;
    let towers = tower_p2c();
    drop(_entered);
    let entered = two.enter();
    let ours_two = balanced(policy::LeastRequest::new())?;
    let towers_two = tower_p2c();
    drop(entered);

    let mut contenders = [
        on_one("portolan, least request", &one, &ours, 1),
        on_one("portolan, least request, 64 at once", &one, &ours, 64),
        on_one("portolan, peak EWMA", &one, &ours_ewma, 1),
        on_one("tower p2c + Buffer", &one, &towers, 1),
        on_one("tower p2c + Buffer, 64 at once", &one, &towers, 64),
        on_two("portolan, 1 task", &two, &ours_two, 1),
        on_two("portolan, 4 tasks on 2 threads", &two, &ours_two, 4).overlapping(1.8),
        on_two(
            "tower p2c + Buffer, 4 tasks on 2 threads",
            &two,
            &towers_two,
            4,
        ),
    ];
    criterion(&mut short_criterion(), "balance", &mut contenders)?;
    let costs = compare(ROUNDS, &mut contenders)?;

    let mut figures = Figures::new("balance, CPU per request, 100 endpoints");
    costs.iter().for_each(|cost| figures.add_cost(cost));
    let [
        ours,
        ours_64,
        _,
        towers,
        towers_64,
        alone,
        together,
        towers_together,
    ] = &costs[..]
    else {
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
        "of tower's, 4 tasks on 2 threads",
        together.ratio_to(towers_together),
        "",
        eighth,
    );
    // A measurement of one and the same thing varies by this much.
    figures.add(
        "4 tasks on 2 threads, of 1 task",
        together.ratio_to(alone),
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

/// So many tasks on two threads, with one request at a time each.
fn on_two<'a>(
    name: &str,
    runtime: &'a Runtime,
    service: &'a impl Requests,
    tasks: u64,
) -> Contender<'a> {
    Contender::new(name, move |turns| {
        let (run, done) = Run::of(|| {
            let tasks: Vec<_> = (0..tasks)
                .map(|_| runtime.spawn(requests(service.clone(), turns / tasks, 1)))
                .collect();
            runtime.block_on(async {
                for task in tasks {
                    task.await??;
                }
                Ok::<_, BoxError>(())
            })
        });
        done?;
        Ok(run)
    })
}

async fn requests(mut service: impl Requests, times: u64, at_once: u64) -> Result<(), BoxError> {
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
