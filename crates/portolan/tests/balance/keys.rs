//! Requests about a key.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use portolan::{
    Endpoint, Placement, Policy, Resolution, Routing,
    policy::{ClientAffinity, LeastRequest, RingHash, RoundRobin, Shard, Sharding, Shards},
};
use tower::ServiceExt;

use crate::{cluster_of, named};

/// `db-0` to `db-4`, in their first life or another: of another UID and address.
fn in_life(life: u16) -> Resolution {
    let endpoint = |ordinal: u16| {
        let address = ([127, 0, 0, 1], 1 + 10 * life + ordinal).into();
        Endpoint::new(Placement::new(format!("db-{ordinal}")), address)
            .with_uid(format!("uid-{ordinal}-{life}"))
    };
    Resolution::Present((0..5).map(endpoint).collect())
}

#[tokio::test(start_paused = true)]
async fn a_key_stays_where_it_is_through_a_restart_of_all() {
    let (teller, cluster) = cluster_of([]);
    let builder = cluster.service("db").unwrap().policy(RingHash::new());
    let nodes = builder.nodes().unwrap();
    let mut observer = nodes.observe();
    let mut lives = Vec::new();
    for life in 0..2 {
        teller.tell(in_life(life));
        let uid = format!("uid-0-{life}");
        let is_known = |view: &portolan::View| {
            let mut endpoints = view.endpoints().iter();
            endpoints.any(|one| one.endpoint.uid().is_some_and(|one| *one == *uid))
        };
        while !is_known(&observer.view()) {
            observer.changed().await.unwrap();
        }
        let mut places = Vec::new();
        for key in 0..100_u32 {
            let lease = nodes.pick(key.to_be_bytes()).await.unwrap();
            assert!(
                lease
                    .endpoint()
                    .uid()
                    .unwrap()
                    .to_string()
                    .ends_with(&life.to_string())
            );
            places.push(lease.endpoint().placement().clone());
        }
        lives.push(places);
    }
    assert_eq!(lives[0], lives[1]);
}

#[tokio::test(start_paused = true)]
async fn what_a_lease_holds_counts_as_load() {
    let (_teller, cluster) = cluster_of(0..5);
    let builder = cluster.service("db").unwrap();
    let nodes = builder.policy(RingHash::new().bounded_load(1.25)).nodes();
    let nodes = nodes.unwrap();
    let mut leases = Vec::new();
    for _ in 0..100 {
        leases.push(nodes.pick("the one that all want").await.unwrap());
    }
    let view = nodes.observe().view();
    let loads: Vec<_> = view
        .endpoints()
        .iter()
        .map(|one| one.state.in_flight())
        .collect();
    assert_eq!(loads.iter().max(), Some(&25), "{loads:?}");
    assert_eq!(
        loads.iter().filter(|load| **load == 25).count(),
        4,
        "the fifth in order is idle"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_key_says_what_is_missing() {
    let (_teller, cluster) = cluster_of(0..3);
    let of = |policy: RingHash| named(cluster.service("db").unwrap().policy(policy));
    let error = of(RingHash::new()).oneshot(()).await.unwrap_err();
    assert!(error.to_string().contains("needs a key"), "{error}");
    of(RingHash::new().without_key(LeastRequest::new()))
        .oneshot(())
        .await
        .unwrap();
}

/// Three Pods of each of two shards.
fn of_two_shards() -> Resolution {
    let endpoint = |number: u16| {
        let address = ([127, 0, 0, 1], 1 + number).into();
        Endpoint::new(Placement::new(format!("db-{number}")), address)
            .with_labels([("shard", (number % 2).to_string())])
    };
    Resolution::Present((0..6).map(endpoint).collect())
}

#[tokio::test(start_paused = true)]
async fn the_key_decides_the_shard_and_the_client_who_of_it() {
    let shards = || Shard::by_label("shard", Shards::fixed(2)).keys(Sharding::number());
    let hour = Duration::from_secs(3600);
    for policy in [
        Arc::new(shards().over(ClientAffinity::over(RoundRobin::new()).always(hour)))
            as Arc<dyn Policy>,
        Arc::new(ClientAffinity::over(shards().over(RoundRobin::new())).always(hour)),
    ] {
        let (teller, cluster) = cluster_of([]);
        teller.tell(of_two_shards());
        let nodes = cluster.service("db").unwrap().policy(policy).nodes();
        let nodes = nodes.unwrap();
        let mut met = BTreeMap::new();
        for round in 0..60_u8 {
            let (key, client) = (round % 4, [round % 5]);
            let routing = Routing::key(key.to_string()).with_client(&client);
            // To ask why changes nothing.
            let why = nodes.explain(&routing);
            let lease = nodes.pick_for(routing).await.unwrap();
            let placement = lease.endpoint().placement().clone();
            assert_eq!(
                lease.endpoint().label("shard"),
                Some(&*(key % 2).to_string())
            );
            let place = met.entry((client, key % 2)).or_insert(placement.clone());
            assert_eq!(*place, placement, "{why}");
        }
        assert_eq!(met.len(), 10);
    }
}
