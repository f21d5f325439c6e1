//! The rules of the Kubernetes API, held against the cluster under paused time.

use std::time::Duration;

use crate::support::{Lines, call, config_map, get, name, patch, post, version};
use portolan_test::TestCluster;
use serde_json::json;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn cluster() -> TestCluster {
    TestCluster::builder()
        .without_kubelet()
        .start()
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn objects_get_what_the_server_owns() {
    let cluster = cluster().await;
    let client = cluster.client();
    let made = post(&client, MAPS, config_map("a", "x")).await;
    assert_eq!(made["kind"], "ConfigMap");
    assert_eq!(made["metadata"]["namespace"], "default");
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(made["metadata"]["uid"].as_str().unwrap().len(), 36);
    assert!(
        made["metadata"]["creationTimestamp"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );

    let (code, status) = call(&client, "POST", MAPS, Some(config_map("a", "x"))).await;
    assert_eq!((code, &status["reason"]), (409, &json!("AlreadyExists")));
    assert_eq!(status["message"], r#"configmaps "a" already exists"#);

    let (code, status) = call(&client, "GET", &format!("{MAPS}/b"), None).await;
    assert_eq!((code, &status["reason"]), (404, &json!("NotFound")));
    assert_eq!(status["message"], r#"configmaps "b" not found"#);

    let generated = json!({"metadata": {"generateName": "x-"}});
    let generated = post(&client, MAPS, generated).await;
    assert_eq!(name(&generated).len(), "x-12345".len());

    let elsewhere = "/api/v1/namespaces/nowhere/configmaps";
    let (code, status) = call(&client, "POST", elsewhere, Some(config_map("a", "x"))).await;
    assert_eq!(code, 404);
    assert_eq!(status["message"], r#"namespaces "nowhere" not found"#);

    for wrong in [json!({}), config_map("Upper", "x"), config_map("-x", "x")] {
        let (code, status) = call(&client, "POST", MAPS, Some(wrong)).await;
        assert_eq!((code, &status["reason"]), (422, &json!("Invalid")));
    }
    let (code, _) = call(&client, "GET", "/apis/nothing.io/v1/things", None).await;
    assert_eq!(code, 404);
}

#[tokio::test(start_paused = true)]
async fn writers_do_not_overwrite_each_other() {
    let cluster = cluster().await;
    let client = cluster.client();
    let path = format!("{MAPS}/a");
    let old = post(&client, MAPS, config_map("a", "x")).await;
    let mut new = old.clone();
    new["data"] = json!({"k": "1"});
    let (code, newer) = call(&client, "PUT", &path, Some(new.clone())).await;
    assert_eq!(code, 200);
    assert_eq!(newer["metadata"]["generation"], 2);

    let (code, status) = call(&client, "PUT", &path, Some(new)).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("the object has been modified")
    );

    // A patch without a version goes over whatever is there; one that changes nothing is none.
    let patched = patch(&client, &path, json!({"data": {"k": "2"}})).await;
    let again = patch(&client, &path, json!({"data": {"k": "2"}})).await;
    assert_eq!(version(&patched), version(&again));
    let stale = json!({"metadata": {"resourceVersion": version(&old)}, "data": {"k": "3"}});
    let (code, _) = call(&client, "PATCH", &path, Some(stale)).await;
    assert_eq!(code, 409);

    let wrong = json!({"preconditions": {"uid": "another"}});
    let (code, status) = call(&client, "DELETE", &path, Some(wrong)).await;
    assert_eq!(code, 409);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("Precondition failed: UID")
    );
}

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

#[tokio::test(start_paused = true)]
async fn the_parts_of_an_object_are_kept_apart() {
    let cluster = cluster().await;
    let client = cluster.client();
    let sets = "/apis/apps/v1/namespaces/default/statefulsets";
    let set = json!({
        "metadata": {"name": "db"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "db"}}, "template": {}},
        "status": {"replicas": 77},
    });
    let made = post(&client, sets, set).await;
    assert_ne!(made["status"]["replicas"], 77);
    let db = format!("{sets}/db");
    let both = json!({"spec": {"replicas": 5}, "status": {"x": 1}});
    let patched = patch(&client, &format!("{db}/status"), both).await;
    assert_eq!(
        (&patched["spec"]["replicas"], &patched["status"]["x"]),
        (&json!(0), &json!(1))
    );
    let scale = get(&client, &format!("{db}/scale")).await;
    assert_eq!(
        (&scale["kind"], &scale["spec"]["replicas"]),
        (&json!("Scale"), &json!(0))
    );
    let scale = patch(
        &client,
        &format!("{db}/scale"),
        json!({"spec": {"replicas": 2}}),
    )
    .await;
    assert_eq!(scale["spec"]["replicas"], 2);
    assert_eq!(get(&client, &db).await["spec"]["replicas"], 2);
}

#[tokio::test(start_paused = true)]
async fn apply_creates_and_merges() {
    let cluster = cluster().await;
    let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::default_namespaced(cluster.client());
    let params = kube::api::PatchParams::apply("test");
    for (key, value) in [("a", "1"), ("b", "2")] {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "m"}, "data": {key: value},
        });
        maps.patch("m", &params, &kube::api::Patch::Apply(map))
            .await
            .unwrap();
    }
    let data = maps.get("m").await.unwrap().data.unwrap();
    assert_eq!(data.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn finalizers_hold_an_object_and_a_collection_can_be_deleted() {
    let cluster = cluster().await;
    let client = cluster.client();
    let mut held = config_map("held", "x");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    post(&client, MAPS, held).await;
    post(&client, MAPS, config_map("free", "x")).await;
    post(&client, MAPS, config_map("other", "y")).await;
    let (code, gone) = call(
        &client,
        "DELETE",
        &format!("{MAPS}?labelSelector=app%3Dx"),
        None,
    )
    .await;
    assert_eq!((code, gone["items"].as_array().unwrap().len()), (200, 2));
    let left = get(&client, MAPS).await;
    let left: Vec<_> = left["items"].as_array().unwrap().iter().map(name).collect();
    assert_eq!(left, ["held", "other"]);
    let release = json!({"metadata": {"finalizers": null}});
    patch(&client, &format!("{MAPS}/held"), release).await;
    let (code, _) = call(&client, "GET", &format!("{MAPS}/held"), None).await;
    assert_eq!(code, 404);
}

#[tokio::test(start_paused = true)]
async fn services_get_addresses_and_defaults() {
    let cluster = cluster().await;
    let client = cluster.client();
    let services = "/api/v1/namespaces/default/services";
    let port = json!([{"name": "http", "port": 80}]);
    let plain = json!({"metadata": {"name": "web"}, "spec": {"ports": port}});
    let plain = post(&client, services, plain).await;
    assert_eq!(plain["spec"]["type"], "ClusterIP");
    assert!(
        plain["spec"]["clusterIP"]
            .as_str()
            .unwrap()
            .starts_with("10.96.")
    );
    assert_eq!(plain["spec"]["ports"][0]["targetPort"], 80);
    assert_eq!(plain["spec"]["ports"][0]["protocol"], "TCP");
    let dual = json!({
        "metadata": {"name": "dual"},
        "spec": {"ports": port, "ipFamilyPolicy": "RequireDualStack"},
    });
    let dual = post(&client, services, dual).await;
    assert_eq!(dual["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
    assert_eq!(dual["spec"]["clusterIPs"].as_array().unwrap().len(), 2);
    let headless = json!({"metadata": {"name": "db"}, "spec": {"clusterIP": "None"}});
    let headless = post(&client, services, headless).await;
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
}

#[tokio::test(start_paused = true)]
async fn kubectl_finds_its_way() {
    let cluster = cluster().await;
    let client = cluster.client();
    assert_eq!(client.apiserver_version().await.unwrap().major, "1");
    let groups = client.list_api_groups().await.unwrap();
    assert!(
        groups
            .groups
            .iter()
            .any(|group| group.name == "discovery.k8s.io")
    );
    let resources = client.list_api_group_resources("apps/v1").await.unwrap();
    assert!(
        resources
            .resources
            .iter()
            .any(|r| r.name == "statefulsets/scale")
    );
    let core = client.list_core_api_resources("v1").await.unwrap();
    assert!(core.resources.iter().any(|r| r.name == "pods"));
    assert_eq!(get(&client, "/readyz").await, "ok");
}

#[tokio::test(start_paused = true)]
async fn a_namespace_takes_its_contents_with_it() {
    let cluster = cluster().await;
    let client = cluster.client();
    cluster.namespace("shop").await.unwrap();
    cluster.namespace("shop").await.unwrap();
    let maps = "/api/v1/namespaces/shop/configmaps";
    post(&client, maps, config_map("a", "x")).await;
    let mut watch = Lines::open(&client, &format!("{maps}?watch=1")).await;
    assert_eq!(watch.named().await.0, "ADDED");
    call(&client, "DELETE", "/api/v1/namespaces/shop", None).await;
    assert_eq!(watch.named().await, ("DELETED".into(), "a".into()));
    let (code, _) = call(&client, "GET", "/api/v1/namespaces/shop", None).await;
    assert_eq!(code, 404);
}
