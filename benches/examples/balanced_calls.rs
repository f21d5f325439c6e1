//! So many balanced calls and nothing else, for a profiler: `balanced_calls [calls] [policy] [threads]`.
//!
//! Instructions do not vary with what else the machine does, as nanoseconds do. `benches/README.md`
//! says how they are counted.

use std::{convert::Infallible, future::ready, hint::black_box, thread};

use portolan::{Cluster, Endpoint, Policy, policy, source::Fixed};
use portolan_benches::{BoxError, endpoints};
use tower::{Layer, Service, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let calls: u64 = arguments.next().as_deref().unwrap_or("1000000").parse()?;
    let policy: Box<dyn Policy> = match arguments.next().as_deref() {
        None | Some("least-request") => Box::new(policy::LeastRequest::new()),
        Some("peak-ewma") => Box::new(policy::PeakEwma::new()),
        Some("round-robin") => Box::new(policy::RoundRobin::new()),
        Some("random") => Box::new(policy::Random::new()),
        Some(other) => return Err(format!("no policy `{other}`").into()),
    };
    let threads: usize = arguments.next().as_deref().unwrap_or("1").parse()?;
    let cluster = Cluster::from_source(Fixed::from_iter(endpoints(100)));
    let layer = cluster.service("search")?.policy(policy).layer()?;
    let mut service = layer.layer(|_: &Endpoint| service_fn(|()| ready(Ok::<(), Infallible>(()))));
    // The first one waits for discovery.
    service.call(()).await?;
    let others: Vec<_> = (1..threads)
        .map(|_| {
            let service = service.clone();
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build()?;
                runtime.block_on(send(service, calls))
            })
        })
        .collect();
    send(service, calls).await?;
    for other in others {
        other.join().map_err(|_| "a thread panicked")??;
    }
    Ok(())
}

async fn send<S>(mut service: S, calls: u64) -> Result<(), BoxError>
where
    S: Service<(), Error = portolan::Error>,
{
    for _ in 0..calls {
        black_box(service.call(()).await?);
    }
    Ok(())
}
