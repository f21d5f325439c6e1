//! A client that talks to a part of the endpoints only.

use std::{collections::BTreeSet, time::Duration};

use portolan::{
    BalancerBuilder, BuildError, Cluster, Endpoint, Nodes, Placement, Resolution, Routing,
    SourceError, SourceErrorKind,
    policy::{LeastRequest, RingHash},
    source::{Teller, channel},
    subset::{Aperture, Peers, RendezvousSubset, Subset},
};

use crate::{cluster_of, present};

/// A Pod of the client's own Service.
fn client(number: usize) -> Endpoint {
    let address = ([10, 1, 0, number as u8], 80).into();
    Endpoint::new(Placement::new(format!("client-{number:02}")), address)
}

fn clients(count: usize) -> Resolution {
    Resolution::Present((0..count).map(client).collect())
}

/// The client's own Service, about which nothing is said yet.
fn own_service() -> (Teller, BalancerBuilder) {
    let (teller, source) = channel();
    let cluster = Cluster::from_source(source);
    (teller, cluster.service("client.shop:http").unwrap())
}

fn names(nodes: &Nodes) -> BTreeSet<String> {
    let view = nodes.observe().view();
    let names = view
        .endpoints()
        .iter()
        .map(|one| one.endpoint.placement().to_string());
    names.collect()
}

/// Waits for the next snapshot.
async fn next(nodes: &Nodes, observer: &mut portolan::Observer) -> BTreeSet<String> {
    let changed = tokio::time::timeout(Duration::from_secs(60), observer.changed()).await;
    changed.expect("a snapshot").expect("a balancer");
    names(nodes)
}

/// Those that core would choose of 40 endpoints.
fn expected(subset: impl Into<portolan_core::subset::Subset>) -> BTreeSet<String> {
    let all = (0..40).map(crate::endpoint).map(std::sync::Arc::new);
    let mut all: Vec<_> = all
        .map(|endpoint| portolan::Candidate {
            state: std::sync::Arc::new(portolan::EndpointState::new(
                std::sync::Arc::clone(&endpoint),
                portolan::Measurement::default(),
            )),
            endpoint,
        })
        .collect();
    all.sort_by(|one, other| one.endpoint.placement().cmp(other.endpoint.placement()));
    let part = subset.into().of(&all.into());
    part.iter()
        .map(|one| one.endpoint.placement().to_string())
        .collect()
}

fn aperture(index: u32, count: u32) -> Aperture {
    Aperture::of(Peers::new(index, count).unwrap()).at_least(4)
}

#[tokio::test(start_paused = true)]
async fn requests_go_to_the_subset_and_the_explanation_says_who_is_not_in_it() {
    let (_teller, cluster) = cluster_of(0..40);
    let rendezvous = RendezvousSubset::of("client-3", 5);
    let nodes = cluster
        .service("db.shop")
        .unwrap()
        .subset(rendezvous)
        .nodes()
        .unwrap();
    let expected = expected(rendezvous);
    let mut served = BTreeSet::new();
    for _ in 0..200 {
        let lease = nodes.pick("").await.unwrap();
        served.insert(lease.endpoint().placement().to_string());
    }
    assert_eq!(served, expected);
    let explanation = nodes.explain(&Routing::new()).to_string();
    let told =
        "Subset: the 5 that draw the best lots for this client, which leaves 5 (and takes off ";
    assert!(explanation.contains(told), "{explanation}");
}

#[tokio::test(start_paused = true)]
async fn the_clients_own_service_says_which_of_its_peers_it_is() {
    let (_teller, cluster) = cluster_of(0..40);
    let (own, builder) = own_service();
    own.tell(clients(10));
    let subset = Subset::aperture_of(builder).as_pod("client-03").at_least(4);
    let nodes = cluster
        .service("db.shop")
        .unwrap()
        .subset(subset)
        .nodes()
        .unwrap();
    let mut observer = nodes.observe();
    // The first snapshot is that of the aperture: nothing was connected to before.
    assert_eq!(next(&nodes, &mut observer).await, expected(aperture(3, 10)));
    own.tell(clients(20));
    assert_eq!(next(&nodes, &mut observer).await, expected(aperture(3, 20)));
    // What cannot be followed, or is gone, leaves the client who it was.
    own.tell(Resolution::Failed(SourceError::new(
        SourceErrorKind::Unavailable,
        "no",
    )));
    own.tell(Resolution::Absent);
    own.tell(clients(3));
    own.tell(clients(8));
    assert_eq!(next(&nodes, &mut observer).await, expected(aperture(3, 8)));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_leaves_is_no_peer() {
    let (_teller, cluster) = cluster_of(0..40);
    let (own, builder) = own_service();
    let leaving =
        client(0).with_conditions(portolan::Conditions::new(Some(false), None, Some(true)));
    own.tell(Resolution::Present(
        [leaving, client(1), client(2)].into_iter().collect(),
    ));
    let subset = Subset::aperture_of(builder).as_pod("client-02").at_least(4);
    let nodes = cluster
        .service("db.shop")
        .unwrap()
        .subset(subset)
        .nodes()
        .unwrap();
    let mut observer = nodes.observe();
    assert_eq!(next(&nodes, &mut observer).await, expected(aperture(1, 2)));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_found_by_its_address_where_its_name_is_another() {
    let (_teller, cluster) = cluster_of(0..40);
    let (own, builder) = own_service();
    own.tell(clients(10));
    let address = client(7).address().ip();
    let subset = Subset::aperture_of(builder)
        .as_pod("node-1")
        .at_address(address)
        .at_least(4);
    let builder = cluster.service("db.shop").unwrap().subset(subset);
    let nodes = builder.nodes().unwrap();
    let mut observer = nodes.observe();
    assert_eq!(next(&nodes, &mut observer).await, expected(aperture(7, 10)));
}

#[tokio::test(start_paused = true)]
async fn who_is_none_of_its_peers_takes_as_many_by_its_name() {
    let (_teller, cluster) = cluster_of(0..40);
    let (own, builder) = own_service();
    own.tell(clients(10));
    let subset = Subset::aperture_of(builder).as_pod("stranger");
    let nodes = cluster
        .service("db.shop")
        .unwrap()
        .subset(subset)
        .nodes()
        .unwrap();
    let mut observer = nodes.observe();
    let rendezvous = RendezvousSubset::of("stranger", 12);
    assert_eq!(next(&nodes, &mut observer).await, expected(rendezvous));
}

#[tokio::test(start_paused = true)]
async fn an_own_service_that_says_nothing_is_waited_for_for_a_second() {
    let (_teller, cluster) = cluster_of(0..40);
    let (own, builder) = own_service();
    let subset = Subset::aperture_of(builder).as_pod("client-03").at_least(4);
    let nodes = cluster
        .service("db.shop")
        .unwrap()
        .subset(subset)
        .nodes()
        .unwrap();
    let start = tokio::time::Instant::now();
    let lease = nodes.pick("").await.unwrap();
    let waited = start.elapsed();
    assert!(
        (Duration::from_secs(1)..Duration::from_millis(1_100)).contains(&waited),
        "{waited:?}"
    );
    drop(lease);
    assert_eq!(
        names(&nodes),
        expected(RendezvousSubset::of("client-03", 4))
    );
    let mut observer = nodes.observe();
    let _ = observer.changed().await;
    own.tell(clients(10));
    assert_eq!(next(&nodes, &mut observer).await, expected(aperture(3, 10)));
}

#[tokio::test(start_paused = true)]
async fn a_policy_by_identity_has_all_endpoints() {
    let (_teller, cluster) = cluster_of(0..40);
    let policy = RingHash::new().without_key(LeastRequest::new());
    let builder = cluster.service("db.shop").unwrap().policy(policy);
    let nodes = builder
        .subset(RendezvousSubset::of("client-3", 5))
        .nodes()
        .unwrap();
    let mut observer = nodes.observe();
    assert_eq!(next(&nodes, &mut observer).await.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn the_subset_is_filled_up_when_endpoints_go() {
    let (teller, cluster) = cluster_of(0..40);
    let rendezvous = RendezvousSubset::of("client-3", 5);
    let nodes = cluster
        .service("db.shop")
        .unwrap()
        .subset(rendezvous)
        .nodes()
        .unwrap();
    let mut observer = nodes.observe();
    let before = next(&nodes, &mut observer).await;
    let gone = before.first().unwrap().clone();
    let number: u16 = gone.trim_start_matches("db-").parse().unwrap();
    teller.tell(present((0..40).filter(|one| *one != number)));
    let after = next(&nodes, &mut observer).await;
    assert_eq!((after.len(), before.intersection(&after).count()), (5, 4));
}

/// The tests run in no Pod.
#[tokio::test(start_paused = true)]
async fn who_does_not_know_itself_is_told_what_to_set() {
    let (_teller, cluster) = cluster_of(0..40);
    let (_own, own) = own_service();
    let builder = cluster.service("db.shop").unwrap();
    let built = builder.subset(Subset::aperture_of(own)).nodes();
    let known = ["POD_NAME", "POD_IP", "KUBERNETES_SERVICE_HOST"];
    if known.iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    match built {
        Err(
            error @ BuildError::Setting {
                setting: "subset", ..
            },
        ) => {
            assert!(error.to_string().contains("POD_NAME"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}
