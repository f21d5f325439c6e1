//! Leases of bare nodes, and what becomes of their endpoints.

use std::time::Duration;

use portolan::{
    Cluster, Endpoint, Nodes, Placement,
    policy::{PeakEwma, RoundRobin},
    source::Fixed,
};
use tokio::net::TcpListener;

use crate::cluster_of;

/// Requests and failures of the only endpoint, and how many failed in a row.
fn counts(nodes: &Nodes) -> (u64, u64, u32) {
    let view = nodes.observe().view();
    let state = &view.endpoints()[0].state;
    (
        state.requests(),
        state.failures(),
        state.consecutive_failures(),
    )
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_a_lease_is_recorded_once() {
    let (_teller, cluster) = cluster_of([0]);
    let builder = cluster.service("db").unwrap().policy(PeakEwma::new());
    let nodes = builder.nodes().unwrap();

    let mut lease = nodes.pick("a").await.unwrap();
    tokio::time::advance(Duration::from_millis(20)).await;
    lease.succeed();
    lease.succeed();
    assert_eq!(counts(&nodes), (1, 0, 0));
    let view = nodes.observe().view();
    let latency = view.endpoints()[0].state.latency(view.taken_at()).unwrap();
    assert!(latency.abs_diff(Duration::from_millis(20)) < Duration::from_millis(1));
    assert_eq!(
        view.endpoints()[0].state.in_flight(),
        1,
        "until it is dropped"
    );
    drop(lease);
    assert_eq!(view.endpoints()[0].state.in_flight(), 0);

    let mut lease = nodes.pick("a").await.unwrap();
    lease.fail();
    lease.fail();
    lease.succeed();
    drop(lease);
    assert_eq!(counts(&nodes), (2, 1, 1), "the first word counts");

    let mut lease = nodes.pick("a").await.unwrap();
    lease.succeed();
    lease.fail();
    drop(lease);
    assert_eq!(
        counts(&nodes),
        (3, 2, 1),
        "it began well, and is one request"
    );

    drop(nodes.pick("a").await.unwrap());
    assert_eq!(counts(&nodes), (3, 2, 1), "cancelled");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_said_to_be_unreachable_is_left_out_until_it_is_dialled() {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let (up, down) = (bind().await.unwrap(), bind().await.unwrap());
    let address = down.local_addr().unwrap();
    drop(down);
    let cluster = Cluster::from_source(Fixed::from_iter([
        Endpoint::new(Placement::new("db-0"), up.local_addr().unwrap()),
        Endpoint::new(Placement::new("db-1"), address),
    ]));
    let builder = cluster.service("db").unwrap().policy(RoundRobin::new());
    let nodes = builder.nodes().unwrap();
    let mut observer = nodes.observe();
    observer.changed().await.unwrap();
    loop {
        let lease = nodes.pick("a").await.unwrap();
        if lease.address() == address {
            nodes.unreachable(lease);
            break;
        }
    }
    let view = observer.changed().await.unwrap();
    let left: Vec<_> = view
        .endpoints()
        .iter()
        .map(|one| one.endpoint.address())
        .collect();
    assert_eq!(left, [up.local_addr().unwrap()]);
    for _ in 0..10 {
        assert_ne!(nodes.pick("a").await.unwrap().address(), address);
    }
    // Nobody sends anything: it is dialled all the same.
    let _listener = TcpListener::bind(address).await.unwrap();
    let view = observer.changed().await.unwrap();
    assert_eq!(view.endpoints().len(), 2);
    assert!(observer.counters().probes >= 1);
    let state = &view.endpoints()[1].state;
    assert_eq!(
        (state.requests(), state.failures(), state.in_flight()),
        (1, 1, 0)
    );
}
