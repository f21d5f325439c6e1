//! What a source says, and what requests get to know of it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::Stream;
use portolan::{
    Cluster, Conditions, Endpoint, EndpointSet, ErrorKind, MakeEndpoint, Reachability, Resolution,
    ServiceRef, Source, SourceError, SourceErrorKind, Wait,
    policy::RoundRobin,
    source::{Channel, channel},
};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};

use crate::{Named, cluster_of, endpoint, named, present, until_served_by};

#[tokio::test(start_paused = true)]
async fn the_first_request_waits_for_discovery_and_changes_are_followed() {
    let (teller, source) = channel();
    let service = named(
        Cluster::from_source(source)
            .service("db.shop:client")
            .unwrap()
            .policy(RoundRobin::new()),
    );
    let first = tokio::spawn(service.clone().oneshot(()));
    tokio::task::yield_now().await;
    teller.tell(present([0]));
    assert_eq!(first.await.unwrap().unwrap(), "db-0");
    teller.tell(present(0..3));
    until_served_by(&service, &["db-0", "db-1", "db-2"]).await;
    teller.tell(present([2]));
    until_served_by(&service, &["db-2"]).await;
}

#[tokio::test(start_paused = true)]
async fn terminating_endpoints_get_nothing_new_unless_they_are_all_that_is_left() {
    let (teller, cluster) = cluster_of(0..2);
    let service = named(cluster.service("db").unwrap().policy(RoundRobin::new()));
    until_served_by(&service, &["db-0", "db-1"]).await;
    let terminating = Conditions::new(Some(false), Some(true), Some(true));
    let set: EndpointSet = [endpoint(0).with_conditions(terminating), endpoint(1)]
        .into_iter()
        .collect();
    teller.tell(Resolution::Present(set));
    until_served_by(&service, &["db-1"]).await;
    let set: EndpointSet = [endpoint(0).with_conditions(terminating)]
        .into_iter()
        .collect();
    teller.tell(Resolution::Present(set));
    until_served_by(&service, &["db-0"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_source_takes_nothing_away_and_an_empty_list_does() {
    let (teller, cluster) = cluster_of([0]);
    let service = named(
        cluster
            .service("db.shop")
            .unwrap()
            .wait(Wait::UpTo(Duration::from_secs(1))),
    );
    until_served_by(&service, &["db-0"]).await;
    teller.tell(Resolution::Failed(SourceError::new(
        SourceErrorKind::Unavailable,
        "no answer",
    )));
    until_served_by(&service, &["db-0"]).await;

    teller.tell(present([]));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let started = Instant::now();
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert_eq!(started.elapsed(), Duration::from_secs(1));
    assert!(
        matches!(error.kind(), ErrorKind::NoEndpoints { .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .starts_with("db.shop: no endpoint is ready"),
        "{error}"
    );

    teller.tell(Resolution::Absent);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NotFound { .. }),
        "{error}"
    );

    teller.tell(Resolution::Failed(SourceError::new(
        SourceErrorKind::Unavailable,
        "no answer",
    )));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("discovery has been failing for 1.001s: no answer"),
        "{error}"
    );

    teller.tell(present([1]));
    until_served_by(&service, &["db-1"]).await;
}

#[tokio::test(start_paused = true)]
async fn fail_fast_waits_for_the_first_word_only() {
    let (teller, source) = channel();
    let service = named(
        Cluster::from_source(source)
            .service("db")
            .unwrap()
            .wait(Wait::FailFast),
    );
    let first = tokio::spawn(service.clone().oneshot(()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let told = Instant::now();
    teller.tell(present([]));
    let error = first.await.unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NoEndpoints { .. }),
        "{error}"
    );
    assert!(told.elapsed() < Duration::from_secs(1), "{error}");
    let started = Instant::now();
    service.clone().oneshot(()).await.unwrap_err();
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_cannot_be_answered_fails_at_once() {
    let (teller, source) = channel();
    let service = named(Cluster::from_source(source).service("db:nope").unwrap());
    teller.tell(Resolution::Failed(SourceError::new(
        SourceErrorKind::Invalid,
        "no port `nope`: it has `client`",
    )));
    let started = Instant::now();
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Discovery);
    assert!(error.to_string().contains("it has `client`"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(1));
}

/// A channel that remembers which Services were suspected.
#[derive(Clone, Debug)]
struct Suspected(Channel, Arc<Mutex<Vec<String>>>);

impl Source for Suspected {
    fn watch(&self, service: &ServiceRef) -> Pin<Box<dyn Stream<Item = Resolution> + Send>> {
        self.0.watch(service)
    }

    fn suspect(&self, service: &ServiceRef) {
        self.1.lock().unwrap().push(service.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn the_source_is_told_of_connections_that_fail_and_of_nothing_else() {
    let (teller, source) = channel();
    teller.tell(present(0..2));
    let source = Suspected(source, Arc::default());
    let suspected = Arc::clone(&source.1);
    let nodes = Cluster::from_source(source)
        .service("db.shop:client")
        .unwrap()
        .nodes()
        .unwrap();
    let mut lease = nodes.pick("").await.unwrap();
    lease.succeed();
    drop(lease);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(suspected.lock().unwrap().is_empty());
    let lease = nodes.pick("").await.unwrap();
    nodes.unreachable(lease);
    // The driver does it in a task of its own, and time goes on when that has nothing left to do.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(*suspected.lock().unwrap(), ["db.shop:client"]);
}

/// Services that connect by themselves, of which the test says whether they can.
#[derive(Clone, Default)]
struct Connecting(Arc<Mutex<Vec<Reachability>>>);

impl MakeEndpoint for Connecting {
    type Service = Named;

    fn make(&self, endpoint: &Endpoint, reachability: Reachability) -> Named {
        self.0.lock().unwrap().push(reachability);
        Named(endpoint.placement().to_string())
    }

    fn heals(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn the_source_is_told_where_a_client_finds_by_itself_that_it_cannot_connect() {
    let (teller, source) = channel();
    teller.tell(present(0..2));
    let source = Suspected(source, Arc::default());
    let suspected = Arc::clone(&source.1);
    let connecting = Connecting::default();
    let service = Cluster::from_source(source)
        .service("db.shop")
        .unwrap()
        .policy(RoundRobin::new())
        .layer()
        .unwrap()
        .layer(connecting.clone());
    until_served_by(&service, &["db-0", "db-1"]).await;
    let first = connecting.0.lock().unwrap()[0].clone();
    first.not_reached();
    until_served_by(&service, &["db-1"]).await;
    assert_eq!(suspected.lock().unwrap().len(), 1);
    first.reached();
    until_served_by(&service, &["db-0", "db-1"]).await;
    assert_eq!(suspected.lock().unwrap().len(), 1, "that is no failure");
}
