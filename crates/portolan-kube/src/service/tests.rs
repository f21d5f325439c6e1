//! What is read of a Service.

use serde_json::json;

use super::*;

fn read(spec: serde_json::Value) -> Service {
    let wire: WireService =
        serde_json::from_value(json!({ "metadata": { "name": "s" }, "spec": spec })).unwrap();
    wire.into()
}

#[test]
fn kinds() {
    assert_eq!(read(json!(null)).kind, ServiceKind::ClusterIp);
    assert_eq!(
        read(json!({ "clusterIP": "10.96.0.1" })).kind,
        ServiceKind::ClusterIp
    );
    for headless in [
        json!({ "type": "ClusterIP", "clusterIP": "None" }),
        json!({ "clusterIP": "None" }),
    ] {
        assert_eq!(read(headless).kind, ServiceKind::Headless);
    }
    assert_eq!(
        read(json!({ "type": "NodePort" })).kind,
        ServiceKind::NodePort
    );
    assert_eq!(
        read(json!({ "type": "LoadBalancer" })).kind,
        ServiceKind::LoadBalancer(Box::default())
    );
    assert_eq!(
        read(json!({ "type": "Quantum" })).kind,
        ServiceKind::Unknown("Quantum".into())
    );
}

#[test]
fn aliases() {
    let alias = |name: serde_json::Value| {
        read(json!({ "type": "ExternalName", "externalName": name })).kind
    };
    let host = HostName::parse("db.example.com").unwrap();
    assert_eq!(
        alias(json!("db.example.com.")),
        ServiceKind::ExternalName(Ok(host))
    );
    assert_eq!(
        alias(json!("10.0.0.1")),
        ServiceKind::ExternalName(Err("10.0.0.1".into()))
    );
    assert_eq!(
        alias(json!(null)),
        ServiceKind::ExternalName(Err("".into()))
    );
}

#[test]
fn addresses() {
    let both = read(json!({ "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00::7"] }));
    assert_eq!(
        *both.cluster_ips,
        ["10.96.0.7", "fd00::7"].map(|ip| ip.parse::<IpAddr>().unwrap())
    );
    let old = read(json!({ "clusterIP": "10.96.0.7", "clusterIPs": null }));
    assert_eq!(*old.cluster_ips, ["10.96.0.7".parse::<IpAddr>().unwrap()]);
    assert!(
        read(json!({ "clusterIP": "None", "clusterIPs": ["None"] }))
            .cluster_ips
            .is_empty()
    );
    assert!(read(json!({ "clusterIP": "" })).cluster_ips.is_empty());
}

#[test]
fn traffic_policies() {
    let local = json!({ "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local" });
    let service = read(local);
    assert_eq!(service.internal_traffic, InternalTraffic::Local);
    assert!(service.external_traffic_stays);
    let service =
        read(json!({ "internalTrafficPolicy": "Cluster", "externalTrafficPolicy": "Whatever" }));
    assert_eq!(service.internal_traffic, InternalTraffic::Cluster);
    assert!(!service.external_traffic_stays);
    let headless = read(json!({ "clusterIP": "None", "internalTrafficPolicy": "Local" }));
    assert_eq!(
        headless.internal_traffic,
        InternalTraffic::Cluster,
        "it has no traffic of its own"
    );
}

#[test]
fn ingress() {
    let status = json!({ "loadBalancer": { "ingress": [
        { "ip": "192.0.2.1", "hostname": "lb.example.com", "ipMode": "VIP" },
        { "hostname": "LB.example.com", "ports": [
            { "port": 80, "protocol": "TCP", "error": "NoQuota" }, { "port": 81, "protocol": "TCP", "error": null },
            { "port": 0, "error": "Odd" },
        ] },
        { "ip": "" , "hostname": "" }, {}, { "ip": "lb.example.com" },
    ] } });
    let wire = json!({ "metadata": { "name": "s" }, "spec": { "type": "LoadBalancer" }, "status": status });
    let service: Service = serde_json::from_value::<WireService>(wire).unwrap().into();
    let host = IngressPlace::Host(HostName::parse("lb.example.com").unwrap());
    let fault = PortFault {
        port: 80,
        tcp: true,
        error: "NoQuota".into(),
    };
    let ingress = [
        Ingress {
            place: IngressPlace::Ip("192.0.2.1".parse().unwrap()),
            faults: Box::default(),
        },
        Ingress {
            place: host,
            faults: [fault].into(),
        },
    ];
    assert_eq!(service.kind, ServiceKind::LoadBalancer(ingress.into()));
    let nothing = json!({ "metadata": { "name": "s" }, "spec": { "type": "LoadBalancer" }, "status": { "loadBalancer": null } });
    let service: Service = serde_json::from_value::<WireService>(nothing)
        .unwrap()
        .into();
    assert_eq!(service.kind, ServiceKind::LoadBalancer(Box::default()));
}

#[test]
fn ports() {
    let service = read(json!({ "ports": [
        { "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP", "nodePort": 30080 },
        { "name": "grpc", "port": 90, "targetPort": "web" },
        { "name": "udp", "port": 53, "protocol": "UDP" },
        { "port": 70, "targetPort": 0 },
        { "name": "none", "port": 0 }, { "name": "beyond", "port": 65536 },
    ] }));
    let number = |name: &str, number: u16, target, tcp| ServicePort {
        name: name.into(),
        number: number.try_into().unwrap(),
        target: TargetPort::Number(target),
        node_port: None,
        tcp,
    };
    assert_eq!(
        *service.ports,
        [
            ServicePort {
                node_port: Some(30080),
                ..number("http", 80, 8080, true)
            },
            ServicePort {
                target: TargetPort::Name("web".into()),
                ..number("grpc", 90, 1, true)
            },
            number("udp", 53, 53, false),
            number("", 70, 70, true),
        ]
    );
    assert_eq!(
        service.ports_for_people(),
        "`http` (80), `grpc` (90), `udp` (53), 70"
    );
    assert_eq!(
        read(json!({ "ports": null })).ports_for_people(),
        "no ports"
    );
}

#[test]
fn families() {
    assert_eq!(
        read(json!({ "ipFamilies": ["IPv6", "IPv4"] })).family,
        Some(Family::V6)
    );
    assert_eq!(
        read(json!({ "ipFamilies": ["IPv4"] })).family,
        Some(Family::V4)
    );
    assert_eq!(read(json!({ "ipFamilies": null })).family, None);
}

#[test]
fn whether_a_client_is_to_stay_with_one_endpoint() {
    let none = [
        json!({}),
        json!({ "sessionAffinity": null, "sessionAffinityConfig": null }),
        json!({ "sessionAffinity": "None" }),
        json!({ "sessionAffinity": "ByTheStars" }),
    ];
    for spec in none {
        assert_eq!(read(spec).session_affinity, SessionAffinity::None);
    }
    let timeout = |spec| match read(spec).session_affinity {
        SessionAffinity::ClientIp { timeout } => timeout.as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!(timeout(json!({ "sessionAffinity": "ClientIP" })), 10_800);
    let config = |config| json!({ "sessionAffinity": "ClientIP", "sessionAffinityConfig": config });
    assert_eq!(timeout(config(json!({}))), 10_800);
    assert_eq!(timeout(config(json!({ "clientIP": null }))), 10_800);
    assert_eq!(
        timeout(config(json!({ "clientIP": { "timeoutSeconds": 60 } }))),
        60
    );
}
