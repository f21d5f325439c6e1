//! From a Pod to its endpoint.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::controllers::Controllers;
use crate::controllers::pods::{is_ready, is_terminating};
use crate::json;
use crate::kind::Kind;
use crate::kubelet::ZONE_LABEL;

/// A family of addresses; each has slices of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// The families of a Service, the first one first.
    pub(super) fn of_service(service: &Value) -> Vec<Self> {
        let families = json::items(service, "/spec/ipFamilies").iter();
        let families: Vec<Self> = families
            .filter_map(|family| match family.as_str() {
                Some("IPv4") => Some(Self::V4),
                Some("IPv6") => Some(Self::V6),
                _ => None,
            })
            .collect();
        if families.is_empty() {
            vec![Self::V4]
        } else {
            families
        }
    }

    pub(super) fn address_type(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    fn has(self, address: &str) -> bool {
        match address.parse() {
            Ok(IpAddr::V4(_)) => self == Self::V4,
            Ok(IpAddr::V6(_)) => self == Self::V6,
            Err(_) => false,
        }
    }
}

/// Makes the endpoints of one Service and family.
pub(super) struct EndpointMaker<'a> {
    service: &'a Value,
    family: Family,
    nodes: HashMap<String, Arc<Value>>,
    publish_not_ready: bool,
}

impl<'a> EndpointMaker<'a> {
    pub(super) fn new(controllers: &Controllers, service: &'a Value, family: Family) -> Self {
        let nodes = controllers.store.objects(Kind::Node);
        Self {
            service,
            family,
            nodes: nodes
                .into_iter()
                .map(|node| (json::text(&node, "/metadata/name").to_owned(), node))
                .collect(),
            publish_not_ready: json::flag(service, "/spec/publishNotReadyAddresses"),
        }
    }

    /// The endpoint of `pod`; `None` if it has no address yet, or its node is unknown.
    pub(super) fn endpoint(&self, pod: &Value) -> Option<Value> {
        let addresses: Vec<&str> = json::items(pod, "/status/podIPs")
            .iter()
            .map(|ip| json::text(ip, "/ip"))
            .filter(|ip| self.family.has(ip))
            .collect();
        let node_name = json::text(pod, "/spec/nodeName");
        let node = self.nodes.get(node_name);
        if addresses.is_empty() || (node.is_none() && !self.publish_not_ready) {
            return None;
        }
        let (serving, terminating) = (is_ready(pod), is_terminating(pod));
        let mut endpoint = json!({
            "addresses": addresses,
            "conditions": {
                "ready": self.publish_not_ready || (serving && !terminating),
                "serving": serving,
                "terminating": terminating,
            },
            "targetRef": {
                "kind": "Pod",
                "namespace": json::text(pod, "/metadata/namespace"),
                "name": json::text(pod, "/metadata/name"),
                "uid": json::text(pod, "/metadata/uid"),
            },
        });
        if !node_name.is_empty() {
            json::set(&mut endpoint, &["nodeName"], node_name);
        }
        let zone = node.and_then(|node| json::label(node, ZONE_LABEL));
        if let Some(zone) = zone {
            json::set(&mut endpoint, &["zone"], zone);
        }
        let hostname = json::text(pod, "/spec/hostname");
        let name = json::text(self.service, "/metadata/name");
        if !hostname.is_empty() && json::text(pod, "/spec/subdomain") == name {
            json::set(&mut endpoint, &["hostname"], hostname);
        }
        let hints = self.hints(zone, node_name);
        if let Some(hints) = hints.filter(|_| json::flag(&endpoint, "/conditions/ready")) {
            json::set(&mut endpoint, &["hints"], hints);
        }
        Some(endpoint)
    }

    /// What `trafficDistribution` says about who should use the endpoint, once it is ready.
    fn hints(&self, zone: Option<&str>, node: &str) -> Option<Value> {
        let by_node = match json::text(self.service, "/spec/trafficDistribution") {
            "PreferClose" | "PreferSameZone" => false,
            "PreferSameNode" => true,
            _ => return None,
        };
        let mut hints = json!({});
        if let Some(zone) = zone {
            json::set(&mut hints, &["forZones"], json!([{"name": zone}]));
        }
        if by_node && !node.is_empty() {
            json::set(&mut hints, &["forNodes"], json!([{"name": node}]));
        }
        (hints != json!({})).then_some(hints)
    }
}
