//! A Node as the API server writes it.

use std::net::IpAddr;

use serde::Deserialize;

use super::{Node, ZONE_LABEL};
use crate::object::{Meta, Object, Resource, Scope, Selector, null_is_default};

/// Set on a Node that the cluster autoscaler is about to remove.
const ABOUT_TO_GO: &str = "ToBeDeletedByClusterAutoscaler";

/// `v1` Node.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WireNode {
    pub(crate) metadata: Meta,
    #[serde(default, deserialize_with = "null_is_default")]
    spec: WireSpec,
    #[serde(default, deserialize_with = "null_is_default")]
    status: WireStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireSpec {
    #[serde(deserialize_with = "null_is_default")]
    taints: Vec<WireTaint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireTaint {
    #[serde(deserialize_with = "null_is_default")]
    key: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireStatus {
    #[serde(deserialize_with = "null_is_default")]
    addresses: Vec<WireAddress>,
    #[serde(deserialize_with = "null_is_default")]
    conditions: Vec<WireCondition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireAddress {
    #[serde(deserialize_with = "null_is_default")]
    r#type: String,
    #[serde(deserialize_with = "null_is_default")]
    address: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireCondition {
    #[serde(deserialize_with = "null_is_default")]
    r#type: String,
    #[serde(deserialize_with = "null_is_default")]
    status: String,
}

impl Object for WireNode {
    const RESOURCE: Resource = Resource {
        group: "",
        plural: "nodes",
        // Several times what the largest clusters have.
        most: 100_000,
    };

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn selector(_: &Scope) -> Selector {
        Selector::All
    }
}

impl WireNode {
    /// The label by which it says its zone.
    pub(crate) fn zone(&self) -> Option<&str> {
        let zone = self.metadata.labels.get(ZONE_LABEL)?;
        (!zone.is_empty()).then_some(zone)
    }

    /// Whether the Node takes traffic, as whoever sets up load balancers decides it (the service
    /// controller's `nodeReadyPredicate` and `nodeUnTaintedPredicate`): it is ready, and stays.
    ///
    /// One that is cordoned (`unschedulable`) gets no new Pods and serves on with those it has; one with the
    /// label `node.kubernetes.io/exclude-from-external-load-balancers` is no backend of the provider's load
    /// balancer, and its node ports work all the same.
    fn is_fit(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        let ready = conditions.any(|one| one.r#type == "Ready" && one.status == "True");
        let leaves = self
            .spec
            .taints
            .iter()
            .any(|taint| taint.key == ABOUT_TO_GO);
        ready && !leaves
    }
}

impl From<WireNode> for Node {
    fn from(wire: WireNode) -> Self {
        let of_type = |kind: &str| {
            let addresses = wire.status.addresses.iter();
            addresses
                .filter(|address| address.r#type == kind)
                .filter_map(|address| address.address.parse::<IpAddr>().ok())
                .filter(|ip| !ip.is_unspecified() && !ip.is_multicast())
                .collect()
        };
        Self {
            internal: of_type("InternalIP"),
            external: of_type("ExternalIP"),
            zone: wire.zone().map(Into::into),
            fit: wire.is_fit(),
            name: wire.metadata.name.into(),
            uid: wire.metadata.uid.into(),
        }
    }
}
