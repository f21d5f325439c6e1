//! So many balanced calls and nothing else, for a profiler: `balanced_calls [calls] [policy]`.
//!
//! Instructions do not vary with what else the machine does, as nanoseconds do. `benches/README.md`
//! says how they are counted.

use std::{convert::Infallible, future::ready, hint::black_box};

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
    let cluster = Cluster::from_source(Fixed::from_iter(endpoints(100)));
    let layer = cluster.service("search")?.policy(policy).layer()?;
    let mut service = layer.layer(|_: &Endpoint| service_fn(|()| ready(Ok::<(), Infallible>(()))));
    for _ in 0..calls {
        black_box(service.call(()).await?);
    }
    Ok(())
}
