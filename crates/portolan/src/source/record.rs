//! An endpoint as it is written in files.

use std::{net::SocketAddr, sync::Arc};

#[cfg(feature = "cached")]
use portolan_core::Uid;
use portolan_core::{Conditions, Endpoint, Hints, Placement, Weight};
use serde::{Deserialize, Serialize};

/// What is not there is as [`Endpoint::new`] has it; a placement that is not there is the address.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointRecord {
    address: SocketAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    placement: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alternate: Option<SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ready: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serving: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    terminating: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ordinal: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hints: Option<HintsRecord>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct HintsRecord {
    #[serde(default)]
    zones: Vec<String>,
    #[serde(default)]
    nodes: Vec<String>,
}

impl EndpointRecord {
    /// The endpoint that is described.
    pub(super) fn into_endpoint(self) -> Endpoint {
        let placement = self.placement.unwrap_or_else(|| self.address.to_string());
        let conditions = Conditions::new(self.ready, self.serving, self.terminating);
        let mut endpoint = Endpoint::new(Placement::new(placement), self.address)
            .with_conditions(conditions)
            .with_weight(self.weight.map_or(Weight::ONE, Weight::new));
        if let Some(uid) = self.uid {
            endpoint = endpoint.with_uid(uid);
        }
        if let Some(alternate) = self.alternate {
            endpoint = endpoint.with_alternate(alternate);
        }
        if let Some(ordinal) = self.ordinal {
            endpoint = endpoint.with_ordinal(ordinal);
        }
        if let Some(pod) = self.pod {
            endpoint = endpoint.with_pod(pod);
        }
        if let Some(node) = self.node {
            endpoint = endpoint.with_node(node);
        }
        if let Some(zone) = self.zone {
            endpoint = endpoint.with_zone(zone);
        }
        if let Some(host) = self.host {
            endpoint = endpoint.with_host(host);
        }
        if let Some(hints) = self.hints {
            endpoint = endpoint.with_hints(Arc::new(hints.into_hints()));
        }
        endpoint
    }
}

impl HintsRecord {
    fn into_hints(self) -> Hints {
        Hints {
            zones: self.zones.into_iter().map(Arc::from).collect(),
            nodes: self.nodes.into_iter().map(Arc::from).collect(),
        }
    }
}

#[cfg(feature = "cached")]
impl From<&Endpoint> for EndpointRecord {
    fn from(endpoint: &Endpoint) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let conditions = endpoint.conditions();
        Self {
            address: endpoint.address(),
            placement: Some(endpoint.placement().as_str().to_owned()),
            uid: endpoint.uid().map(Uid::to_string),
            alternate: endpoint.alternate(),
            ready: Some(conditions.is_ready()),
            serving: Some(conditions.is_serving()),
            terminating: Some(conditions.is_terminating()),
            weight: Some(endpoint.weight().value()),
            ordinal: endpoint.ordinal(),
            pod: owned(endpoint.pod()),
            node: owned(endpoint.node()),
            zone: owned(endpoint.zone()),
            host: owned(endpoint.host()),
            hints: endpoint.hints().map(|hints| HintsRecord {
                zones: hints.zones.iter().map(|zone| zone.to_string()).collect(),
                nodes: hints.nodes.iter().map(|node| node.to_string()).collect(),
            }),
        }
    }
}
