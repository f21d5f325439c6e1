//! An EndpointSlice as the API server writes it. Unknown fields are skipped, nil lists are empty.

use serde::Deserialize;

use crate::object::{Meta, Object, Resource, SERVICE_NAME_LABEL, Scope, Selector, null_is_default};

/// `discovery.k8s.io/v1` EndpointSlice.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireSlice {
    pub(crate) metadata: Meta,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) address_type: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) endpoints: Vec<WireEndpoint>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) ports: Vec<WirePort>,
}

impl Object for WireSlice {
    const RESOURCE: Resource = Resource {
        group: "discovery.k8s.io",
        plural: "endpointslices",
        // A million endpoints.
        most: 10_000,
    };

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn selector(scope: &Scope) -> Selector {
        match scope {
            Scope::Service { name, .. } => Selector::Label {
                label: SERVICE_NAME_LABEL,
                value: name.clone(),
            },
            Scope::Named { name, .. } => Selector::Name(name.clone()),
            Scope::Labelled { label, .. } => Selector::HasLabel(label.clone()),
            Scope::Cluster => Selector::All,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireEndpoint {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) addresses: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) conditions: WireConditions,
    pub(super) hostname: Option<String>,
    pub(super) node_name: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) target_ref: Option<WireTarget>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) hints: WireHints,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireConditions {
    pub(super) ready: Option<bool>,
    pub(super) serving: Option<bool>,
    pub(super) terminating: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireTarget {
    pub(super) kind: Option<String>,
    pub(super) name: Option<String>,
    pub(super) uid: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireHints {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) for_zones: Vec<WireHint>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) for_nodes: Vec<WireHint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireHint {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WirePort {
    pub(super) name: Option<String>,
    /// Wider than a port, since the API server accepts 65536.
    pub(super) port: Option<i64>,
}
