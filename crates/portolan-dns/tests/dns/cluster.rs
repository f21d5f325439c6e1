//! The Services of a cluster, by its DNS.

use portolan_core::{Resolution, SourceErrorKind};
use portolan_dns::Dns;
use portolan_test::{TestCluster, dns::DnsServer};

use crate::{client, failed, listed, next, present, until, watch};

async fn start() -> (TestCluster, DnsServer, Dns) {
    let cluster = TestCluster::start().await.unwrap();
    let server = cluster.serve_dns().await.unwrap();
    let dns = client(&server);
    (cluster, server, dns)
}

/// The Pods `db-0` … of the cluster, as a set lists them.
fn pods(cluster: &TestCluster, names: &[&str]) -> Vec<String> {
    names
        .iter()
        .map(|name| format!("{name} {}", cluster.pod("shop", name).unwrap().address()))
        .collect()
}

#[tokio::test]
async fn a_stateful_set_is_known_by_name_and_followed() {
    let (cluster, server, dns) = start().await;
    let service = cluster
        .service("shop", "db")
        .headless()
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    let db = cluster
        .stateful_set("shop", "db", 3)
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    db.wait_ready(3).await.unwrap();
    service.wait_endpoints(3).await.unwrap();
    let names = ["db-0", "db-1", "db-2"];
    let mut news = watch(&dns, "db.shop:http");
    let set = present(&mut news).await;
    assert_eq!(listed(&set), pods(&cluster, &names));
    assert_eq!((set[2].ordinal(), set[2].pod()), (Some(2), Some("db-2")));
    assert_eq!(
        server.queries().asked(),
        ["SRV _http._tcp.db.shop.svc.cluster.local."]
    );
    // The same without the addresses along, and without the port.
    server.set_glue(false);
    for service in ["db.shop:http", "db.shop"] {
        let set = present(&mut watch(&dns, service)).await;
        assert_eq!(listed(&set), pods(&cluster, &names), "{service}");
    }
    server.set_glue(true);
    // A Pod that is not ready is not in DNS, and the others stay the same.
    db.scale(2).await.unwrap();
    service.wait_endpoints(2).await.unwrap();
    let smaller = until(&mut news, &pods(&cluster, &names[..2])).await;
    assert!(std::sync::Arc::ptr_eq(&set[0], &smaller[0]));
    db.roll().await.unwrap();
    db.wait_ready(2).await.unwrap();
    until(&mut news, &pods(&cluster, &names[..2])).await;
}

#[tokio::test]
async fn pods_without_names_and_ports_by_number_are_known_by_address() {
    let (cluster, _server, dns) = start().await;
    let service = cluster
        .service("shop", "web")
        .headless()
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    let web = cluster
        .deployment("shop", "web", 3)
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    web.wait_ready(3).await.unwrap();
    service.wait_endpoints(3).await.unwrap();
    let mut expected: Vec<_> = cluster
        .pods()
        .iter()
        .map(|pod| format!("{} {}", pod.address().ip(), pod.address()))
        .collect();
    expected.sort();
    for text in ["web.shop:http", "web.shop:8080", "web.shop"] {
        let set = present(&mut watch(&dns, text)).await;
        assert_eq!(listed(&set), expected, "{text}");
        assert!(set.iter().all(|one| one.pod().is_none()), "{text}");
    }
}

#[tokio::test]
async fn a_service_is_absent_until_it_has_a_ready_pod() {
    let (cluster, _server, dns) = start().await;
    let mut news = watch(&dns, "db.shop:http");
    assert!(matches!(next(&mut news).await, Resolution::Absent));
    let service = cluster
        .service("shop", "db")
        .headless()
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    let db = cluster
        .stateful_set("shop", "db", 1)
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    db.wait_ready(1).await.unwrap();
    service.wait_endpoints(1).await.unwrap();
    let set = present(&mut news).await;
    assert_eq!(listed(&set), pods(&cluster, &["db-0"]));
    service.delete().await.unwrap();
    assert!(matches!(next(&mut news).await, Resolution::Absent));
}

#[tokio::test]
async fn a_cluster_ip_is_the_virtual_ip() {
    let (cluster, _server, dns) = start().await;
    cluster
        .service("shop", "web")
        .port_to("http", 80, 8080)
        .port_to("admin", 81, 9090)
        .with(&["spec", "clusterIP"], "10.96.7.7")
        .with(&["spec", "clusterIPs"], vec!["10.96.7.7", "fd00:10:96::7"])
        .with(&["spec", "ipFamilies"], vec!["IPv4", "IPv6"])
        .create()
        .await
        .unwrap();
    for text in ["web.shop:http", "web.shop:80"] {
        let set = present(&mut watch(&dns, text)).await;
        assert_eq!(listed(&set), ["10.96.7.7 10.96.7.7:80"], "{text}");
        let alternate = "[fd00:10:96::7]:80".parse().unwrap();
        assert_eq!(set[0].alternate(), Some(alternate), "{text}");
    }
    let error = failed(&mut watch(&dns, "web.shop")).await;
    assert_eq!(error.kind(), SourceErrorKind::Invalid);
    assert!(error.to_string().ends_with(": 80, 81"), "{error}");
    let error = failed(&mut watch(&dns, "web.shop:grpc")).await;
    assert_eq!(error.kind(), SourceErrorKind::Invalid);
    assert!(error.to_string().contains("no port `grpc`"), "{error}");
}

#[tokio::test]
async fn an_external_name_leads_to_its_addresses_by_number_only() {
    let (cluster, server, dns) = start().await;
    cluster
        .service("shop", "mail")
        .without_selector()
        .with(&["spec", "type"], "ExternalName")
        .with(&["spec", "externalName"], "mail.example.com")
        .create()
        .await
        .unwrap();
    let zone = server.zone();
    zone.add_address("mail.example.com", "203.0.113.7".parse().unwrap())
        .unwrap();
    let set = present(&mut watch(&dns, "mail.shop:25")).await;
    assert_eq!(listed(&set), ["203.0.113.7 203.0.113.7:25"]);
    let error = failed(&mut watch(&dns, "mail.shop:smtp")).await;
    assert_eq!(error.kind(), SourceErrorKind::Invalid);
    assert!(error.to_string().contains("the port's number"), "{error}");
    zone.clear();
    let mut news = watch(&dns, "mail.shop:25");
    assert!(matches!(next(&mut news).await, Resolution::Absent));
}

#[tokio::test]
async fn pods_that_are_not_ready_are_there_where_the_service_publishes_them() {
    let (cluster, _server, dns) = start().await;
    for (name, publish) in [("all", true), ("ready", false)] {
        let service = cluster
            .service("shop", name)
            .headless()
            .selecting("db")
            .port("http", 8080);
        let service = match publish {
            true => service.publish_not_ready(),
            false => service,
        };
        service.create().await.unwrap();
    }
    let db = cluster
        .stateful_set("shop", "db", 2)
        .service_name("all")
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    db.wait_ready(2).await.unwrap();
    let (mut all, mut ready) = (watch(&dns, "all.shop:http"), watch(&dns, "ready.shop:8080"));
    until(&mut all, &pods(&cluster, &["db-0", "db-1"])).await;
    while present(&mut ready).await.len() < 2 {}
    cluster.pod("shop", "db-1").unwrap().set_ready(false);
    while present(&mut ready).await.len() > 1 {}
    // What is there for all is not news.
    let set = present(&mut watch(&dns, "all.shop:http")).await;
    assert_eq!(listed(&set), pods(&cluster, &["db-0", "db-1"]));
}

#[tokio::test]
async fn without_a_namespace_it_says_what_to_do() {
    let (_cluster, server, _) = start().await;
    let dns = Dns::with_nameservers([server.address()]).unwrap();
    let error = failed(&mut watch(&dns, "db:80")).await;
    assert_eq!(error.kind(), SourceErrorKind::Invalid);
    assert!(error.to_string().contains("db.NAMESPACE"), "{error}");
    assert_eq!(server.queries().total(), 0);
}
