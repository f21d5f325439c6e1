//! What is read of a slice, however odd it is.

use std::sync::Arc;

use portolan_core::Endpoint;
use serde_json::json;

use super::{Names, Rejected, Slice, WireSlice};

fn read(json: serde_json::Value) -> (Slice, Rejected) {
    let wire: WireSlice = serde_json::from_value(json).unwrap();
    Slice::from_wire(wire, &mut Names::default(), |ports| ports.first()?.number)
}

fn ips(slice: &Slice) -> Vec<String> {
    slice
        .endpoints()
        .iter()
        .map(|endpoint| endpoint.address().ip().to_string())
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
    let endpoint = &slice.endpoints()[0];
    assert_eq!(
        endpoint.address(),
        "10.244.1.7:5432".parse().unwrap(),
        "at the likely port"
    );
    assert!(
        !endpoint.conditions().is_ready()
            && endpoint.conditions().is_serving()
            && endpoint.conditions().is_terminating()
    );
    assert!(endpoint.uid().is_some_and(|uid| uid == "8c4f"));
    assert_eq!(
        (endpoint.node(), endpoint.zone()),
        (Some("n1"), Some("eu-1a"))
    );
    let hints = endpoint.hints().unwrap();
    assert_eq!((&*hints.zones[0], &*hints.nodes[0]), ("eu-1a", "n1"));
    assert_eq!(endpoint.placement().as_str(), "db-0");
    assert_eq!(
        (endpoint.ordinal(), endpoint.pod()),
        (Some(0), Some("db-0"))
    );
}

#[test]
fn nil_lists_are_empty_and_nil_conditions_mean_ready() {
    let (slice, rejected) = read(json!({
        "metadata": { "name": "empty", "labels": null, "resourceVersion": null },
        "addressType": "IPv4", "endpoints": null, "ports": null,
    }));
    assert!(rejected.is_empty() && slice.endpoints().is_empty() && slice.ports.is_empty());
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
        let conditions = slice.endpoints()[0].conditions();
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
        assert!(slice.endpoints().is_empty());
        assert_eq!(rejected.names, 2);
    }
}

#[test]
fn a_target_that_is_no_pod_has_a_uid_but_no_pod() {
    let (slice, _) = read(json!({
        "metadata": { "name": "s" }, "addressType": "IPv4",
        "endpoints": [{ "addresses": ["10.0.0.1"], "targetRef": { "kind": "Node", "name": "n1", "uid": "u1" } }],
    }));
    let endpoint = &slice.endpoints()[0];
    assert!(endpoint.uid().is_some_and(|uid| uid == "u1"));
    assert_eq!(endpoint.pod(), None);
    assert_eq!(endpoint.placement().as_str(), "10.0.0.1:0");
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
        Arc::ptr_eq(&a.endpoints()[at], &b.endpoints()[to])
    };
    let uids = |slice: &Slice| -> Vec<_> {
        let endpoints = slice.endpoints().iter();
        endpoints
            .map(|one| one.uid().unwrap().to_string())
            .collect()
    };
    let unknown = |_: &Endpoint| None;
    let before = endpoints(&["a", "b", "c", "d"]);
    let mut after = endpoints(&["a", "x", "c", "d"]);
    after.share_with(Some(&before), unknown);
    assert!(
        same(&before, 0, &after, 0) && same(&before, 2, &after, 2) && same(&before, 3, &after, 3)
    );
    assert_eq!(uids(&after), ["a", "x", "c", "d"]);

    let mut shorter = endpoints(&["a", "d"]);
    shorter.share_with(Some(&before), unknown);
    assert!(same(&before, 0, &shorter, 0) && same(&before, 3, &shorter, 1));

    let mut longer = endpoints(&["a", "b", "c", "c", "d"]);
    longer.share_with(Some(&before), unknown);
    assert_eq!(uids(&longer), ["a", "b", "c", "c", "d"]);
    assert!(same(&before, 3, &longer, 4));

    // In another order, and in another slice: by whoever knows them.
    let known = |endpoint: &Endpoint| {
        let known = before
            .endpoints()
            .iter()
            .find(|known| ***known == *endpoint);
        known.map(Arc::clone)
    };
    for former in [Some(&before), None] {
        let mut turned = endpoints(&["d", "c", "new", "a"]);
        turned.share_with(former, known);
        assert!(
            same(&before, 3, &turned, 0)
                && same(&before, 2, &turned, 1)
                && same(&before, 0, &turned, 3)
        );
        assert_eq!(uids(&turned), ["d", "c", "new", "a"]);
    }
}

#[test]
fn placement_is_the_hostname_else_the_pod_else_the_address() {
    let pod = |name: &str| json!({ "kind": "Pod", "name": name, "uid": name });
    let (slice, _) = read(json!({
        "metadata": { "name": "s" }, "addressType": "IPv4", "ports": [{ "port": 8080 }],
        "endpoints": [
            { "addresses": ["10.0.0.1"], "hostname": "cache-3", "targetRef": pod("cache-3-x7k") },
            { "addresses": ["10.0.0.2"], "targetRef": pod("web-77") },
            { "addresses": ["10.0.0.3"] },
            { "addresses": ["10.0.0.4"], "hostname": "", "targetRef": pod("") },
        ],
    }));
    let said = slice.endpoints().iter();
    let said: Vec<_> = said
        .map(|one| (one.placement().as_str(), one.ordinal(), one.pod()))
        .collect();
    assert_eq!(
        said,
        [
            ("cache-3", Some(3), Some("cache-3-x7k")),
            ("web-77", None, Some("web-77")),
            ("10.0.0.3:8080", None, None),
            ("10.0.0.4:8080", None, None),
        ]
    );
}
