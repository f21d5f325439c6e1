//! Lists: their pages, their versions, and those that stream.

use portolan_test::TestCluster;
use serde_json::json;

use super::{MAPS, cluster};
use crate::support::{Lines, call, config_map, get, name, post, version};

#[tokio::test(start_paused = true)]
async fn pages_show_one_version_and_expire() {
    let cluster = cluster().await;
    let client = cluster.client();
    for name in ["a", "b", "c", "d", "e"] {
        post(&client, MAPS, config_map(name, "x")).await;
    }
    let first = get(&client, &format!("{MAPS}?limit=2")).await;
    assert_eq!(first["kind"], "ConfigMapList");
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    assert!(
        first["items"][0].get("kind").is_none(),
        "items do not repeat it"
    );

    // What happens between two pages does not show in the second.
    call(&client, "DELETE", &format!("{MAPS}/c"), None).await;
    post(&client, MAPS, config_map("f", "x")).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = get(&client, &format!("{MAPS}?limit=2&continue={token}")).await;
    let names: Vec<_> = second["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(name)
        .collect();
    assert_eq!(names, ["c", "d"]);
    assert_eq!(version(&second), version(&first));

    let token = second["metadata"]["continue"].as_str().unwrap();
    cluster.faults().compact();
    let (code, status) = call(&client, "GET", &format!("{MAPS}?continue={token}"), None).await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
}

#[tokio::test(start_paused = true)]
async fn a_list_takes_its_version_exactly_or_at_least() {
    let cluster = cluster().await;
    let client = cluster.client();
    let a = post(&client, MAPS, config_map("a", "x")).await;
    post(&client, MAPS, config_map("b", "x")).await;
    let at =
        |version: &str, how| format!("{MAPS}?resourceVersion={version}&resourceVersionMatch={how}");
    let exact = get(&client, &at(version(&a), "Exact")).await;
    assert_eq!(exact["items"].as_array().unwrap().len(), 1);
    let newer = get(&client, &at(version(&a), "NotOlderThan")).await;
    assert_eq!(newer["items"].as_array().unwrap().len(), 2);
    let (code, status) = call(&client, "GET", &at("99999", "NotOlderThan"), None).await;
    assert_eq!(code, 504);
    assert_eq!(
        status["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_ends_with_its_bookmark() {
    let cluster = cluster().await;
    let client = cluster.client();
    post(&client, MAPS, config_map("a", "x")).await;
    let newest = post(&client, MAPS, config_map("b", "x")).await;
    let initial = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true";
    let path = format!("{MAPS}?{initial}&resourceVersionMatch=NotOlderThan");
    let mut watch = Lines::open(&client, &path).await;
    assert_eq!(watch.named().await, ("ADDED".into(), "a".into()));
    assert_eq!(watch.named().await, ("ADDED".into(), "b".into()));
    let (change, object) = watch.next().await.unwrap();
    assert_eq!(change, "BOOKMARK");
    assert_eq!(
        object["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert_eq!(version(&object), version(&newest));
    post(&client, MAPS, config_map("c", "x")).await;
    assert_eq!(watch.named().await, ("ADDED".into(), "c".into()));

    let (code, status) = call(&client, "GET", &format!("{MAPS}?{initial}"), None).await;
    assert_eq!(
        (code, &status["reason"]),
        (422, &json!("Invalid")),
        "it needs NotOlderThan"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_without_streaming_lists_refuses_them() {
    let cluster = TestCluster::builder()
        .streaming_lists(false)
        .without_kubelet();
    let cluster = cluster.start().await.unwrap();
    let path = format!("{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
    let (code, status) = call(&cluster.client(), "GET", &path, None).await;
    assert_eq!(code, 422);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("WatchList feature gate")
    );
}
