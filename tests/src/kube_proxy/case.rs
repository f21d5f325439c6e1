//! A Service, its slices, and a client on some Node: made up, within what the API server admits.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that is made up here; what is missing ends the test"
)]

use fastrand::Rng;
use serde_json::{Value, json};

use super::Chosen;

pub(super) const SERVICE: &str = "db";
pub(super) const NAMESPACE: &str = "shop";
pub(super) const PORT: &str = "http";

const NODES: [&str; 3] = ["n0", "n1", "n2"];
const ZONES: [&str; 2] = ["za", "zb"];
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) service: Value,
    pub(super) slices: Vec<Value>,
    pub(super) node: &'static str,
    pub(super) zone: Option<&'static str>,
    local: bool,
    character: Character,
}

/// What the endpoints of a case have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Character {
    zones: Whole,
    nodes: Whole,
    /// Nobody is ready.
    bleak: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    None,
    Some,
    All,
}

impl Case {
    pub(super) fn random(random: &mut Rng) -> Self {
        let whole = |random: &mut Rng| match random.u8(0..4) {
            0 => Whole::None,
            1 => Whole::Some,
            _ => Whole::All,
        };
        let character = Character {
            zones: whole(random),
            nodes: whole(random),
            bleak: random.u8(0..6) == 0,
        };
        let local = random.u8(0..4) == 0;
        let mut addresses = Addresses::default();
        let slices = random.u8(0..5);
        let mut slices: Vec<_> = (0..slices)
            .map(|number| slice(random, number, character, &mut addresses))
            .collect();
        move_one(random, &mut slices);
        Self {
            service: service(random, local),
            slices,
            node: NODES[random.usize(0..NODES.len())],
            zone: (random.u8(0..8) > 0).then(|| ZONES[random.usize(0..ZONES.len())]),
            local,
            character,
        }
    }

    /// As `categorize` reads it.
    pub(super) fn to_json(&self) -> Value {
        let labels = match self.zone {
            Some(zone) => json!({ ZONE_LABEL: zone, "kubernetes.io/hostname": self.node }),
            None => json!({ "kubernetes.io/hostname": self.node }),
        };
        json!({
            "service": self.service, "slices": self.slices, "port": PORT,
            "node": self.node, "labels": labels,
        })
    }

    /// What is special about it.
    pub(super) fn features(&self, chosen: &Chosen) -> [(&'static str, bool); 7] {
        let count = chosen.v4.len() + chosen.v6.len();
        let endpoints = || {
            let slices = self
                .slices
                .iter()
                .filter_map(|slice| slice["endpoints"].as_array());
            slices.flatten()
        };
        let terminating = || endpoints().filter(|one| one["conditions"]["terminating"] == true);
        let any_ready = endpoints().any(|one| one["conditions"]["ready"] != false);
        [
            ("internalTrafficPolicy: Local", self.local && count > 0),
            ("nobody to be used", count == 0),
            (
                "hints for all zones",
                self.character.zones == Whole::All && count > 0,
            ),
            (
                "hints for all Nodes",
                self.character.nodes == Whole::All && count > 0,
            ),
            (
                "terminating endpoints",
                terminating().count() > 0 && count > 0,
            ),
            ("nobody ready, and somebody used", !any_ready && count > 0),
            (
                "both families",
                !chosen.v4.is_empty() && !chosen.v6.is_empty(),
            ),
        ]
    }
}

fn service(random: &mut Rng, local: bool) -> Value {
    let mut spec = json!({
        "type": "ClusterIP",
        "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10", "fd00:96::10"],
        "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack",
        "sessionAffinity": "None", "selector": { "app": SERVICE },
        "ports": [
            { "name": PORT, "protocol": "TCP", "port": 80, "targetPort": 8080 },
            { "name": "admin", "protocol": "TCP", "port": 81, "targetPort": "admin" },
        ],
    });
    // From within the cluster, this is the same to a client.
    if random.u8(0..3) == 0 {
        spec["type"] = "NodePort".into();
        spec["externalTrafficPolicy"] = ["Cluster", "Local"][random.usize(0..2)].into();
        spec["ports"][0]["nodePort"] = 30_080.into();
        spec["ports"][1]["nodePort"] = 30_081.into();
    }
    match (local, random.bool()) {
        (true, _) => spec["internalTrafficPolicy"] = "Local".into(),
        (false, true) => spec["internalTrafficPolicy"] = "Cluster".into(),
        (false, false) => {}
    }
    match random.u8(0..3) {
        0 => spec["trafficDistribution"] = "PreferSameZone".into(),
        1 => spec["trafficDistribution"] = "PreferSameNode".into(),
        _ => {}
    }
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": SERVICE, "namespace": NAMESPACE, "resourceVersion": "1", "uid": "s" },
        "spec": spec, "status": { "loadBalancer": {} },
    })
}

fn slice(random: &mut Rng, number: u8, character: Character, addresses: &mut Addresses) -> Value {
    let v6 = random.bool();
    let endpoints = random.u8(0..5);
    let endpoints: Vec<_> = (0..endpoints)
        .map(|_| endpoint(random, v6, character, addresses))
        .collect();
    let container = random.u16(8080..8082);
    let http = json!({ "name": PORT, "protocol": "TCP", "port": container });
    let admin = json!({ "name": "admin", "protocol": "TCP", "port": 9090 });
    // Now and then the Pods of a slice do not offer the port.
    let ports = match random.u8(0..10) {
        0 => json!([admin]),
        1 => json!(null),
        2 => json!([admin, http]),
        _ => json!([http]),
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{SERVICE}-{number}"), "namespace": NAMESPACE, "resourceVersion": "1",
            "labels": { "kubernetes.io/service-name": SERVICE },
        },
        "addressType": if v6 { "IPv6" } else { "IPv4" },
        "endpoints": endpoints, "ports": ports,
    })
}

fn endpoint(random: &mut Rng, v6: bool, character: Character, addresses: &mut Addresses) -> Value {
    let number = addresses.next();
    let (address, terminating) = match addresses.inherit(random, v6) {
        // A Pod that terminates, and whose address another one has by now.
        Some(address) => (address, true),
        None => (addresses.make(number, v6), random.u8(0..4) == 0),
    };
    if !terminating {
        addresses.given(address.clone(), v6);
    }
    let mut conditions = json!({});
    let mut set = |name: &str, value: Option<bool>| {
        if let Some(value) = value {
            conditions[name] = value.into();
        }
    };
    let any = |random: &mut Rng| [None, Some(true), Some(false)][random.usize(0..3)];
    let ready = any(random);
    set("ready", if character.bleak { Some(false) } else { ready });
    set("serving", any(random));
    let said = if terminating {
        Some(true)
    } else {
        [None, Some(false)][random.usize(0..2)]
    };
    set("terminating", said);
    let mut endpoint = json!({
        "addresses": [address], "conditions": conditions,
        "targetRef": { "kind": "Pod", "name": format!("pod-{number}"), "namespace": NAMESPACE, "uid": format!("u-{number}") },
    });
    if random.u8(0..6) > 0 {
        endpoint["nodeName"] = NODES[random.usize(0..NODES.len())].into();
    }
    let mut hint = |whole: Whole, key: &str, names: &[&str]| {
        let hinted = match whole {
            Whole::None => false,
            Whole::Some => random.bool(),
            Whole::All => true,
        };
        if hinted {
            let first = random.usize(0..names.len());
            let mut list = vec![json!({ "name": names[first] })];
            if random.u8(0..4) == 0 {
                list.push(json!({ "name": names[(first + 1) % names.len()] }));
            }
            endpoint["hints"][key] = list.into();
        }
    };
    hint(character.zones, "forZones", &ZONES);
    hint(character.nodes, "forNodes", &NODES);
    endpoint
}

/// An endpoint that is moved to another slice stands in both for a while.
fn move_one(random: &mut Rng, slices: &mut [Value]) {
    if let [first, second, ..] = slices
        && random.u8(0..4) == 0
        && first["addressType"] == second["addressType"]
        && first["ports"] == second["ports"]
        && let Some(moved) = first["endpoints"].get(0).cloned()
        && let Some(endpoints) = second["endpoints"].as_array_mut()
    {
        endpoints.push(moved);
    }
}

/// Each address is one Pod's, unless it was given on.
#[derive(Default)]
struct Addresses {
    made: u16,
    given: Vec<(String, bool)>,
}

impl Addresses {
    fn next(&mut self) -> u16 {
        self.made += 1;
        self.made
    }

    fn make(&self, number: u16, v6: bool) -> String {
        match v6 {
            true => format!("fd00:244::{number:x}"),
            false => format!("10.244.1.{number}"),
        }
    }

    fn given(&mut self, address: String, v6: bool) {
        self.given.push((address, v6));
    }

    /// Once each: of two that have left, kube-proxy keeps the first that it comes upon.
    fn inherit(&mut self, random: &mut Rng, v6: bool) -> Option<String> {
        let such = |(_, (_, six)): &(usize, &(String, bool))| *six == v6;
        let such: Vec<_> = self
            .given
            .iter()
            .enumerate()
            .filter(such)
            .map(|(at, _)| at)
            .collect();
        if such.is_empty() || random.u8(0..12) > 0 {
            return None;
        }
        let at = such.get(random.usize(0..such.len()))?;
        Some(self.given.swap_remove(*at).0)
    }
}
