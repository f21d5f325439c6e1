//! What the API server makes of a Service: its defaults, the addresses and ports that it gets, and those
//! that it loses with its type.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::json;
use crate::kind::Kind;
use crate::store::{Key, Store};

use super::refusal::Refusal;
use super::write::is_subdomain;

/// The range of node ports, as in Kubernetes.
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30_000..=32_767;

/// Where virtual IPs come from: a thousand addresses or more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceRange {
    first: u32,
    size: u32,
}

/// What other Services have already.
#[derive(Debug)]
pub(crate) struct Taken {
    addresses: HashSet<String>,
    node_ports: HashSet<i64>,
}

impl ServiceRange {
    /// 10.96.0.0/16, where nobody answers.
    pub(crate) const FICTITIOUS: Self = Self {
        first: 0x0a60_0000,
        size: 1 << 16,
    };

    /// A random range on loopback, for virtual IPs that work.
    pub(crate) fn loopback() -> Self {
        let block = fastrand::u32(0x7f02_0000 >> 10..0x7fff_0000 >> 10);
        Self {
            first: block << 10,
            size: 1 << 10,
        }
    }

    fn addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        let all = (1..self.size).map(move |host| Ipv4Addr::from(self.first + host));
        all.filter(|ip| !matches!(ip.octets(), [.., 0 | 255]))
    }
}

impl Taken {
    /// What all Services have but this one.
    pub(crate) fn by_others(store: &Store, this: &Key) -> Self {
        let mut taken = Self {
            addresses: HashSet::new(),
            node_ports: HashSet::new(),
        };
        for service in store.objects(Kind::Service) {
            if Key::of(&service) == *this {
                continue;
            }
            let addresses = json::items(&service, "/spec/clusterIPs").iter();
            let addresses = addresses.filter_map(Value::as_str);
            taken.addresses.extend(addresses.map(str::to_owned));
            let ports = json::items(&service, "/spec/ports").iter();
            taken
                .node_ports
                .extend(ports.filter_map(|port| json::integer(port, "/nodePort")));
        }
        taken
    }
}

/// Fills in what a Service leaves out.
pub(crate) fn fill_in(service: &mut Value, range: ServiceRange, taken: Taken) {
    json::default(service, &["spec", "type"], "ClusterIP");
    json::default(service, &["spec", "sessionAffinity"], "None");
    for port in ports(service) {
        json::default(port, &["protocol"], "TCP");
        let number = port.get("port").cloned().unwrap_or(Value::Null);
        json::default(port, &["targetPort"], number);
    }
    if json::text(service, "/spec/type") == "ExternalName" {
        return;
    }
    json::default(service, &["spec", "internalTrafficPolicy"], "Cluster");
    fill_in_addresses(service, range, &taken);
    if has_node_ports(service) {
        json::default(service, &["spec", "externalTrafficPolicy"], "Cluster");
        fill_in_node_ports(service, taken);
    }
}

fn fill_in_addresses(service: &mut Value, range: ServiceRange, taken: &Taken) {
    let dual = json::text(service, "/spec/ipFamilyPolicy").contains("DualStack");
    json::default(service, &["spec", "ipFamilyPolicy"], "SingleStack");
    let families = if dual {
        json!(["IPv4", "IPv6"])
    } else {
        json!(["IPv4"])
    };
    json::default(service, &["spec", "ipFamilies"], families);
    let free = |address: &Ipv4Addr| !taken.addresses.contains(&address.to_string());
    let v4 = range
        .addresses()
        .find(free)
        .unwrap_or(Ipv4Addr::UNSPECIFIED);
    let [.., high, low] = v4.octets();
    let addresses: Vec<Value> = json::items(service, "/spec/ipFamilies")
        .iter()
        .map(|family| {
            if family.as_str() == Some("IPv6") {
                json!(format!("fd00:10:96::{high:x}{low:02x}"))
            } else {
                json!(v4)
            }
        })
        .collect();
    let first = addresses.first().cloned().unwrap_or(Value::Null);
    json::default(service, &["spec", "clusterIP"], first);
    let addresses = match json::text(service, "/spec/clusterIP") {
        "None" => json!(["None"]),
        _ => Value::Array(addresses),
    };
    json::default(service, &["spec", "clusterIPs"], addresses);
}

fn fill_in_node_ports(service: &mut Value, mut taken: Taken) {
    let kept = json::items(service, "/spec/ports").iter();
    let kept: Vec<i64> = kept
        .filter_map(|port| json::integer(port, "/nodePort"))
        .collect();
    taken.node_ports.extend(kept);
    for port in ports(service) {
        if port.get("nodePort").is_none()
            && let Some(free) = NODE_PORTS
                .into_iter()
                .find(|free| !taken.node_ports.contains(free))
        {
            taken.node_ports.insert(free);
            json::set(port, &["nodePort"], free);
        }
    }
}

/// Refuses an alias of what is no name. As the API server does, it takes an IPv4 address for one.
pub(crate) fn check(service: &Value) -> Result<(), Refusal> {
    let target = json::text(service, "/spec/externalName");
    let is_alias = json::text(service, "/spec/type") == "ExternalName";
    if !is_alias || is_subdomain(target.strip_suffix('.').unwrap_or(target)) {
        return Ok(());
    }
    let name = json::text(service, "/metadata/name");
    let why = format!("Invalid value: {target:?}: a lowercase RFC 1123 subdomain is wanted");
    Err(Refusal::invalid("Service", name, "spec.externalName", &why))
}

/// Takes away what belongs to the former type, unless the writer has set it anew.
pub(crate) fn drop_what_the_type_has_no_use_for(before: &Value, after: &mut Value) {
    let spec = |field: &str| format!("/spec/{field}");
    let is_same =
        |after: &Value, field| before.pointer(&spec(field)) == after.pointer(&spec(field));
    let is_alias = |service: &Value| json::text(service, "/spec/type") == "ExternalName";
    if !is_alias(before) && is_alias(after) {
        let own = ["clusterIP", "clusterIPs"];
        if own.iter().all(|field| is_same(after, field)) {
            own.iter()
                .for_each(|field| json::remove(after, &["spec", field]));
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if is_same(after, field) {
                json::remove(after, &["spec", field]);
            }
        }
    }
    if has_node_ports(before) && !has_node_ports(after) {
        ports(after).for_each(|port| json::remove(port, &["nodePort"]));
        if is_same(after, "externalTrafficPolicy") {
            json::remove(after, &["spec", "externalTrafficPolicy"]);
        }
    }
    if json::text(after, "/spec/type") != "LoadBalancer" {
        json::remove(after, &["status", "loadBalancer"]);
    }
}

/// Gives back what was allocated and an update leaves out: addresses, and the node ports of ports that are
/// still there.
pub(crate) fn keep_what_was_allocated(before: &Value, after: &mut Value) {
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if let Some(allocated) = before.pointer(&format!("/spec/{field}")) {
            json::default(after, &["spec", field], allocated.clone());
        }
    }
    let former = json::items(before, "/spec/ports");
    for port in ports(after) {
        let same = |one: &&Value| {
            ["port", "protocol"]
                .iter()
                .all(|field| one.get(field) == port.get(field))
        };
        let number = former.iter().find(same).and_then(|one| one.get("nodePort"));
        if let Some(number) = number.cloned() {
            json::default(port, &["nodePort"], number);
        }
    }
}

fn has_node_ports(service: &Value) -> bool {
    match json::text(service, "/spec/type") {
        "NodePort" => true,
        "LoadBalancer" => {
            service.pointer("/spec/allocateLoadBalancerNodePorts") != Some(&Value::Bool(false))
        }
        _ => false,
    }
}

fn ports(service: &mut Value) -> impl Iterator<Item = &mut Value> {
    let ports = service
        .pointer_mut("/spec/ports")
        .and_then(Value::as_array_mut);
    ports.into_iter().flatten()
}
