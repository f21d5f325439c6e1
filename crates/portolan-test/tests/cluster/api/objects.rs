//! What the server makes of an object that is written, and of its parts.

use serde_json::json;

use super::{MAPS, cluster};
use crate::support::{Lines, call, config_map, get, name, patch, post, version};

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
