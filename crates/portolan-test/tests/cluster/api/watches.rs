//! Watches: what they tell, where they begin, and how they end.

use std::time::Duration;

use portolan_test::TestCluster;
use serde_json::json;

use super::{MAPS, cluster};
use crate::support::{Lines, call, config_map, get, name, patch, post, version};

#[tokio::test(start_paused = true)]
async fn selectors_choose_and_an_object_that_stops_to_match_is_deleted_for_the_watch() {
    let cluster = cluster().await;
    let client = cluster.client();
    post(&client, MAPS, config_map("a", "x")).await;
    let other = post(&client, MAPS, config_map("b", "y")).await;
    let list = get(&client, &format!("{MAPS}?labelSelector=app%20in%20(x)")).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let list = get(&client, &format!("{MAPS}?fieldSelector=metadata.name%3Db")).await;
    assert_eq!(name(&list["items"][0]), "b");

    let from = version(&other);
    let path = format!("{MAPS}?watch=1&labelSelector=app%3Dx&resourceVersion={from}");
    let mut watch = Lines::open(&client, &path).await;
    let label = |label: &str| json!({"metadata": {"labels": {"app": label}}});
    let becomes = patch(&client, &format!("{MAPS}/b"), label("x")).await;
    patch(&client, &format!("{MAPS}/b"), json!({"data": {"k": "v"}})).await;
    let leaves = patch(&client, &format!("{MAPS}/b"), label("y")).await;
    patch(&client, &format!("{MAPS}/b"), json!({"data": {"k": "w"}})).await;
    call(&client, "DELETE", &format!("{MAPS}/a"), None).await;

    let (change, object) = watch.next().await.unwrap();
    assert_eq!(
        (change.as_str(), version(&object)),
        ("ADDED", version(&becomes))
    );
    assert_eq!(object["kind"], "ConfigMap", "events do tell the kind");
    assert_eq!(watch.named().await, ("MODIFIED".into(), "b".into()));
    let (change, object) = watch.next().await.unwrap();
    assert_eq!(change, "DELETED");
    assert_eq!(
        object["metadata"]["labels"]["app"], "x",
        "the last state that matched"
    );
    assert_eq!(
        version(&object),
        version(&leaves),
        "at the version of the change"
    );
    assert_eq!(watch.named().await, ("DELETED".into(), "a".into()));
    assert!(watch.is_silent_for(Duration::from_secs(30)).await);

    let (code, _) = call(&client, "GET", &format!("{MAPS}?labelSelector=a%20b"), None).await;
    assert_eq!(code, 400);
    let (code, status) = call(&client, "GET", &format!("{MAPS}?fieldSelector=x%3Dy"), None).await;
    assert_eq!(
        (code, &status["message"]),
        (400, &json!("field label not supported: x"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let cluster = cluster().await;
    let client = cluster.client();
    post(&client, MAPS, config_map("a", "x")).await;
    for version in ["", "&resourceVersion=0"] {
        let mut watch = Lines::open(&client, &format!("{MAPS}?watch=true{version}")).await;
        assert_eq!(watch.named().await, ("ADDED".into(), "a".into()));
        assert!(watch.is_silent_for(Duration::from_secs(1)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_at_their_interval_and_before_the_end() {
    let cluster = TestCluster::builder()
        .bookmark_interval(Duration::from_secs(10))
        .without_kubelet()
        .start()
        .await
        .unwrap();
    let client = cluster.client();
    let start = tokio::time::Instant::now();
    let path = format!("{MAPS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=25");
    let mut watch = Lines::open(&client, &path).await;
    let mut seen = Vec::new();
    while let Some((change, object)) = watch.next().await {
        assert_eq!(
            (change.as_str(), &object["kind"]),
            ("BOOKMARK", &json!("ConfigMap"))
        );
        seen.push(start.elapsed().as_secs());
    }
    assert_eq!(
        seen,
        [10, 20, 25],
        "the last one is at the end, which is a clean one"
    );
}

#[tokio::test(start_paused = true)]
async fn too_old_a_version_is_gone() {
    for as_status in [false, true] {
        let cluster = TestCluster::builder()
            .history(3)
            .gone_as_status(as_status)
            .without_kubelet()
            .start()
            .await
            .unwrap();
        let client = cluster.client();
        let old = post(&client, MAPS, config_map("a", "x")).await;
        let path = format!("{MAPS}?watch=1&resourceVersion={}", version(&old));
        let mut open = Lines::open(&client, &path).await;
        for number in 0..3 {
            patch(
                &client,
                &format!("{MAPS}/a"),
                json!({"data": {"k": number.to_string()}}),
            )
            .await;
        }
        for _ in 0..3 {
            assert_eq!(
                open.named().await.0,
                "MODIFIED",
                "the history still reaches that far"
            );
        }
        patch(
            &client,
            &format!("{MAPS}/a"),
            json!({"data": {"k": "last"}}),
        )
        .await;
        assert_eq!(open.named().await.0, "MODIFIED", "open watches keep up");

        let status = if as_status {
            let (code, status) = call(&client, "GET", &path, None).await;
            assert_eq!(code, 410);
            status
        } else {
            let mut watch = Lines::open(&client, &path).await;
            let (change, status) = watch.next().await.unwrap();
            assert_eq!(change, "ERROR");
            assert!(watch.next().await.is_none(), "and then the stream ends");
            status
        };
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&json!(410), &json!("Expired"))
        );
        let message = status["message"].as_str().unwrap();
        assert!(
            message.starts_with("too old resource version: "),
            "{message}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_too_far_behind_is_told() {
    let cluster = TestCluster::builder().history(3).without_kubelet();
    let cluster = cluster.start().await.unwrap();
    let client = cluster.client();
    let old = post(&client, MAPS, config_map("a", "x")).await;
    let path = format!("{MAPS}?watch=1&resourceVersion={}", version(&old));
    let mut watch = Lines::open(&client, &path).await;
    for number in 0..5 {
        patch(
            &client,
            &format!("{MAPS}/a"),
            json!({"data": {"k": number.to_string()}}),
        )
        .await;
    }
    assert_eq!(
        watch.next().await.unwrap().0,
        "ERROR",
        "it cannot tell all of it any more"
    );
}
