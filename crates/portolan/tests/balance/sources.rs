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

use crate::{Named, endpoint, present, spread, until_served_by};

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
    assert_eq!(spread(&service, 8).await.len(), 4);
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
