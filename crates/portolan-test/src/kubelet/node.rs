//! Nodes: found, or made, and given to Pods.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Client;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::client;
use crate::error::Error;
use crate::json;
use crate::kind::Kind;

use super::network::{PodAddress, PodNetwork};

/// The label that tells the zone of a node.
pub(crate) const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// A node to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    name: String,
    zone: String,
    internal: Vec<IpAddr>,
    external: Vec<IpAddr>,
}

impl NodeSpec {
    /// A node in a zone; an empty zone is none.
    pub fn new(name: impl Into<String>, zone: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            zone: zone.into(),
            internal: Vec::new(),
            external: Vec::new(),
        }
    }

    /// Gives it an address of type `InternalIP`. Default: one of the Pods' network.
    #[must_use]
    pub fn internal(mut self, ip: impl Into<IpAddr>) -> Self {
        self.internal.push(ip.into());
        self
    }

    /// Gives it an address of type `ExternalIP`. Default: none.
    #[must_use]
    pub fn external(mut self, ip: impl Into<IpAddr>) -> Self {
        self.external.push(ip.into());
        self
    }

    /// What its status says of its addresses.
    fn addresses(&self) -> Vec<Value> {
        let of_type = |kind: &'static str, ips: &[IpAddr]| -> Vec<Value> {
            let address = |ip: &IpAddr| json!({"type": kind, "address": ip});
            ips.iter().map(address).collect()
        };
        let mut addresses = of_type("InternalIP", &self.internal);
        addresses.extend(of_type("ExternalIP", &self.external));
        addresses.push(json!({"type": "Hostname", "address": self.name}));
        addresses
    }
}

/// The nodes and how many Pods each was given.
#[derive(Debug)]
pub(super) struct Nodes {
    zones: HashMap<String, String>,
    load: Mutex<Vec<(String, u32)>>,
    /// Theirs, so that no Pod gets them.
    _addresses: Vec<PodAddress>,
}

/// A Pod's share of a node; dropping it takes the Pod off.
#[derive(Debug)]
pub(super) struct Assignment {
    nodes: Arc<Nodes>,
    pub(super) node: String,
}

impl Nodes {
    /// Makes the nodes of `wanted` that are missing, and finds all there are.
    pub(super) async fn prepare(
        client: &Client,
        network: &PodNetwork,
        wanted: &[NodeSpec],
    ) -> Result<Self, Error> {
        let nodes = client::api(client, Kind::Node, "");
        let mut held = Vec::new();
        for spec in wanted {
            let mut spec = spec.clone();
            if let (true, Some(address)) = (spec.internal.is_empty(), network.next()) {
                spec.internal.push(address.ip());
                held.push(address);
            }
            let mut labels = json!({"kubernetes.io/hostname": spec.name});
            if !spec.zone.is_empty() {
                json::set(&mut labels, &[ZONE_LABEL], spec.zone.clone());
            }
            let node = json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": spec.name, "labels": labels},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": spec.addresses(),
                },
            });
            let action = || format!("create Node {}", spec.name);
            let node = client::from_json(node).map_err(Error::api(action()))?;
            match nodes.create(&PostParams::default(), &node).await {
                Err(error) if !client::is_there_already(&error) => {
                    return Err(Error::api(action())(error));
                }
                _ => {}
            }
        }
        let found = nodes.list(&ListParams::default()).await;
        let found = found.map_err(Error::api("list Nodes"))?;
        let zones: HashMap<_, _> = found
            .items
            .iter()
            .map(|node| {
                let node = client::to_json(node);
                let zone = json::label(&node, ZONE_LABEL).unwrap_or_default();
                (
                    json::text(&node, "/metadata/name").to_owned(),
                    zone.to_owned(),
                )
            })
            .collect();
        let mut names: Vec<String> = zones.keys().cloned().collect();
        names.sort();
        Ok(Self {
            zones,
            load: Mutex::new(names.into_iter().map(|name| (name, 0)).collect()),
            _addresses: held,
        })
    }

    /// The zone of a node, empty if it has none.
    pub(super) fn zone(&self, node: &str) -> &str {
        self.zones.get(node).map_or("", String::as_str)
    }

    /// Gives a Pod to the node with the fewest; to `bound` if it is bound already.
    pub(super) fn assign(self: &Arc<Self>, bound: &str) -> Option<Assignment> {
        let mut load = self.lock();
        let chosen = match load.iter().position(|(name, _)| name == bound) {
            Some(place) => load.get_mut(place),
            None if bound.is_empty() => load.iter_mut().min_by_key(|(_, pods)| *pods),
            None => {
                // Bound to a node that is not ours to count.
                return Some(Assignment {
                    nodes: Arc::clone(self),
                    node: bound.to_owned(),
                });
            }
        };
        let (node, pods) = chosen?;
        *pods += 1;
        Some(Assignment {
            nodes: Arc::clone(self),
            node: node.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, u32)>> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        let mut load = self.nodes.lock();
        if let Some((_, pods)) = load.iter_mut().find(|(name, _)| *name == self.node) {
            *pods = pods.saturating_sub(1);
        }
    }
}
