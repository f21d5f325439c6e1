//! The end of a client: what is new is refused, what is under way is waited for.

use std::time::Duration;

use portolan::{Drained, Error, ErrorKind, Lease, Nodes, policy::RoundRobin, source::channel};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{cluster_of, present};

const SECOND: Duration = Duration::from_secs(1);

async fn nodes() -> (portolan::source::Teller, Nodes) {
    let (teller, cluster) = cluster_of(0..2);
    let builder = cluster.service("db.shop").unwrap();
    let nodes = builder.policy(RoundRobin::new()).nodes().unwrap();
    nodes.observe().changed().await.unwrap();
    (teller, nodes)
}

fn shut_down(nodes: &Nodes, within: Duration) -> JoinHandle<Drained> {
    let nodes = nodes.clone();
    tokio::spawn(async move { nodes.shutdown(within).await })
}

fn refused(picked: Result<Lease, Error>) {
    assert_eq!(picked.unwrap_err().kind(), &ErrorKind::ShutDown);
}

#[tokio::test(start_paused = true)]
async fn what_is_new_is_refused_at_once_and_what_is_in_flight_is_waited_for() {
    let (_teller, nodes) = nodes().await;
    let mut observer = nodes.observe();
    let leases = [nodes.pick("").await.unwrap(), nodes.pick("").await.unwrap()];
    let started = Instant::now();
    let shutdown = shut_down(&nodes, 30 * SECOND);
    sleep(SECOND).await;
    refused(nodes.pick("").await);
    refused(nodes.clone().pick("").await);
    let [first, second] = leases;
    drop(first);
    sleep(SECOND).await;
    assert!(!shutdown.is_finished());
    drop(second);
    assert_eq!(shutdown.await.unwrap().left, 0);
    assert!(started.elapsed() < 3 * SECOND, "no longer than needed");
    refused(nodes.pick("").await);
    while observer.changed().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn it_takes_no_longer_than_it_may_and_says_how_many_are_left() {
    let (_teller, nodes) = nodes().await;
    let leases = [nodes.pick("").await.unwrap(), nodes.pick("").await.unwrap()];
    let started = Instant::now();
    assert_eq!(nodes.shutdown(3 * SECOND).await.left, 2);
    assert!(started.elapsed() >= 3 * SECOND && started.elapsed() < 4 * SECOND);
    // Those are counted still when somebody asks again, be it at once.
    sleep(SECOND).await;
    assert_eq!(nodes.shutdown(Duration::ZERO).await.left, 2);
    drop(leases);
    assert_eq!(nodes.shutdown(SECOND).await.left, 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_an_endpoint_is_under_way() {
    let (teller, source) = channel();
    teller.tell(present([]));
    let cluster = portolan::Cluster::from_source(source);
    let nodes = cluster.service("db.shop").unwrap().nodes().unwrap();
    let waiting = tokio::spawn({
        let nodes = nodes.clone();
        async move { nodes.pick("").await }
    });
    sleep(SECOND).await;
    let shutdown = shut_down(&nodes, 30 * SECOND);
    sleep(SECOND).await;
    assert!(!shutdown.is_finished());
    teller.tell(present([0]));
    let lease = waiting.await.unwrap().unwrap();
    sleep(SECOND).await;
    assert!(!shutdown.is_finished());
    drop(lease);
    assert_eq!(shutdown.await.unwrap().left, 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_in_vain_is_told_when_the_time_is_up() {
    let (teller, source) = channel();
    teller.tell(present([]));
    let cluster = portolan::Cluster::from_source(source);
    let nodes = cluster.service("db.shop").unwrap().nodes().unwrap();
    let waiting = tokio::spawn({
        let nodes = nodes.clone();
        async move { nodes.pick("").await }
    });
    sleep(SECOND).await;
    let drained = nodes.shutdown(SECOND).await;
    assert_eq!(drained.left, 1);
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_at_an_endpoint_that_is_gone_is_waited_for_too() {
    let (teller, nodes) = nodes().await;
    let leases = [nodes.pick("").await.unwrap(), nodes.pick("").await.unwrap()];
    teller.tell(present([7]));
    sleep(SECOND).await;
    teller.tell(present([8]));
    sleep(SECOND).await;
    let another = nodes.pick("").await.unwrap();
    assert_eq!(nodes.shutdown(SECOND).await.left, 3);
    drop(leases);
    drop(another);
    assert_eq!(nodes.shutdown(SECOND).await.left, 0);
}
