//! Workloads, slices and Pods together, as a client sees them.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use portolan_test::{Images, Kubelet, PodNetwork, TestCluster, Workloads, programs};
use serde_json::Value;

use crate::support::connect;

async fn ask(address: std::net::SocketAddr) -> Result<Value, String> {
    let client: HttpClient<_, Empty<bytes::Bytes>> =
        HttpClient::builder(TokioExecutor::new()).build_http();
    let uri = format!("http://{address}/x?y=1").parse().unwrap();
    let response = client.get(uri).await.map_err(|e| format!("{e:?}"))?;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Ok(serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_stateful_set_serves_is_killed_rolls_and_scales() {
    let cluster = TestCluster::builder()
        .restart_backoff(Duration::from_millis(50))
        .start()
        .await
        .unwrap();
    let service = cluster.service("shop", "db").headless().port("http", 8080);
    let service = service.create().await.unwrap();
    let db = cluster.stateful_set("shop", "db", 3).port("http", 8080);
    let db = db.create().await.unwrap();
    db.wait_ready(3).await.unwrap();
    service.wait_endpoints(3).await.unwrap();

    let pod = cluster.pod("shop", "db-1").unwrap();
    let answer = ask(pod.address()).await.unwrap();
    assert_eq!(answer["pod"], "db-1");
    assert_eq!(answer["ordinal"], 1);
    assert_eq!(answer["path"], "/x?y=1");
    assert_eq!(answer["authority"], pod.address().to_string());
    assert_eq!(pod.requests_served(), 1);

    pod.kill();
    let refused = ask(pod.address()).await.unwrap_err();
    assert!(refused.contains("ConnectionRefused"), "{refused}");
    service.wait_endpoints(3).await.unwrap();
    assert_eq!(cluster.pod("shop", "db-1").unwrap().uid(), pod.uid());

    db.roll().await.unwrap();
    db.wait_ready(3).await.unwrap();
    assert_ne!(cluster.pod("shop", "db-1").unwrap().uid(), pod.uid());

    db.scale(1).await.unwrap();
    db.wait_ready(1).await.unwrap();
    service.wait_endpoints(1).await.unwrap();
    assert!(cluster.pod("shop", "db-1").is_err());
}

#[tokio::test]
async fn a_kubelet_works_through_any_client_as_on_a_real_cluster() {
    let cluster = TestCluster::builder().without_kubelet();
    let cluster = cluster.start().await.unwrap();
    let endpoint = cluster.serve().await.unwrap();
    let client = connect(&endpoint.kubeconfig()).await;

    let images = Images::default();
    images.register("echo", programs::echo());
    let kubelet = Kubelet::start(client.clone(), PodNetwork::loopback(), images);
    let kubelet = kubelet.await.unwrap();
    let workloads = Workloads::new(client);
    let db = workloads.stateful_set("shop", "db", 2).port("http", 8080);
    let db = db.create().await.unwrap();
    db.wait_ready(2).await.unwrap();
    let pod = kubelet.pod("shop", "db-1").unwrap();
    assert_eq!(ask(pod.address()).await.unwrap()["pod"], "db-1");
    db.roll().await.unwrap();
    db.wait_ready(2).await.unwrap();
    assert_ne!(kubelet.pod("shop", "db-1").unwrap().uid(), pod.uid());
}

/// The waits give up after a minute, which finds what is quadratic; it takes seconds.
#[tokio::test]
async fn a_few_hundred_pods_are_no_trouble() {
    let cluster = TestCluster::start().await.unwrap();
    let service = cluster.service("shop", "db").headless().port("http", 8080);
    let service = service.create().await.unwrap();
    let db = cluster
        .stateful_set("shop", "db", 300)
        .port("http", 8080)
        .parallel();
    let db = db.create().await.unwrap();
    db.wait_ready(300).await.unwrap();
    service.wait_endpoints(300).await.unwrap();
    db.scale(0).await.unwrap();
    db.wait_ready(0).await.unwrap();
    service.wait_endpoints(0).await.unwrap();
}
