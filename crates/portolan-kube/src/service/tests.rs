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
    assert_eq!(read(json!(null)).kind, ServiceKind::Virtual);
    assert_eq!(
        read(json!({ "clusterIP": "10.96.0.1" })).kind,
        ServiceKind::Virtual
    );
    assert_eq!(
        read(json!({ "type": "ClusterIP", "clusterIP": "None" })).kind,
        ServiceKind::Headless
    );
    assert_eq!(
        read(json!({ "clusterIP": "None" })).kind,
        ServiceKind::Headless
    );
    for outside in ["NodePort", "LoadBalancer"] {
        assert_eq!(
            read(json!({ "type": outside })).kind,
            ServiceKind::Virtual,
            "from inside, the Pods"
        );
    }
    assert_eq!(
        read(json!({ "type": "ExternalName" })).kind,
        ServiceKind::Unhandled("ExternalName".into())
    );
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
    let number = |name: &str, number, target, tcp| ServicePort {
        name: name.into(),
        number,
        target: TargetPort::Number(target),
        tcp,
    };
    assert_eq!(
        *service.ports,
        [
            number("http", 80, 8080, true),
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
