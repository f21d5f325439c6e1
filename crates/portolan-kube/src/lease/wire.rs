//! A Lease as the API server writes it.

use std::time::Duration;

use serde::Deserialize;

use super::Lease;
use crate::object::{Meta, Object, Resource, Scope, Selector, null_is_default};

/// `coordination.k8s.io/v1` Lease.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WireLease {
    pub(crate) metadata: Meta,
    #[serde(default, deserialize_with = "null_is_default")]
    spec: WireSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireSpec {
    holder_identity: Option<String>,
    lease_transitions: Option<i64>,
    lease_duration_seconds: Option<i64>,
    renew_time: Option<String>,
}

impl Object for WireLease {
    const RESOURCE: Resource = Resource {
        group: "coordination.k8s.io",
        plural: "leases",
        // One is asked for by its name; a server that does not select sends those of all Nodes.
        most: 100_000,
    };

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn selector(scope: &Scope) -> Selector {
        Selector::by_name(scope)
    }
}

impl From<WireLease> for Lease {
    fn from(wire: WireLease) -> Self {
        let WireSpec {
            holder_identity,
            lease_transitions,
            lease_duration_seconds,
            renew_time,
        } = wire.spec;
        let positive = |number: i64| u64::try_from(number).ok();
        // client-go's `<hostname>_<uuid>`; no name of a Pod has an underscore.
        let pod = holder_identity
            .as_deref()
            .and_then(|holder| holder.split('_').next());
        Self {
            uid: wire.metadata.uid,
            holder: pod.filter(|pod| !pod.is_empty()).map(str::to_owned),
            transitions: lease_transitions.and_then(positive).unwrap_or_default(),
            renewed: renew_time.unwrap_or_default(),
            duration: lease_duration_seconds
                .and_then(positive)
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
        }
    }
}
