//! A pick allocates nothing, and neither does a balanced request of its own.

use std::{convert::Infallible, future::ready, hint::black_box, sync::Arc, time::Duration};

use allocation_counter::measure;
use portolan::{Cluster, Endpoint, policy, source::Fixed};
use portolan_benches::{Retried, candidates, endpoint, endpoints, weighted_endpoints};
use portolan_core::{
    Freshness, InFlight, LoadReport, PickContext, Policy, Rate, Snapshot, Time, Utilization,
};
use tokio::runtime::Runtime;
use tower::{Layer, Service, service_fn};

#[test]
fn no_policy_allocates_in_a_pick() {
    let equal = candidates(endpoints(100));
    let weighted = candidates(weighted_endpoints(100));
    let report = LoadReport::default()
        .with_cpu_utilization(Utilization::new(0.5).unwrap())
        .with_requests_per_second(Rate::new(100.0).unwrap())
        .with_requests_in_flight(3);
    for one in equal.iter().chain(&weighted).step_by(2) {
        one.state.report_load(&report, Time::ORIGIN);
    }
    let policies: [&dyn Policy; 7] = [
        &policy::LeastRequest::new(),
        &policy::PeakEwma::new(),
        &policy::RoundRobin::new(),
        &policy::WeightedRoundRobin::new(),
        &policy::Random::new(),
        &policy::BackendWeighted::new().blackout(Duration::ZERO),
        &policy::Prequal::new(),
    ];
    for policy in policies {
        for candidates in [&equal, &weighted] {
            let picker = policy.build(candidates);
            let snapshot = Snapshot::new(1, candidates.clone(), picker, Freshness::Live, |_| ());
            let allocations = measure(|| {
                for millis in 0..3_000_u64 {
                    let entropy = millis.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let now = Time::ORIGIN + Duration::from_millis(millis);
                    black_box(snapshot.pick(&PickContext::new(now, entropy)));
                }
            });
            assert_eq!(allocations.count_total, 0, "{policy:?}");
        }
    }
}

/// Nor where the first host is full, and others of the key's order are looked at.
#[test]
fn no_policy_allocates_in_a_pick_by_a_key() {
    let equal = candidates((0..100).map(|one| endpoint(one, 0).with_ordinal(one)));
    let weighted = candidates(weighted_endpoints(100));
    let policies: [&dyn Policy; 7] = [
        &policy::RingHash::new(),
        &policy::RingHash::new().bounded_load(1.25),
        &policy::Maglev::new().bounded_load(1.25),
        &policy::Rendezvous::new().bounded_load(1.25),
        &policy::JumpHash::new().bounded_load(1.25),
        &policy::GrpcRingHash::by_address().bounded_load(1.25),
        &policy::Ketama::by_placement().bounded_load(1.25),
    ];
    for policy in policies {
        for candidates in [&equal, &weighted] {
            let picker = policy.build(candidates);
            let busy = candidates.iter().take(50);
            let requests: Vec<_> = busy
                .map(|one| InFlight::begin(Arc::clone(&one.state)))
                .collect();
            let allocations = measure(|| {
                for entropy in 0..1_000_u64 {
                    let entropy = entropy.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let key = entropy.to_le_bytes();
                    let context = PickContext::new(Time::ORIGIN, entropy).with_key(&key);
                    black_box(picker.pick(&context));
                }
            });
            assert_eq!(allocations.count_total, 0, "{policy:?}");
            drop(requests);
        }
    }
}

#[test]
fn a_request_that_is_served_at_once_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let cluster = Cluster::from_source(Fixed::from_iter(endpoints(100)));
    let serve = |_: &Endpoint| service_fn(|()| ready(Ok::<(), Infallible>(())));
    let layer = cluster.service("search").unwrap().layer().unwrap();
    allocates_nothing(&runtime, layer.layer(serve)).unwrap();
    let builder = cluster.service("search").unwrap().resilient();
    let service = builder
        .max_in_flight_per_endpoint(100)
        .build_with(serve, Retried);
    allocates_nothing(&runtime, service.unwrap()).unwrap();
}

fn allocates_nothing<S>(runtime: &Runtime, mut service: S) -> Result<(), portolan::Error>
where
    S: Service<(), Response = (), Error = portolan::Error>,
{
    // The first one waits for discovery, and each thread's first load makes arc-swap's node for it.
    runtime.block_on(service.call(()))?;
    let requests = |service: &mut S, times| -> Result<(), portolan::Error> {
        runtime.block_on(async {
            for _ in 0..times {
                service.call(()).await?;
            }
            Ok(())
        })
    };
    let (mut hundred, mut thousand) = (Ok(()), Ok(()));
    let of_hundred = measure(|| hundred = requests(&mut service, 100)).count_total;
    let of_thousand = measure(|| thousand = requests(&mut service, 1_000)).count_total;
    // What entering the runtime takes does not grow with the requests.
    assert_eq!(of_hundred, of_thousand);
    hundred.and(thousand)
}
