//! Services that are reached by names in DNS.

use std::time::Duration;

use portolan_core::{Reach, Resolution, Source as _, SourceError, SourceErrorKind};
use portolan_kube::Cluster;
use portolan_test::TestCluster;

use crate::stage::*;

/// A cluster in which the Service is another name for `db.example.com`.
async fn with_alias() -> TestCluster {
    let cluster = start().await;
    let service = orders(&cluster).external_name("db.example.com");
    service.create().await.unwrap();
    cluster
}

#[tokio::test(start_paused = true)]
async fn without_a_resolver_the_error_says_where_to_give_one() {
    let cluster = with_alias().await;
    let mut resolutions = Cluster::from(cluster.client()).watch(&reached_by(None));
    let error = until_failed(&mut resolutions).await;
    assert_eq!(error.kind(), SourceErrorKind::Invalid);
    let text = error.to_string();
    for part in ["`db.example.com`", "with_host_resolver", "feature `dns`"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_dns_takes_nothing_away_and_a_name_that_is_gone_does() {
    let cluster = with_alias().await;
    let names = Names::default();
    let source = Cluster::from(cluster.client()).with_host_resolver(names.clone());
    let mut resolutions = source.watch(&reached_by(None));
    let failure =
        || Resolution::Failed(SourceError::new(SourceErrorKind::Unavailable, "no answer"));
    names.say("db.example.com", failure());
    assert_eq!(
        until_failed(&mut resolutions).await.to_string(),
        "no answer"
    );
    names.answer("db.example.com", &["192.0.2.1:80"]);
    let set = until_at(&mut resolutions, Reach::ExternalName, &["192.0.2.1:80"]).await;
    names.say("db.example.com", failure());
    assert_eq!(
        until_failed(&mut resolutions).await.to_string(),
        "no answer"
    );
    // Who comes meanwhile sees both: what was good, and that it may be old.
    let mut late = source.watch(&reached_by(None));
    assert!(matches!(next(&mut late).await, Resolution::Present(known) if known.is_same(&set)));
    until_failed(&mut late).await;
    names.answer("db.example.com", &["192.0.2.1:80"]);
    assert!(
        until_at(&mut resolutions, Reach::ExternalName, &["192.0.2.1:80"])
            .await
            .is_same(&set)
    );
    names.say("db.example.com", Resolution::Absent);
    until_at(&mut resolutions, Reach::ExternalName, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_knows_dns_hears_that_connections_fail() {
    let cluster = start().await;
    let alias = orders(&cluster).external_name("db.example.com");
    alias.create().await.unwrap();
    let names = Names::default();
    names.answer("db.example.com", &["192.0.2.1:80"]);
    let source = Cluster::from(cluster.client()).with_host_resolver(names.clone());
    let service = reached_by(None);
    source.suspect(&service);
    let mut resolutions = source.watch(&service);
    until_at(&mut resolutions, Reach::ExternalName, &["192.0.2.1:80"]).await;
    assert!(
        names.suspected.lock().unwrap().is_empty(),
        "nobody was following"
    );
    source.suspect(&service);
    source.suspect(&"others.shop:http".parse().unwrap());
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(*names.suspected.lock().unwrap(), ["db.example.com"]);
}
