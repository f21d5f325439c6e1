//! One object that is watched for a part of it.

use std::task::{Context, Poll, Waker};

use portolan_core::{
    SourceErrorKind,
    policy::{Leadership, Shards},
};

use super::*;
use crate::{Observations, Observed, StatefulSetSize};

fn start() -> (server::Calls, Cluster) {
    let (server, client) = Server::start();
    (server.objects, Cluster::from(client))
}

fn config_map(version: u64, data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "shards", "resourceVersion": version.to_string() },
        "data": data,
    })
}

fn stateful_set(version: u64, spec: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": "db", "resourceVersion": version.to_string() },
        "spec": spec,
    })
}

async fn next<T>(observations: &mut Observations<T>) -> Observed<T> {
    let observed = timeout(Duration::from_secs(3_600), observations.next()).await;
    observed.expect("nothing came").expect("the stream ended")
}

async fn next_text(texts: &mut Observations<std::sync::Arc<str>>) -> String {
    match next(texts).await {
        Observed::Present(text) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn next_failure<T: std::fmt::Debug>(observations: &mut Observations<T>) -> SourceError {
    match next(observations).await {
        Observed::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

async fn nothing_comes<T: std::fmt::Debug>(observations: &mut Observations<T>) {
    if let Ok(observed) = timeout(Duration::from_secs(1), observations.next()).await {
        panic!("{observed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_is_told_whenever_it_changes_and_when_it_is_not_there() {
    let (mut calls, cluster) = start();
    let mut texts = cluster.config_map("shards", "map");
    let server = async {
        let call = calls.next_list().await;
        assert_eq!(call.path, "/api/v1/namespaces/shop/configmaps");
        assert_eq!(call.query["fieldSelector"], "metadata.name=shards");
        call.answer_with_list(&[], 6);
    };
    let (absent, ()) = futures::join!(next(&mut texts), server);
    assert!(matches!(absent, Observed::Absent), "{absent:?}");

    let (_, watch) = futures::join!(nothing_comes(&mut texts), calls.resume(6));
    watch.event("ADDED", &config_map(7, json!({ "map": "a", "other": "x" })));
    assert_eq!(next_text(&mut texts).await, "a");
    // Another key is no matter of ours, and neither is another ConfigMap.
    watch.event(
        "MODIFIED",
        &config_map(8, json!({ "map": "a", "other": "y" })),
    );
    let mut other = config_map(9, json!({ "map": "z" }));
    other["metadata"]["name"] = json!("other");
    watch.event("MODIFIED", &other);
    watch.event("DELETED", &other);
    nothing_comes(&mut texts).await;
    watch.event("MODIFIED", &config_map(10, json!({ "map": "b" })));
    assert_eq!(next_text(&mut texts).await, "b");
    for (version, kind, data) in [
        (11, "MODIFIED", json!({ "other": "y" })),
        (13, "DELETED", json!({ "map": "c" })),
    ] {
        watch.event(kind, &config_map(version, data));
        let absent = next(&mut texts).await;
        assert!(matches!(absent, Observed::Absent), "{absent:?}");
        watch.event("ADDED", &config_map(version + 1, json!({ "map": "c" })));
        assert_eq!(next_text(&mut texts).await, "c");
    }
    drop(texts);
    watch.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_takes_nothing_away_and_its_end_is_told() {
    let (mut calls, cluster) = start();
    let mut texts = cluster.config_map("shards", "map");
    let server = async {
        let listed = config_map(5, json!({ "map": "a" }));
        calls.next_list().await.answer_with_list(&[&listed], 7);
    };
    let (text, ()) = futures::join!(next_text(&mut texts), server);
    assert_eq!(text, "a");
    let server = async {
        drop(calls.resume(7).await);
        drop(calls.next().await);
        calls.resume(7).await
    };
    let told = async { (next_failure(&mut texts).await, next_text(&mut texts).await) };
    let ((error, text), watch) = futures::join!(told, server);
    assert_eq!(error.kind(), SourceErrorKind::Unavailable);
    assert!(
        error
            .to_string()
            .contains("`shards` of the configmaps in namespace `shop`"),
        "{error}"
    );
    assert_eq!(text, "a", "said again, as all is well");

    // What is no text is a failure, too, and is said once.
    let mut binary = config_map(8, Value::Null);
    binary["binaryData"] = json!({ "map": "/w==" });
    watch.event("MODIFIED", &binary);
    assert_eq!(
        next_failure(&mut texts).await.kind(),
        SourceErrorKind::Corrupt
    );
    binary["metadata"]["resourceVersion"] = json!("9");
    watch.event("MODIFIED", &binary);
    nothing_comes(&mut texts).await;
    watch.event("MODIFIED", &config_map(10, json!({ "map": "a" })));
    assert_eq!(next_text(&mut texts).await, "a");
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_named_with_the_role_for_that_object() {
    let (mut calls, cluster) = start();
    let forbidden = "statefulsets.apps \"db\" is forbidden: User \
        \"system:serviceaccount:web:front\" cannot list resource \"statefulsets\"";
    let mut sizes = cluster.stateful_set_size("db");
    let server = async { calls.next().await.refuse(403, forbidden) };
    let (error, ()) = futures::join!(next_failure(&mut sizes), server);
    assert_eq!(error.kind(), SourceErrorKind::Forbidden);
    let text = error.to_string();
    let start = "`system:serviceaccount:web:front` may not list statefulsets in namespace `shop`.";
    assert!(text.starts_with(start), "{text}");
    assert!(text.contains(r#"resourceNames: ["db"]"#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_size_is_told_whenever_it_changes() {
    let (mut calls, cluster) = start();
    let mut sizes = cluster.stateful_set_size("db");
    let of = |observed: Observed<StatefulSetSize>| match observed {
        Observed::Present(size) => Some((size.replicas, size.first_ordinal)),
        Observed::Absent => None,
        Observed::Failed(error) => panic!("{error}"),
    };
    let server = async {
        let call = calls.next_list().await;
        assert_eq!(call.path, "/apis/apps/v1/namespaces/shop/statefulsets");
        assert_eq!(call.query["fieldSelector"], "metadata.name=db");
        call.answer_with_list(&[&stateful_set(5, json!({ "replicas": 3 }))], 7);
    };
    let (first, ()) = futures::join!(next(&mut sizes), server);
    assert_eq!(of(first), Some((3, 0)));
    let (_, watch) = futures::join!(nothing_comes(&mut sizes), calls.resume(7));
    let mut ready = stateful_set(8, json!({ "replicas": 3 }));
    ready["status"] = json!({ "readyReplicas": 3 });
    watch.event("MODIFIED", &ready);
    nothing_comes(&mut sizes).await;
    let moved = json!({ "replicas": 4, "ordinals": { "start": 5 } });
    watch.event("MODIFIED", &stateful_set(9, moved));
    assert_eq!(of(next(&mut sizes).await), Some((4, 5)));
    watch.event("DELETED", &stateful_set(10, json!({})));
    assert_eq!(of(next(&mut sizes).await), None);
}

#[tokio::test(start_paused = true)]
async fn there_are_as_many_shards_as_pods_and_never_fewer_for_want_of_them() {
    let (mut calls, cluster) = start();
    let (handle, shards) = Shards::changing(2);
    let counting = tokio::spawn(cluster.stateful_set_size("db").count_shards(handle));
    let settle = || tokio::time::sleep(Duration::from_millis(1));
    let watch = calls
        .list(&[stateful_set(5, json!({ "replicas": 3 }))], 7)
        .await;
    settle().await;
    assert_eq!(shards.current(), 3);
    watch.event("MODIFIED", &stateful_set(8, json!({ "replicas": 5 })));
    settle().await;
    assert_eq!(shards.current(), 5);
    watch.event("MODIFIED", &stateful_set(9, json!({ "replicas": 0 })));
    watch.event("DELETED", &stateful_set(10, json!({ "replicas": 0 })));
    settle().await;
    assert_eq!(shards.current(), 5);
    watch.event("ADDED", &stateful_set(11, json!({ "replicas": 4 })));
    settle().await;
    assert_eq!(shards.current(), 4);
    counting.abort();
    watch.closed().await;
    assert_eq!(shards.current(), 4, "the number stays");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_another_lease_is_not_the_end_of_this_one() {
    let (mut calls, cluster) = start();
    let lease = |name: &str, version: u64| {
        let metadata = json!({ "name": name, "uid": name, "resourceVersion": version.to_string() });
        let spec = json!({ "holderIdentity": format!("{name}-0"), "leaseTransitions": 1 });
        json!({ "metadata": metadata, "spec": spec })
    };
    let leadership = Leadership::new();
    let _watching = cluster.watch_lease("db", &leadership).unwrap();
    let primary = || {
        leadership
            .primary()
            .map(|(placement, _)| placement.to_string())
    };
    let watch = calls.list(&[lease("db", 5)], 7).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(primary().as_deref(), Some("db-0"));
    // As a server tells that does not select.
    watch.event("MODIFIED", &lease("other", 8));
    watch.event("DELETED", &lease("other", 9));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(primary().as_deref(), Some("db-0"));
    watch.event("DELETED", &lease("db", 10));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(primary(), None);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_none_is_refused() {
    let (mut calls, cluster) = start();
    for (namespace, name) in [
        ("shop", "a,metadata.namespace=b"),
        ("shop", ""),
        ("..", "a"),
        ("a/b", "c"),
    ] {
        let cluster = cluster.clone().with_namespace(namespace);
        let error = next_failure(&mut cluster.config_map(name, "map")).await;
        assert_eq!(
            error.kind(),
            SourceErrorKind::Invalid,
            "{namespace} {name}: {error}"
        );
    }
    assert!(calls.waiting().is_empty());
}

#[test]
fn outside_of_a_runtime_it_says_so() {
    let (_calls, cluster) = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async { start() });
    let mut texts = cluster.config_map("shards", "map");
    match texts.poll_next_unpin(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Observed::Failed(error))) => {
            assert!(
                error.to_string().contains("needs a Tokio runtime"),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
}
