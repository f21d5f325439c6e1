//! Sources that are made of others, and what becomes of connections and measurements.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portolan::{
    Candidate, Cluster, Endpoint, Freshness, Resolution, SourceError, SourceErrorKind,
    source::{channel, first_of},
};
use tokio::time::sleep;
use tower::{Layer, ServiceExt};

use crate::{Named, endpoint, present, until_served_by};

fn failed(why: &str) -> Resolution {
    Resolution::Failed(SourceError::new(SourceErrorKind::Unavailable, why))
}

/// As DNS tells them: names and addresses.
fn by_dns(ordinals: impl IntoIterator<Item = u16>) -> Resolution {
    let without_uid = |ordinal| {
        let endpoint = endpoint(ordinal);
        Endpoint::new(endpoint.placement().clone(), endpoint.address())
    };
    Resolution::Present(ordinals.into_iter().map(without_uid).collect())
}

#[tokio::test(start_paused = true)]
async fn from_the_api_to_dns_and_back_no_connection_and_no_measurement_is_lost() {
    let (api, kube) = channel();
    let (zone, dns) = channel();
    api.tell(present(0..3));
    let made = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&made);
    let service = Cluster::from_source(first_of(kube, dns))
        .service("db")
        .unwrap()
        .layer()
        .unwrap()
        .layer(move |endpoint: &Endpoint| {
            counting.fetch_add(1, Ordering::Relaxed);
            Named(endpoint.placement().to_string())
        });
    until_served_by(&service, &["db-0", "db-1", "db-2"]).await;
    let observer = service.observe();
    let states = || -> Vec<_> {
        let state = |one: &Candidate| Arc::as_ptr(&one.state);
        observer.view().endpoints().iter().map(state).collect()
    };
    let before = states();

    // The API is gone, and a fourth Pod comes meanwhile.
    api.tell(failed("connection refused"));
    zone.tell(by_dns(0..4));
    sleep(Duration::from_secs(1)).await;
    assert!(matches!(
        observer.view().freshness(),
        Freshness::Stale { .. }
    ));
    until_served_by(&service, &["db-0", "db-1", "db-2"]).await;
    sleep(Duration::from_secs(5)).await;
    assert!(matches!(observer.view().freshness(), Freshness::Live));
    until_served_by(&service, &["db-0", "db-1", "db-2", "db-3"]).await;
    let by_dns = states();
    assert_eq!(by_dns[..3], before[..]);

    // The API is back, and knows the fourth Pod's UID.
    api.tell(present(0..4));
    sleep(Duration::from_secs(11)).await;
    assert_eq!(states(), by_dns);
    let uids = observer.view();
    assert!(
        uids.endpoints()
            .iter()
            .all(|one| one.endpoint.uid().is_some())
    );
    assert_eq!(made.load(Ordering::Relaxed), 4);
    until_served_by(&service, &["db-0", "db-1", "db-2", "db-3"]).await;
}

#[tokio::test(start_paused = true)]
async fn if_all_sources_fail_each_reason_is_in_the_error() {
    let (api, kube) = channel();
    let (zone, dns) = channel();
    api.tell(failed("connection refused"));
    zone.tell(failed("SERVFAIL"));
    let cluster = Cluster::from_source(first_of(kube, dns));
    let service = crate::named(cluster.service("db").unwrap());
    let error = service.oneshot(()).await.unwrap_err().to_string();
    let reasons = "first source: connection refused; second source: SERVFAIL";
    assert!(error.ends_with(reasons), "{error}");
}

#[cfg(feature = "cached")]
#[tokio::test(start_paused = true)]
async fn a_start_while_nothing_can_be_reached_goes_by_what_was_kept_until_that_is_too_old() {
    use portolan::source::cached;

    let directory = tempfile::tempdir().unwrap();
    // A life in which all is well…
    let (api, kube) = channel();
    api.tell(present(0..2));
    let cluster = Cluster::from_source(cached(kube, directory.path()));
    let service = crate::named(cluster.service("db").unwrap());
    until_served_by(&service, &["db-0", "db-1"]).await;
    sleep(Duration::from_secs(1)).await;
    drop(service);

    // …and one that begins without the API, and without DNS too at first.
    let (api, kube) = channel();
    let (zone, dns) = channel();
    api.tell(failed("connection refused"));
    let both = first_of(cached(kube, directory.path()), dns);
    let limit = Duration::from_secs(60);
    let builder = Cluster::from_source(both).service("db").unwrap();
    let service = crate::named(builder.max_staleness(limit));
    until_served_by(&service, &["db-0", "db-1"]).await;
    let mut observer = service.observe();
    while observer.changed().await.unwrap().staleness().is_none() {}
    sleep(limit + Duration::from_millis(10)).await;
    let error = service.clone().oneshot(()).await.unwrap_err().to_string();
    assert!(
        error.contains(
            "and endpoints are used for 60s at most: first source: connection refused; using"
        ),
        "{error}"
    );
    zone.tell(by_dns(0..3));
    until_served_by(&service, &["db-0", "db-1", "db-2"]).await;
    let view = service.observe().view();
    assert_eq!(view.staleness(), None);
    // DNS has given the addresses, the disk the UIDs.
    assert!(
        view.endpoints()[1]
            .endpoint
            .uid()
            .is_some_and(|uid| uid == "uid-1")
    );
}

#[cfg(feature = "file")]
#[tokio::test(start_paused = true)]
async fn a_file_that_is_spoilt_takes_nothing_away_and_requests_are_told() {
    use portolan::source::file;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("endpoints.json");
    std::fs::write(
        &path,
        r#"{"endpoints": [{"placement": "db-0", "address": "10.0.0.1:80"}]}"#,
    )
    .unwrap();
    let cluster = Cluster::from_source(file(&path));
    let service = crate::named(cluster.service("db").unwrap());
    until_served_by(&service, &["db-0"]).await;
    std::fs::write(
        &path,
        r#"{"endpoints": [{"placement": "db-0", "address": "10.0.0.1"}]}"#,
    )
    .unwrap();
    sleep(Duration::from_secs(3)).await;
    until_served_by(&service, &["db-0"]).await;
    let view = service.observe().view();
    let Freshness::Stale { error, .. } = view.freshness() else {
        panic!("{view:?}");
    };
    let place = "endpoints.json: endpoints[0].address: invalid socket address syntax at line 1";
    assert!(error.to_string().contains(place), "{error}");
}
