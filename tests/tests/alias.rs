//! Services whose addresses are names, all the way: the API, DNS, a balanced client, and Pods that answer.
#![cfg(test)]

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use portolan::{
    Cluster, Naming, Reach, View,
    dns::Dns,
    http::{HttpBuilder, HttpClient},
    kube::Vantage,
};
use portolan_test::{TestCluster, dns::DnsServer};
use serde_json::{Value, json};
use tokio::time::timeout;

/// The name under which DNS knows the Pods of `db`.
const PODS: &str = "db.shop.svc.cluster.local";

struct Stage {
    cluster: TestCluster,
    _server: DnsServer,
    source: portolan_kube::Cluster,
}

impl Stage {
    /// A headless Service with two Pods, and a DNS that knows it.
    async fn set() -> Self {
        let cluster = TestCluster::start().await.unwrap();
        let db = cluster.service("shop", "db").headless().port("http", 8080);
        let db = db.create().await.unwrap();
        let pods = cluster.stateful_set("shop", "db", 2).port("http", 8080);
        pods.create().await.unwrap().wait_ready(2).await.unwrap();
        db.wait_endpoints(2).await.unwrap();
        let server = cluster.serve_dns().await.unwrap();
        let dns = Dns::with_nameservers([server.address()]).unwrap();
        let dns = dns.allow_loopback();
        Self {
            source: portolan_kube::Cluster::from(cluster.client()).with_host_resolver(dns),
            cluster,
            _server: server,
        }
    }
}

async fn until(client: &HttpClient, holds: impl Fn(&View) -> bool) -> View {
    let mut observer = client.observe();
    let seen = timeout(Duration::from_secs(30), async {
        loop {
            let view = observer.changed().await.unwrap();
            if holds(&view) {
                return view;
            }
        }
    });
    seen.await
        .unwrap_or_else(|_| panic!("{:?}", client.observe().view()))
}

/// What the Pod says of itself, and of the request.
async fn ask(client: &HttpClient) -> Value {
    let request = http::Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    let response = client.send(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    serde_json::from_slice(&body.to_bytes()).unwrap()
}

fn alias(source: &portolan_kube::Cluster) -> HttpBuilder {
    let cluster = Cluster::from(source.clone());
    cluster.service("alias.shop:8080").unwrap().http()
}

#[tokio::test]
async fn an_alias_is_followed_by_dns_wherever_it_leads() {
    let stage = Stage::set().await;
    let service = stage.cluster.service("shop", "alias").external_name(PODS);
    let service = service.create().await.unwrap();
    let client = alias(&stage.source).build().unwrap();
    let view = until(&client, |view| view.endpoints().len() == 2).await;
    assert_eq!(view.reach(), Reach::ExternalName);
    assert!(
        view.endpoints()
            .iter()
            .all(|one| one.endpoint.host() == Some(PODS))
    );
    let answer = ask(&client).await;
    assert_eq!(
        answer["authority"], "alias.shop:8080",
        "as every client in the cluster says"
    );
    assert!(answer["pod"].as_str().unwrap().starts_with("db-"));
    let named = alias(&stage.source).naming(Naming::Target).build().unwrap();
    assert_eq!(ask(&named).await["authority"], format!("{PODS}:8080"));

    // The name of one Pod, while it is in use.
    let one = format!("db-1.{PODS}");
    service
        .patch(json!({ "spec": { "externalName": one } }))
        .await
        .unwrap();
    until(&client, |view| view.endpoints().len() == 1).await;
    assert_eq!(ask(&client).await["pod"], "db-1");
    // A name that is none takes the addresses away, for that is what DNS says.
    service
        .patch(json!({ "spec": { "externalName": format!("nobody.{PODS}") } }))
        .await
        .unwrap();
    until(&client, |view| view.endpoints().is_empty()).await;
}

#[tokio::test]
async fn a_load_balancer_with_a_name_is_found_by_dns() {
    let stage = Stage::set().await;
    let service = stage
        .cluster
        .service("shop", "front")
        .port("http", 8080)
        .load_balancer();
    let service = service.create().await.unwrap();
    let outside = Cluster::from(stage.source.clone().with_vantage(Vantage::Outside));
    let client = outside
        .service("front.shop:http")
        .unwrap()
        .http()
        .build()
        .unwrap();
    service.set_ingress(&[PODS]).await.unwrap();
    let view = until(&client, |view| view.endpoints().len() == 2).await;
    assert_eq!(view.reach(), Reach::LoadBalancer);
    assert!(
        ask(&client).await["pod"]
            .as_str()
            .unwrap()
            .starts_with("db-")
    );
}
