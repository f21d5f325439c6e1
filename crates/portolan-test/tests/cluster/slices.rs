//! EndpointSlices as the real controller writes them. The Pods' status is written by hand.

use std::time::Duration;

use crate::support::{call, get, name, patch, post};
use kube::Client;
use portolan_test::TestCluster;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/shop/pods";
const SERVICES: &str = "/api/v1/namespaces/shop/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";

async fn cluster() -> TestCluster {
    let cluster = TestCluster::builder()
        .endpoints_per_slice(3)
        .without_kubelet()
        .start()
        .await
        .unwrap();
    cluster.namespace("shop").await.unwrap();
    cluster
}

fn pod(name: &str, port: u16) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"app": "db"}},
        "spec": {
            "nodeName": "node-1", "hostname": name, "subdomain": "db",
            "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}],
        },
    })
}

fn status(ips: &[&str], ready: bool) -> Value {
    let ips: Vec<_> = ips.iter().map(|ip| json!({"ip": ip})).collect();
    let ready = if ready { "True" } else { "False" };
    json!({"status": {
        "phase": "Running", "podIPs": ips, "conditions": [{"type": "Ready", "status": ready}],
    }})
}

async fn run(client: &Client, name: &str, ip: &str, ready: bool) -> Value {
    let made = post(client, PODS, pod(name, 8080)).await;
    set(client, name, ip, ready).await;
    made
}

async fn set(client: &Client, name: &str, ip: &str, ready: bool) {
    patch(
        client,
        &format!("{PODS}/{name}/status"),
        status(&[ip], ready),
    )
    .await;
}

fn headless() -> Value {
    json!({
        "metadata": {"name": "db", "labels": {"team": "a"}},
        "spec": {
            "clusterIP": "None", "selector": {"app": "db"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    })
}

/// The slices once the controllers have nothing more to do: under paused time, time moves only
/// when nobody has.
async fn slices(client: &Client) -> Vec<Value> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    get(client, SLICES).await["items"]
        .as_array()
        .unwrap()
        .clone()
}

async fn slice(client: &Client) -> Value {
    let mut slices = slices(client).await;
    assert_eq!(slices.len(), 1, "{slices:#?}");
    slices.remove(0)
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_tells_all_about_its_pod() {
    let cluster = cluster().await;
    let client = cluster.client();
    let service = post(&client, SERVICES, headless()).await;
    let made = run(&client, "db-0", "10.0.0.1", true).await;
    let slice = slice(&client).await;
    assert!(name(&slice).starts_with("db-"));
    assert_eq!(slice["addressType"], "IPv4");
    assert_eq!(
        slice["metadata"]["labels"],
        json!({
            "team": "a",
            "kubernetes.io/service-name": "db",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            "service.kubernetes.io/headless": "",
        })
    );
    let owner = &slice["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"]),
        (&json!("Service"), &service["metadata"]["uid"])
    );
    assert_eq!(
        slice["ports"],
        json!([{"name": "http", "port": 8080, "protocol": "TCP"}])
    );
    assert_eq!(
        slice["endpoints"],
        json!([{
            "addresses": ["10.0.0.1"],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "hostname": "db-0",
            "nodeName": "node-1",
            "zone": "zone-b",
            "targetRef": {
                "kind": "Pod", "namespace": "shop", "name": "db-0", "uid": made["metadata"]["uid"],
            },
        }])
    );
}

#[tokio::test(start_paused = true)]
async fn conditions_follow_readiness_and_deletion() {
    let cluster = cluster().await;
    let client = cluster.client();
    post(&client, SERVICES, headless()).await;
    let mut lenient = headless();
    lenient["metadata"]["name"] = json!("all");
    lenient["metadata"]["labels"] = json!({"which": "all"});
    lenient["spec"]["publishNotReadyAddresses"] = json!(true);
    post(&client, SERVICES, lenient).await;
    let conditions = async || {
        let slices = slices(&client).await;
        let of = |service: &str| {
            let label = "kubernetes.io/service-name";
            let mut slices = slices.iter();
            let slice = slices.find(|slice| slice["metadata"]["labels"][label] == service);
            let endpoint = slice.unwrap()["endpoints"][0].clone();
            ["ready", "serving", "terminating"]
                .map(|condition| endpoint["conditions"][condition].as_bool())
                .map(|value| value.map_or('-', |value| if value { 't' } else { 'f' }))
                .iter()
                .collect::<String>()
        };
        (of("db"), of("all"))
    };
    run(&client, "db-0", "10.0.0.1", false).await;
    assert_eq!(
        conditions().await,
        ("fff".into(), "tff".into()),
        "not ready"
    );
    set(&client, "db-0", "10.0.0.1", true).await;
    assert_eq!(conditions().await, ("ttf".into(), "ttf".into()), "ready");
    call(&client, "DELETE", &format!("{PODS}/db-0"), None).await;
    assert_eq!(
        conditions().await,
        ("ftt".into(), "ttt".into()),
        "terminating"
    );
    set(&client, "db-0", "10.0.0.1", false).await;
    assert_eq!(
        conditions().await,
        ("fft".into(), "tft".into()),
        "terminating and unready"
    );
    let now = json!({"gracePeriodSeconds": 0});
    call(&client, "DELETE", &format!("{PODS}/db-0"), Some(now)).await;
    assert_eq!(conditions().await, ("---".into(), "---".into()), "gone");
}

#[tokio::test(start_paused = true)]
async fn an_empty_slice_stays_and_is_used_again() {
    let cluster = cluster().await;
    let client = cluster.client();
    post(&client, SERVICES, headless()).await;
    let empty = slice(&client).await;
    assert_eq!(
        (&empty["endpoints"], &empty["ports"]),
        (&Value::Null, &Value::Null)
    );
    assert!(
        empty.as_object().unwrap().contains_key("endpoints"),
        "null, not absent"
    );

    // No address yet: no endpoint.
    post(&client, PODS, pod("db-0", 8080)).await;
    assert_eq!(slice(&client).await["endpoints"], Value::Null);
    set(&client, "db-0", "10.0.0.1", true).await;
    let full = slice(&client).await;
    assert_eq!(name(&full), name(&empty), "the same slice");
    assert_eq!(full["ports"][0]["port"], 8080);

    // A Pod that is over is no endpoint, terminating or not.
    patch(
        &client,
        &format!("{PODS}/db-0/status"),
        json!({"status": {"phase": "Failed"}}),
    )
    .await;
    let empty = slice(&client).await;
    assert_eq!(
        (name(&empty), &empty["endpoints"]),
        (name(&full), &Value::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn many_endpoints_have_many_slices() {
    let cluster = cluster().await;
    let client = cluster.client();
    post(&client, SERVICES, headless()).await;
    for number in 0..7 {
        run(
            &client,
            &format!("db-{number}"),
            &format!("10.0.0.{number}"),
            true,
        )
        .await;
    }
    let all = slices(&client).await;
    let mut sizes: Vec<_> = all
        .iter()
        .map(|s| s["endpoints"].as_array().unwrap().len())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 3, 3]);
    let mut addresses: Vec<_> = all
        .iter()
        .flat_map(|slice| slice["endpoints"].as_array().unwrap())
        .map(|endpoint| endpoint["addresses"][0].as_str().unwrap())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 7);

    let before: Vec<_> = all
        .iter()
        .map(|s| s["metadata"]["resourceVersion"].clone())
        .collect();
    set(&client, "db-0", "10.0.0.0", false).await;
    let after = slices(&client).await;
    let written = after
        .iter()
        .filter(|s| !before.contains(&s["metadata"]["resourceVersion"]));
    assert_eq!(written.count(), 1, "one change writes one slice");
}

#[tokio::test(start_paused = true)]
async fn pods_with_other_ports_stand_in_other_slices() {
    let cluster = cluster().await;
    let client = cluster.client();
    post(&client, SERVICES, headless()).await;
    for (name, ip, port) in [("db-0", "10.0.0.1", 8080), ("db-1", "10.0.0.2", 9090)] {
        post(&client, PODS, pod(name, port)).await;
        set(&client, name, ip, true).await;
    }
    let mut found: Vec<_> = slices(&client)
        .await
        .iter()
        .map(|slice| {
            (
                slice["ports"][0]["port"].clone(),
                slice["endpoints"][0]["hostname"].clone(),
            )
        })
        .map(|(port, host)| (port.as_u64().unwrap(), host.as_str().unwrap().to_owned()))
        .collect();
    found.sort();
    assert_eq!(
        found,
        [(8080, "db-0".to_owned()), (9090, "db-1".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn a_headless_service_needs_no_ports_and_a_hostname_needs_its_own_service() {
    let cluster = cluster().await;
    let client = cluster.client();
    let service = json!({
        "metadata": {"name": "peers"},
        "spec": {"clusterIP": "None", "selector": {"app": "db"}},
    });
    post(&client, SERVICES, service).await;
    run(&client, "db-0", "10.0.0.1", true).await;
    let slice = slice(&client).await;
    assert_eq!(slice["ports"], Value::Null);
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["10.0.0.1"]));
    assert!(
        slice["endpoints"][0].get("hostname").is_none(),
        "the Pod's subdomain is db"
    );
}

#[tokio::test(start_paused = true)]
async fn families_have_slices_of_their_own() {
    let cluster = cluster().await;
    let client = cluster.client();
    let mut service = headless();
    service["spec"]["ipFamilyPolicy"] = json!("RequireDualStack");
    post(&client, SERVICES, service).await;
    post(&client, PODS, pod("db-0", 8080)).await;
    let both = status(&["10.0.0.1", "fd00::1"], true);
    patch(&client, &format!("{PODS}/db-0/status"), both).await;
    let mut found: Vec<_> = slices(&client)
        .await
        .iter()
        .map(|slice| {
            (
                slice["addressType"].clone(),
                slice["endpoints"][0]["addresses"].clone(),
            )
        })
        .map(|(family, addresses)| format!("{family} {addresses}"))
        .collect();
    found.sort();
    assert_eq!(found, [r#""IPv4" ["10.0.0.1"]"#, r#""IPv6" ["fd00::1"]"#]);
}

#[tokio::test(start_paused = true)]
async fn topology_hints_follow_the_traffic_distribution() {
    let cluster = cluster().await;
    let client = cluster.client();
    let mut service = headless();
    service["spec"]["trafficDistribution"] = json!("PreferSameNode");
    post(&client, SERVICES, service).await;
    run(&client, "db-0", "10.0.0.1", true).await;
    assert_eq!(
        slice(&client).await["endpoints"][0]["hints"],
        json!({
            "forZones": [{"name": "zone-b"}], "forNodes": [{"name": "node-1"}],
        })
    );
}

#[tokio::test(start_paused = true)]
async fn slices_made_by_hand_are_left_alone_and_the_controllers_own_go_with_the_service() {
    let cluster = cluster().await;
    let client = cluster.client();
    let mut without_selector = headless();
    without_selector["spec"]["selector"] = Value::Null;
    without_selector["metadata"]["name"] = json!("legacy");
    post(&client, SERVICES, without_selector).await;
    let by_hand = json!({
        "metadata": {"name": "legacy-1", "labels": {"kubernetes.io/service-name": "legacy"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.1"]}],
        "ports": [],
    });
    let by_hand = post(&client, SLICES, by_hand).await;
    assert_eq!(by_hand["endpoints"][0]["conditions"], json!({}));
    assert_eq!(by_hand["ports"], Value::Null);
    run(&client, "db-0", "10.0.0.1", true).await;
    assert_eq!(name(&slice(&client).await), "legacy-1");

    post(&client, SERVICES, headless()).await;
    assert_eq!(slices(&client).await.len(), 2);
    call(&client, "DELETE", &format!("{SERVICES}/db"), None).await;
    assert_eq!(name(&slice(&client).await), "legacy-1");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_slice_comes_back() {
    let cluster = cluster().await;
    let client = cluster.client();
    post(&client, SERVICES, headless()).await;
    run(&client, "db-0", "10.0.0.1", true).await;
    let first = slice(&client).await;
    call(
        &client,
        "DELETE",
        &format!("{SLICES}/{}", name(&first)),
        None,
    )
    .await;
    let second = slice(&client).await;
    assert_ne!(name(&first), name(&second));
    assert_eq!(first["endpoints"], second["endpoints"]);
}
