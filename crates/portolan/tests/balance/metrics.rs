//! What the driver tells of itself.

use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use portolan::{
    Cluster, Endpoint, Resolution, SourceError, SourceErrorKind,
    health::OutlierEjection,
    metrics::{
        EJECTIONS, ENDPOINTS, ENDPOINTS_UNHEALTHY, HEALTH_CHECKS, RETRIES, RETRIES_REFUSED,
        RETURNS, SNAPSHOT_BUILD, SNAPSHOT_GENERATION, SOURCE_AGE, SOURCE_ERRORS,
    },
    policy::RoundRobin,
    retry::{Pushback, Retry},
    source::channel,
};
use tokio::time::sleep;
use tower::ServiceExt;

use crate::{
    cluster_of, endpoint,
    moody::{Mood, READ, World},
    named, until_served_by,
};

const SECOND: Duration = Duration::from_secs(1);

/// What has been told since the last look.
fn look(snapshotter: &Snapshotter) -> impl Fn(&str, &str) -> Option<f64> + use<> {
    let snapshot = snapshotter.snapshot().into_vec();
    // The value of the metric of which a label has this value.
    move |name, label| {
        let ours = snapshot.iter().find(|(key, ..)| {
            let mut labels = key.key().labels();
            key.key().name() == name && labels.any(|one| one.value() == label)
        });
        ours.map(|(_, _, _, value)| match value {
            DebugValue::Counter(count) => *count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(values) => values.len() as f64,
        })
    }
}

#[tokio::test(start_paused = true)]
async fn the_age_of_what_is_gone_by_is_told_while_it_grows_and_what_there_is() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let (teller, source) = channel();
    let leaves = endpoint(2).with_conditions(portolan::Conditions::new(Some(false), None, None));
    let endpoints = || (0..2).map(endpoint).chain([leaves.clone()]).collect();
    teller.tell(Resolution::Present(endpoints()));
    let service = named(Cluster::from_source(source).service("db.shop").unwrap());
    until_served_by(&service, &["db-0", "db-1"]).await;
    let told = look(&snapshotter);
    assert_eq!(told(SOURCE_AGE, "db.shop"), Some(0.0));
    assert_eq!(told(SNAPSHOT_GENERATION, "db.shop"), Some(1.0));
    assert_eq!(told(SNAPSHOT_BUILD, "db.shop"), Some(1.0));
    assert_eq!(told(ENDPOINTS, "eligible"), Some(2.0));
    assert_eq!(told(ENDPOINTS, "passed_over"), Some(1.0));
    assert_eq!(told(SOURCE_ERRORS, "db.shop"), None);

    let error = SourceError::new(SourceErrorKind::Forbidden, "no list of slices");
    teller.tell(Resolution::Failed(error));
    sleep(20 * SECOND).await;
    let told = look(&snapshotter);
    assert_eq!(told(SOURCE_ERRORS, "forbidden"), Some(1.0));
    let age = told(SOURCE_AGE, "db.shop").unwrap();
    assert!((18.0..=20.1).contains(&age), "{age}");

    teller.tell(Resolution::Present(endpoints()));
    sleep(SECOND).await;
    assert_eq!(look(&snapshotter)(SOURCE_AGE, "db.shop"), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn what_has_never_been_heard_of_is_as_old_as_the_wait_for_it() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let (_teller, source) = channel();
    let service = named(Cluster::from_source(source).service("db.shop").unwrap());
    sleep(20 * SECOND).await;
    let age = look(&snapshotter)(SOURCE_AGE, "db.shop").unwrap();
    assert!((18.0..=20.1).contains(&age), "{age}");
    // What is not followed any more is not old.
    drop(service);
    sleep(SECOND).await;
    assert_eq!(look(&snapshotter)(SOURCE_AGE, "db.shop"), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn health_checks_are_counted_by_what_came_of_them() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let (_teller, cluster) = crate::cluster_of(0..3);
    let check =
        portolan::health_check::HealthCheck::with(async |endpoint: std::sync::Arc<Endpoint>| {
            match endpoint.placement().to_string().as_str() {
                "db-1" => Err("it has a cold"),
                _ => Ok(()),
            }
        });
    let builder = cluster.service("db.shop").unwrap().health_check(check);
    let nodes = builder.nodes().unwrap();
    sleep(59 * SECOND).await;
    let told = look(&snapshotter);
    let (passed, failed) = (told(HEALTH_CHECKS, "passed"), told(HEALTH_CHECKS, "failed"));
    // Each is asked five to seven times.
    assert!((10.0..=14.0).contains(&passed.unwrap()), "{passed:?}");
    assert!((5.0..=7.0).contains(&failed.unwrap()), "{failed:?}");
    assert_eq!(told(ENDPOINTS_UNHEALTHY, "db.shop"), Some(1.0));
    assert_eq!(told(ENDPOINTS, "passed_over"), Some(1.0));
    drop(nodes);
}

#[tokio::test(start_paused = true)]
async fn retries_and_ejections_are_told() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let (_teller, cluster) = cluster_of(0..3);
    let world = World::default();
    world.set("db-1", Mood::Refuses(Pushback::Unsaid));
    let builder = cluster.service("db").unwrap().policy(RoundRobin::new());
    let builder = builder.retry(Retry::new());
    let service = world.serve(builder.eject_outliers(OutlierEjection::new()));
    for _ in 0..30 {
        service.clone().oneshot(READ).await.unwrap();
        tokio::task::yield_now().await;
    }
    sleep(2 * SECOND).await;
    let counters = service.observe().counters();
    let told = look(&snapshotter);
    assert!(counters.retries >= 5, "{counters:?}");
    assert_eq!(told(RETRIES, "db"), Some(counters.retries as f64));
    assert_eq!(told(EJECTIONS, "db"), Some(1.0));
    assert_eq!(
        (told(RETRIES_REFUSED, "db"), told(RETURNS, "db")),
        (None, None)
    );
    sleep(6 * SECOND).await;
    assert_eq!(look(&snapshotter)(RETURNS, "db"), Some(1.0));
}
