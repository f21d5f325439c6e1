//! What is read of a slice, however odd it is.

use std::{net::IpAddr, sync::Arc};

use serde_json::json;

use super::{Names, Rejected, Slice, WireSlice};

fn read(json: serde_json::Value) -> (Slice, Rejected) {
    let wire: WireSlice = serde_json::from_value(json).unwrap();
    Slice::from_wire(wire, &mut Names::default())
}

fn ips(slice: &Slice) -> Vec<String> {
    slice
        .endpoints
        .iter()
        .map(|endpoint| endpoint.ip.to_string())
        .collect()
}

#[test]
fn a_slice_of_a_stateful_set() {
    let (slice, rejected) = read(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "db-x7k2p", "resourceVersion": "4711", "managedFields": [{ "manager": "kube-controller-manager" }],
            "labels": { "kubernetes.io/service-name": "db" },
        },
        "addressType": "IPv4",
        "ports": [{ "name": "pg", "port": 5432, "protocol": "TCP", "appProtocol": null }],
        "endpoints": [{
            "addresses": ["10.244.1.7"],
            "conditions": { "ready": false, "serving": true, "terminating": true },
            "hostname": "db-0", "nodeName": "n1", "zone": "eu-1a",
            "hints": { "forZones": [{ "name": "eu-1a" }], "forNodes": [{ "name": "n1" }] },
            "targetRef": { "kind": "Pod", "name": "db-0", "namespace": "shop", "uid": "8c4f" },
            "deprecatedTopology": { "whatever": "it says" },
        }],
    }));
    assert!(rejected.is_empty());
    assert_eq!((&*slice.name, slice.version), ("db-x7k2p", 4711));
    assert_eq!(
        (&*slice.ports[0].name, slice.ports[0].number),
        ("pg", Some(5432))
    );
    let endpoint = &slice.endpoints[0];
    assert_eq!(endpoint.ip, "10.244.1.7".parse::<IpAddr>().unwrap());
    assert!(
        !endpoint.conditions.is_ready()
            && endpoint.conditions.is_serving()
            && endpoint.conditions.is_terminating()
    );
    assert_eq!(endpoint.uid.as_deref(), Some("8c4f"));
    assert_eq!(
        (endpoint.node.as_deref(), endpoint.zone.as_deref()),
        (Some("n1"), Some("eu-1a"))
    );
    let hints = endpoint.hints.as_ref().unwrap();
    assert_eq!((&*hints.zones[0], &*hints.nodes[0]), ("eu-1a", "n1"));
    // The host's name is the Pod's: one string.
    assert!(Arc::ptr_eq(
        endpoint.hostname.as_ref().unwrap(),
        endpoint.pod.as_ref().unwrap()
    ));
}

#[test]
fn nil_lists_are_empty_and_nil_conditions_mean_ready() {
    let (slice, rejected) = read(json!({
        "metadata": { "name": "empty", "labels": null, "resourceVersion": null },
        "addressType": "IPv4", "endpoints": null, "ports": null,
    }));
    assert!(rejected.is_empty() && slice.endpoints.is_empty() && slice.ports.is_empty());
    assert_eq!(slice.version, 0);

    for conditions in [
        json!(null),
        json!({}),
        json!({ "ready": null, "serving": null, "terminating": null }),
    ] {
        let (slice, _) = read(json!({
            "metadata": { "name": "s" }, "addressType": "IPv4",
            "endpoints": [{ "addresses": ["10.0.0.1"], "conditions": conditions, "targetRef": null, "hints": null }],
        }));
        let conditions = slice.endpoints[0].conditions;
        assert!(conditions.is_ready() && conditions.is_serving() && !conditions.is_terminating());
    }
}

#[test]
fn garbage_is_left_out_and_counted_and_the_rest_stays() {
    let (slice, rejected) = read(json!({
        "metadata": { "name": "odd" }, "addressType": "IPv4",
        "ports": [
            { "name": "zero", "port": 0 }, { "name": "beyond", "port": 65536 }, { "name": "negative", "port": -1 },
            { "name": "any", "port": null }, { "port": 80 },
        ],
        "endpoints": [
            { "addresses": ["0.0.0.0"] }, { "addresses": ["224.0.1.1"] }, { "addresses": ["255.255.255.255"] },
            { "addresses": ["fd00::1"] }, { "addresses": ["10.0.0.256"] }, { "addresses": ["pod.example\n"] },
            { "addresses": [] }, { "addresses": null }, {},
            { "addresses": ["10.0.0.1", "10.0.0.2"] },
        ],
    }));
    assert_eq!(
        ips(&slice),
        ["10.0.0.1"],
        "only the first address of an endpoint means anything"
    );
    let ports: Vec<_> = slice
        .ports
        .iter()
        .map(|port| (&*port.name, port.number))
        .collect();
    assert_eq!(ports, [("any", None), ("", Some(80))]);
    assert_eq!(
        (rejected.addresses, rejected.ports, rejected.names),
        (9, 3, 0)
    );
    assert_eq!(rejected.example.as_deref(), Some("port 0"));
}

#[test]
fn ipv6_garbage() {
    let (slice, rejected) = read(json!({
        "metadata": { "name": "six" }, "addressType": "IPv6",
        "endpoints": [
            { "addresses": ["::"] }, { "addresses": ["ff02::1"] }, { "addresses": ["::ffff:10.0.0.1"] },
            { "addresses": ["10.0.0.1"] }, { "addresses": ["fd00::7"] }, { "addresses": ["::1"] },
        ],
    }));
    assert_eq!(ips(&slice), ["fd00::7", "::1"]);
    assert_eq!(rejected.addresses, 4);
}

#[test]
fn names_instead_of_addresses_are_left_out() {
    for kind in ["FQDN", "Carrier pigeon", ""] {
        let (slice, rejected) = read(json!({
            "metadata": { "name": "s" }, "addressType": kind,
            "endpoints": [{ "addresses": ["pod.example.com"] }, { "addresses": ["10.0.0.1"] }],
        }));
        assert!(slice.endpoints.is_empty());
        assert_eq!(rejected.names, 2);
    }
}

#[test]
fn a_target_that_is_no_pod_has_a_uid_but_no_pod() {
    let (slice, _) = read(json!({
        "metadata": { "name": "s" }, "addressType": "IPv4",
        "endpoints": [{ "addresses": ["10.0.0.1"], "targetRef": { "kind": "Node", "name": "n1", "uid": "u1" } }],
    }));
    assert_eq!(
        (
            slice.endpoints[0].pod.as_deref(),
            slice.endpoints[0].uid.as_deref()
        ),
        (None, Some("u1"))
    );
}

#[test]
fn what_did_not_change_is_kept_once() {
    let endpoints = |uids: &[&str]| {
        let endpoint = |uid: &&str| json!({ "addresses": ["10.0.0.1"], "targetRef": { "name": uid, "uid": uid } });
        let endpoints: Vec<_> = uids.iter().map(endpoint).collect();
        let (slice, _) = read(
            json!({ "metadata": { "name": "s" }, "addressType": "IPv4", "endpoints": endpoints }),
        );
        slice
    };
    let same = |a: &Slice, at: usize, b: &Slice, to: usize| {
        Arc::ptr_eq(
            a.endpoints[at].uid.as_ref().unwrap(),
            b.endpoints[to].uid.as_ref().unwrap(),
        )
    };
    let before = endpoints(&["a", "b", "c", "d"]);
    let mut after = endpoints(&["a", "x", "c", "d"]);
    after.share_with(&before);
    assert!(
        same(&before, 0, &after, 0) && same(&before, 2, &after, 2) && same(&before, 3, &after, 3)
    );
    assert_eq!(after.endpoints[1].uid.as_deref(), Some("x"));

    let mut shorter = endpoints(&["a", "d"]);
    shorter.share_with(&before);
    assert!(same(&before, 0, &shorter, 0) && same(&before, 3, &shorter, 1));

    let mut longer = endpoints(&["a", "b", "c", "c", "d"]);
    longer.share_with(&before);
    let uids: Vec<_> = longer
        .endpoints
        .iter()
        .map(|endpoint| endpoint.uid.as_deref().unwrap())
        .collect();
    assert_eq!(uids, ["a", "b", "c", "c", "d"]);
}
