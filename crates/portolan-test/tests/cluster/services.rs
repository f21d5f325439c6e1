//! What becomes of a Service's addresses and ports, and where they lead.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{Node, Service};
use kube::Api;
use portolan_test::{ServiceHandle, TestCluster};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn spec(service: &ServiceHandle) -> Value {
    service.patch(json!({})).await.unwrap()["spec"].clone()
}

#[tokio::test(start_paused = true)]
async fn node_ports_are_allocated_once_and_go_with_the_type() {
    let cluster = TestCluster::start().await.unwrap();
    let two = cluster
        .service("shop", "a")
        .port("http", 80)
        .port("grpc", 90)
        .node_port();
    let a = two.create().await.unwrap();
    let b = cluster
        .service("shop", "b")
        .port("http", 80)
        .load_balancer()
        .create()
        .await
        .unwrap();
    let ports = async |service: &ServiceHandle| -> Vec<Value> {
        let spec = spec(service).await;
        spec["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| port["nodePort"].clone())
            .collect()
    };
    let (of_a, of_b) = (ports(&a).await, ports(&b).await);
    let all: BTreeSet<i64> = of_a
        .iter()
        .chain(&of_b)
        .map(|port| port.as_i64().unwrap())
        .collect();
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|port| (30_000..=32_767).contains(port)));

    // A patch that replaces the list keeps what was allocated for the ports that stay.
    let list = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    a.patch(json!({"spec": {"ports": list}})).await.unwrap();
    assert_eq!(ports(&a).await, of_a[..1]);
    a.patch(json!({"spec": {"type": "ClusterIP"}}))
        .await
        .unwrap();
    assert_eq!(ports(&a).await, [Value::Null]);
}

#[tokio::test(start_paused = true)]
async fn what_a_type_has_no_use_for_goes_with_it() {
    let cluster = TestCluster::start().await.unwrap();
    let service = cluster
        .service("shop", "a")
        .port("http", 80)
        .load_balancer()
        .create()
        .await
        .unwrap();
    service
        .set_ingress(&["192.0.2.1", "lb.example.com"])
        .await
        .unwrap();
    let whole = service.patch(json!({})).await.unwrap();
    let ingress = json!([{"ip": "192.0.2.1", "ipMode": "VIP"}, {"hostname": "lb.example.com"}]);
    assert_eq!(whole["status"]["loadBalancer"]["ingress"], ingress);
    assert_eq!(whole["spec"]["externalTrafficPolicy"], "Cluster");

    let alias = json!({"spec": {"type": "ExternalName", "externalName": "db.example.com"}});
    let whole = service.patch(alias).await.unwrap();
    assert_eq!(whole["status"]["loadBalancer"], Value::Null);
    for gone in [
        "clusterIP",
        "clusterIPs",
        "ipFamilies",
        "externalTrafficPolicy",
    ] {
        assert_eq!(whole["spec"][gone], Value::Null, "{gone}");
    }
    let headless = json!({"spec": {"type": "ClusterIP", "clusterIP": "None"}});
    let whole = service.patch(headless).await.unwrap();
    assert_eq!(whole["spec"]["clusterIPs"], json!(["None"]));

    let nonsense = json!({"spec": {"type": "ExternalName", "externalName": "DB example"}});
    let refused = service.patch(nonsense).await.unwrap_err();
    assert!(
        refused.to_string().contains("patch Service shop/a"),
        "{refused}"
    );
}

/// Says something and waits until the Pod says the same.
async fn echo(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.starts_with("HTTP/1.1 200") {
        true => Ok(()),
        false => Err(std::io::Error::other(answer)),
    }
}

/// Tries until it works, or until it does not, as the proxy is a moment behind.
async fn until(address: SocketAddr, works: bool) {
    for _ in 0..2_000 {
        if echo(address).await.is_ok() == works {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{address} works: {}", !works);
}

#[tokio::test]
async fn every_address_of_a_service_leads_to_its_pods() {
    let cluster = TestCluster::builder().kube_proxy().start().await.unwrap();
    let service = cluster
        .service("shop", "db")
        .port("http", 8080)
        .load_balancer();
    let service = service.create().await.unwrap();
    let balancer = cluster.spare_address().unwrap();
    service.set_ingress(&[&balancer.to_string()]).await.unwrap();
    let services: Api<Service> = Api::namespaced(cluster.client(), "shop");
    let spec = services.get("db").await.unwrap().spec.unwrap();
    let virtual_ip: IpAddr = spec.cluster_ip.unwrap().parse().unwrap();
    let node_port = u16::try_from(spec.ports.unwrap()[0].node_port.unwrap()).unwrap();
    let nodes: Api<Node> = Api::all(cluster.client());
    let addresses = nodes
        .list(&Default::default())
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|node| {
            let addresses = node.status.unwrap().addresses.unwrap();
            let internal = addresses
                .into_iter()
                .find(|one| one.type_ == "InternalIP")
                .unwrap();
            (
                node.metadata.name.unwrap(),
                SocketAddr::new(internal.address.parse().unwrap(), node_port),
            )
        });
    let addresses: Vec<(String, SocketAddr)> = addresses.collect();
    let fronts = [
        SocketAddr::new(virtual_ip, 8080),
        SocketAddr::new(balancer, 8080),
    ];
    for front in fronts {
        assert!(echo(front).await.is_err(), "there is no Pod yet");
    }
    let db = cluster
        .stateful_set("shop", "db", 1)
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    for front in fronts
        .into_iter()
        .chain(addresses.iter().map(|(_, address)| *address))
    {
        until(front, true).await;
    }
    // A Node that keeps to itself, and has no Pod, takes nothing.
    service
        .patch(json!({"spec": {"externalTrafficPolicy": "Local"}}))
        .await
        .unwrap();
    let own = cluster.pod("shop", "db-0").unwrap().node().to_owned();
    for (node, address) in &addresses {
        until(*address, *node == own).await;
    }
    db.scale(0).await.unwrap();
    for front in fronts {
        until(front, false).await;
    }
}
