//! What is read of a Node.

use serde_json::{Value, json};

use super::*;

fn read(spec: Value, status: Value) -> Node {
    let metadata = json!({
        "name": "node-1", "uid": "u-1",
        "labels": { "topology.kubernetes.io/zone": "eu-1a", "node.kubernetes.io/exclude-from-external-load-balancers": "" },
    });
    let wire = json!({ "metadata": metadata, "spec": spec, "status": status });
    serde_json::from_value::<WireNode>(wire).unwrap().into()
}

fn condition(kind: &str, status: &str) -> Value {
    json!({ "conditions": [{ "type": "MemoryPressure", "status": "False" }, { "type": kind, "status": status }] })
}

#[test]
fn addresses_by_their_type_and_nothing_that_is_none() {
    let addresses = json!([
        { "type": "Hostname", "address": "node-1" },
        { "type": "InternalIP", "address": "10.0.0.7" },
        { "type": "InternalIP", "address": "fd00::7" },
        { "type": "ExternalIP", "address": "192.0.2.7" },
        { "type": "ExternalIP", "address": "node-1.example.com" },
        { "type": "ExternalIP", "address": "0.0.0.0" },
        { "type": "ExternalDNS", "address": "node-1.example.com" },
        {}, { "type": null, "address": null },
    ]);
    let node = read(json!({}), json!({ "addresses": addresses }));
    let shown = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&node.internal), ["10.0.0.7", "fd00::7"]);
    assert_eq!(shown(&node.external), ["192.0.2.7"]);
    assert_eq!(node.zone.as_deref(), Some("eu-1a"));
    assert_eq!((&*node.name, &*node.uid), ("node-1", "u-1"));
}

#[test]
fn a_node_takes_traffic_while_it_is_ready_and_stays() {
    assert!(read(json!({}), condition("Ready", "True")).fit);
    assert!(
        read(json!({ "unschedulable": true, "taints": [{ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" }] }), condition("Ready", "True")).fit,
        "a cordoned node serves on"
    );
    assert!(!read(json!({}), condition("Ready", "False")).fit);
    assert!(!read(json!({}), condition("Ready", "Unknown")).fit);
    assert!(!read(json!(null), json!(null)).fit, "nothing was said yet");
    let taints = json!([{ "key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule" }]);
    assert!(!read(json!({ "taints": taints }), condition("Ready", "True")).fit);
}
