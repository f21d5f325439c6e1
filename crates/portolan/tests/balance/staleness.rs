//! How old what is known may become, and who is told.

use std::{sync::Arc, time::Duration};

use portolan::{
    Candidate, Cluster, ErrorKind, Freshness, Resolution, SourceError, SourceErrorKind, Wait,
    source::channel,
};
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use crate::{cluster_of, named, present, until_served_by};

fn failed() -> Resolution {
    Resolution::Failed(error())
}

fn error() -> SourceError {
    SourceError::new(SourceErrorKind::Unavailable, "connection refused")
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn without_a_limit_the_last_good_endpoints_serve_for_ever_and_their_age_is_told() {
    let (teller, cluster) = cluster_of([0]);
    let service = named(cluster.service("db").unwrap());
    until_served_by(&service, &["db-0"]).await;
    assert_eq!(service.observe().view().staleness(), None);
    teller.tell(failed());
    sleep(86_400 * SECOND).await;
    teller.tell(failed());
    until_served_by(&service, &["db-0"]).await;
    let age = service.observe().view().staleness().unwrap();
    assert!(age >= 86_400 * SECOND && age < 86_402 * SECOND, "{age:?}");
}

#[tokio::test(start_paused = true)]
async fn past_the_limit_nobody_serves_until_discovery_is_back_with_all_that_was_known() {
    let (teller, cluster) = cluster_of(0..2);
    let builder = cluster.service("db.shop").unwrap();
    let service = named(builder.max_staleness(60 * SECOND).wait(Wait::UpTo(SECOND)));
    until_served_by(&service, &["db-0", "db-1"]).await;
    let mut observer = service.observe();
    let states = |candidates: &[Candidate]| -> Vec<_> {
        candidates
            .iter()
            .map(|one| Arc::clone(&one.state))
            .collect()
    };
    let before = states(observer.changed().await.unwrap().endpoints());

    teller.tell(failed());
    let failed_at = Instant::now();
    assert_eq!(observer.changed().await.unwrap().endpoints().len(), 2);
    // More of the same failure does not begin anew.
    sleep(30 * SECOND).await;
    teller.tell(failed());
    observer.changed().await.unwrap();
    let expired = observer.changed().await.unwrap();
    assert_eq!(expired.endpoints().len(), 0);
    assert!(matches!(expired.freshness(), Freshness::Stale { .. }));
    let after = failed_at.elapsed();
    assert!(
        after >= 60 * SECOND && after < 60 * SECOND + SECOND / 10,
        "{after:?}"
    );

    let error = service.clone().oneshot(()).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NoEndpoints { .. }),
        "{error}"
    );
    assert!(error.staleness() >= Some(61 * SECOND), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with(
            "db.shop: no endpoint is ready (waited 1s); discovery has been failing for 61"
        ),
        "{text}"
    );
    assert!(
        text.ends_with("s, and endpoints are used for 60s at most: connection refused"),
        "{text}"
    );

    // A request that waits is served as soon as discovery is back.
    let waiting = tokio::spawn(service.clone().oneshot(()));
    sleep(SECOND / 2).await;
    teller.tell(present(0..2));
    waiting.await.unwrap().unwrap();
    let back = states(observer.changed().await.unwrap().endpoints());
    assert_eq!(before.len(), back.len());
    for (before, back) in before.iter().zip(&back) {
        assert!(Arc::ptr_eq(before, back));
        assert!(back.requests() > 0);
    }
    // And the limit counts from the next failure.
    teller.tell(failed());
    sleep(59 * SECOND).await;
    until_served_by(&service, &["db-0", "db-1"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_old_before_it_was_heard_counts_from_then() {
    let (teller, cluster) = cluster_of([0]);
    let builder = cluster.service("db").unwrap();
    let service = named(builder.max_staleness(60 * SECOND).wait(Wait::FailFast));
    until_served_by(&service, &["db-0"]).await;
    let mut observer = service.observe();
    observer.changed().await.unwrap();
    teller.tell(Resolution::Failed(error().with_age(50 * SECOND)));
    let age = observer.changed().await.unwrap().staleness().unwrap();
    assert!(age >= 50 * SECOND && age < 51 * SECOND, "{age:?}");
    until_served_by(&service, &["db-0"]).await;
    sleep(10 * SECOND).await;
    assert_eq!(observer.changed().await.unwrap().endpoints().len(), 0);
    // Older than the limit at the very first word: never used.
    let (teller, source) = channel();
    teller.tell(present([0]));
    teller.tell(Resolution::Failed(error().with_age(3600 * SECOND)));
    let cluster = Cluster::from_source(source);
    let builder = cluster.service("db").unwrap();
    let service = named(builder.max_staleness(60 * SECOND));
    let mut observer = service.observe();
    while observer.changed().await.unwrap().staleness().is_none() {}
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert!(
        error.to_string().contains("at most: connection refused"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_right_behind_it_hides_no_good_word() {
    let (teller, source) = channel();
    let service = named(Cluster::from_source(source).service("db").unwrap());
    teller.tell(present(0..2));
    teller.tell(failed());
    until_served_by(&service, &["db-0", "db-1"]).await;
    let mut observer = service.observe();
    while observer
        .changed()
        .await
        .expect("it is there")
        .staleness()
        .is_none()
    {}
}
