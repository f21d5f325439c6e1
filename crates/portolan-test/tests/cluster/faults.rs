//! Faults of the API, in the process and on the socket.

use std::time::Duration;

use crate::support::{Lines, call, config_map, connect, get, patch, post, version};
use http::StatusCode;
use portolan_test::{Corruption, TestCluster, User, Verb};
use serde_json::json;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WATCH: &str = "/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=";

async fn cluster() -> TestCluster {
    TestCluster::builder()
        .without_kubelet()
        .start()
        .await
        .unwrap()
}

/// A cluster with one object, and a watch from there.
async fn watched(cluster: &TestCluster) -> (kube::Client, Lines) {
    let client = cluster.client();
    let made = post(&client, MAPS, config_map("a", "x")).await;
    let watch = Lines::open(&client, &format!("{WATCH}{}", version(&made))).await;
    (client, watch)
}

async fn touch(client: &kube::Client, value: u32) {
    patch(
        client,
        &format!("{MAPS}/a"),
        json!({"data": {"k": value.to_string()}}),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn down_is_down_and_up_again() {
    let cluster = cluster().await;
    let (client, mut watch) = watched(&cluster).await;
    cluster.faults().api_down();
    assert!(watch.raw().await.unwrap().is_err(), "the watch breaks");
    let error = client.apiserver_version().await.unwrap_err();
    assert!(error.to_string().contains("ServiceError"), "{error}");
    // The cluster itself goes on.
    cluster.namespace("meanwhile").await.unwrap();
    cluster.faults().api_up();
    get(&client, "/api/v1/namespaces/meanwhile").await;
}

#[tokio::test(start_paused = true)]
async fn a_hanging_api_says_nothing_and_goes_on_afterwards() {
    let cluster = cluster().await;
    let (client, mut watch) = watched(&cluster).await;
    cluster.faults().hang_api();
    let asked = tokio::spawn(async move { client.apiserver_version().await });
    cluster.namespace("meanwhile").await.unwrap();
    assert!(watch.is_silent_for(Duration::from_secs(3600)).await);
    assert!(!asked.is_finished());
    cluster.faults().api_up();
    asked.await.unwrap().unwrap();
    touch(&cluster.client(), 1).await;
    assert_eq!(watch.named().await.0, "MODIFIED");
}

#[tokio::test(start_paused = true)]
async fn watches_are_cut_or_ended_and_can_resume() {
    let cluster = cluster().await;
    let (client, mut watch) = watched(&cluster).await;
    cluster.faults().cut_watches();
    assert!(watch.raw().await.unwrap().is_err(), "in the middle");
    assert!(watch.raw().await.is_none());
    let list = get(&client, MAPS).await;
    let mut watch = Lines::open(&client, &format!("{WATCH}{}", version(&list))).await;
    touch(&client, 1).await;
    assert_eq!(watch.named().await.0, "MODIFIED", "a new one is not cut");
    cluster.faults().end_watches();
    assert!(watch.raw().await.is_none(), "in good order");
}

#[tokio::test(start_paused = true)]
async fn events_are_lost_doubled_and_late() {
    let cluster = cluster().await;
    let (client, mut watch) = watched(&cluster).await;
    let faults = cluster.faults();
    let value = |object: &serde_json::Value| object["data"]["k"].as_str().unwrap().to_owned();

    faults.drop_events(2);
    for number in 1..=3 {
        touch(&client, number).await;
    }
    assert_eq!(value(&watch.next().await.unwrap().1), "3");

    faults
        .drop_events_if(|event| event.resource == "configmaps" && event.object["data"]["k"] == "4");
    touch(&client, 4).await;
    touch(&client, 5).await;
    assert_eq!(value(&watch.next().await.unwrap().1), "5");

    faults.heal();
    faults.double_events();
    touch(&client, 6).await;
    assert_eq!(value(&watch.next().await.unwrap().1), "6");
    assert_eq!(value(&watch.next().await.unwrap().1), "6");

    faults.heal();
    faults.delay_events(Duration::from_secs(3));
    let start = tokio::time::Instant::now();
    touch(&client, 7).await;
    assert_eq!(value(&watch.next().await.unwrap().1), "7");
    assert_eq!(start.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn compaction_makes_a_resume_impossible_and_leaves_open_watches_alone() {
    let cluster = cluster().await;
    let (client, mut watch) = watched(&cluster).await;
    let list = get(&client, MAPS).await;
    cluster.faults().compact();
    touch(&client, 1).await;
    assert_eq!(watch.named().await.0, "MODIFIED");
    let mut late = Lines::open(&client, &format!("{WATCH}{}", version(&list))).await;
    let (change, status) = late.next().await.unwrap();
    assert_eq!((change.as_str(), &status["code"]), ("ERROR", &json!(410)));
}

#[tokio::test(start_paused = true)]
async fn answers_are_corrupted_once() {
    let cluster = cluster().await;
    let (client, watch) = watched(&cluster).await;
    let request = || http::Request::get(MAPS).body(Vec::new()).unwrap();
    for corruption in [Corruption::Garbage, Corruption::Truncated] {
        cluster.faults().corrupt_next_answer(corruption);
        assert!(
            client
                .request::<serde_json::Value>(request())
                .await
                .is_err(),
            "{corruption:?}"
        );
        get(&client, MAPS).await;
    }
    cluster.faults().corrupt_next_answer(Corruption::WrongTypes);
    let odd = get(&client, MAPS).await;
    assert_eq!(
        (&odd["metadata"], &odd["items"]),
        (&json!(7), &json!("not a list"))
    );

    cluster.faults().corrupt_next_answer(Corruption::WrongTypes);
    cluster.workloads().namespace("x").await.unwrap();
    let path = format!("{MAPS}/a");
    let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::default_namespaced(cluster.client());
    assert!(
        maps.get("a").await.is_err(),
        "the cluster's own requests do not use it up"
    );
    get(&client, &path).await;
    drop(watch);
}

#[tokio::test(start_paused = true)]
async fn an_event_can_be_corrupted() {
    for corruption in [Corruption::Garbage, Corruption::Truncated] {
        let cluster = cluster().await;
        let client = cluster.client();
        let mut watch = Lines::open(&client, "/api/v1/namespaces?watch=1").await;
        watch.next().await.unwrap();
        watch.next().await.unwrap();
        cluster.faults().corrupt_next_answer(corruption);
        // By the cluster's own hand, so that no answer to a client comes first.
        cluster.namespace("x").await.unwrap();
        let line = watch.raw().await.unwrap();
        let event = line.map(|line| serde_json::from_str::<serde_json::Value>(&line));
        assert!(!matches!(event, Ok(Ok(_))), "{event:?}");
        cluster.namespace("y").await.unwrap();
        match corruption {
            Corruption::Truncated => assert!(watch.raw().await.is_none()),
            _ => assert_eq!(watch.named().await, ("ADDED".into(), "y".into())),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_requests_get_a_status() {
    let cluster = cluster().await;
    let client = cluster.client();
    cluster
        .faults()
        .answer_status(StatusCode::TOO_MANY_REQUESTS, 2);
    cluster
        .faults()
        .answer_status(StatusCode::INTERNAL_SERVER_ERROR, 1);
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(call(&client, "GET", MAPS, None).await.0);
    }
    assert_eq!(codes, [429, 429, 500, 200]);
}

#[tokio::test(start_paused = true)]
async fn requests_and_open_watches_are_counted() {
    let cluster = cluster().await;
    let requests = cluster.requests();
    let (client, watch) = watched(&cluster).await;
    get(&client, MAPS).await;
    get(&client, MAPS).await;
    assert_eq!(requests.count(Verb::Create, "configmaps"), 1);
    assert_eq!(requests.count(Verb::List, "configmaps"), 2);
    assert_eq!(requests.count(Verb::Watch, "configmaps"), 1);
    assert_eq!(requests.total(), 4);
    assert_eq!(requests.open_watches("configmaps"), 1);
    let open = requests.watches();
    assert_eq!(
        (open[0].namespace.as_str(), open[0].user.as_str()),
        ("default", "admin")
    );
    drop(watch);
    assert_eq!(requests.open_watches("configmaps"), 0);
    requests.reset();
    assert_eq!(requests.total(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_cluster_is_gone_for_its_clients() {
    let cluster = cluster().await;
    let (client, mut watch) = watched(&cluster).await;
    drop(cluster);
    assert!(watch.raw().await.unwrap().is_err());
    assert!(client.apiserver_version().await.is_err());
}

#[tokio::test]
async fn the_same_api_is_on_a_socket_with_the_same_faults() {
    let cluster = cluster().await;
    let endpoint = cluster.serve().await.unwrap();
    let client = connect(&endpoint.kubeconfig()).await;
    let made = post(&client, MAPS, config_map("a", "x")).await;
    let mut watch = Lines::open(&client, &format!("{WATCH}{}", version(&made))).await;
    touch(&cluster.client(), 1).await;
    assert_eq!(watch.named().await.0, "MODIFIED");

    cluster.faults().api_down();
    assert!(watch.raw().await.unwrap().is_err());
    let refused = async || tokio::net::TcpStream::connect(endpoint.address()).await;
    while refused().await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        refused().await.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    cluster.faults().api_up();
    while refused().await.is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    get(&client, MAPS).await;
}

#[tokio::test]
async fn tokens_count_on_the_socket_too_and_can_be_read_from_a_file() {
    let cluster = cluster().await;
    let endpoint = cluster.serve().await.unwrap();
    let token = cluster.sign_in(User::new("nobody"));
    let client = connect(&endpoint.kubeconfig_for(&token)).await;
    assert_eq!(call(&client, "GET", MAPS, None).await.0, 403);
    cluster.expire(&token);
    assert_eq!(call(&client, "GET", MAPS, None).await.0, 401);

    let file = std::env::temp_dir().join(format!("portolan-test-token-{}", std::process::id()));
    std::fs::write(&file, cluster.admin_token().as_str()).unwrap();
    let client = connect(&endpoint.kubeconfig_with_token_file(&file)).await;
    get(&client, MAPS).await;
    std::fs::remove_file(&file).unwrap();
}
