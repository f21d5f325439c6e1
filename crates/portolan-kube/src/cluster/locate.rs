//! Finding out where this program runs: by the environment, by its Pod, by its Node.

use std::{env, time::Duration};

use kube::{Client, api::GetParams, core::Request};
use portolan_core::Location;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{Cluster, infer::IN_A_POD};
use crate::{
    node::{WireNode, ZONE_LABEL},
    object::{Meta, null_is_default},
    redact,
};

/// How long the API server may take in all. It is asked at the start of a program, and a client that does
/// not know where it is works, too.
const PATIENCE: Duration = Duration::from_secs(3);

/// What of the environment says where this program runs; an argument, so that tests need no other process.
#[derive(Clone, Debug, Default)]
pub(super) struct Surroundings {
    node: Option<String>,
    zone: Option<String>,
    pod: Option<String>,
}

impl Surroundings {
    fn of_this_process() -> Self {
        let given = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        // Only a Pod's host name is a Pod's name.
        let host = || given(IN_A_POD).and_then(|_| given("HOSTNAME"));
        Self {
            node: given("NODE_NAME"),
            zone: given("NODE_ZONE"),
            pod: given("POD_NAME").or_else(host),
        }
    }

    fn location(&self) -> Location {
        let here = Location::UNKNOWN;
        let here = match &self.node {
            Some(node) => here.with_node(node.as_str()),
            None => here,
        };
        match &self.zone {
            Some(zone) => here.with_zone(zone.as_str()),
            None => here,
        }
    }
}

impl Cluster {
    /// Where this program runs, as its environment says: the Node by `NODE_NAME`, the zone by `NODE_ZONE`.
    ///
    /// The downward API sets both. The label is on Pods from Kubernetes 1.35 on (KEP-4742).
    ///
    /// ```yaml
    /// env:
    ///   - name: NODE_NAME
    ///     valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
    ///   - name: NODE_ZONE
    ///     valueFrom: { fieldRef: { fieldPath: "metadata.labels['topology.kubernetes.io/zone']" } }
    /// ```
    #[must_use]
    pub fn location_by_environment() -> Location {
        Surroundings::of_this_process().location()
    }

    /// Where this program runs: by its environment, as in
    /// [`location_by_environment`](Self::location_by_environment), and, for what that does not say, by the API.
    ///
    /// - The Node is the one of this program's own Pod, whose name is `POD_NAME`, else `HOSTNAME`.
    /// - The zone is the label `topology.kubernetes.io/zone` of the Pod, else of the Node.
    ///
    /// Each is asked for as far as it is allowed ([`LOCATION_ROLE`](crate::LOCATION_ROLE); none is needed if the
    /// environment says both). It takes no longer than 3 s and never fails: what is not found out is logged and
    /// stays unknown.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use portolan_kube::Cluster;
    /// let here = Cluster::infer().await?.locate().await;
    /// println!("{:?} in {:?}", here.node(), here.zone());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn locate(&self) -> Location {
        self.locate_in(Surroundings::of_this_process()).await
    }

    async fn locate_in(&self, mut found: Surroundings) -> Location {
        let client = self.shared.access.current().client;
        let searching = search(&client, &mut found);
        if timeout(PATIENCE, searching).await.is_err() {
            tracing::warn!(patience = ?PATIENCE, "the API server did not say in time where this program runs");
        }
        let here = found.location();
        match (here.node(), here.zone()) {
            (Some(node), Some(zone)) => {
                tracing::info!(node, zone, "this program knows where it runs")
            }
            (node, zone) => tracing::warn!(
                node,
                zone,
                "where this program runs is not known in full: endpoints near by are not preferred, or not by \
                 all rules; set NODE_NAME and NODE_ZONE by the downward API"
            ),
        }
        here
    }
}

/// Fills in what is missing, so that what was found is kept if the rest takes too long.
async fn search(client: &Client, found: &mut Surroundings) {
    let incomplete = found.node.is_none() || found.zone.is_none();
    if let (true, Some(name)) = (incomplete, &found.pod) {
        let pods = format!("/api/v1/namespaces/{}/pods", client.default_namespace());
        if let Some(pod) = look_up::<WirePod>(client, &pods, name).await {
            let zone = pod.metadata.labels.get(ZONE_LABEL).cloned();
            found.zone = found.zone.take().or(zone);
            found.node = found.node.take().or(pod.spec.node_name);
        }
    }
    if let (None, Some(name)) = (&found.zone, &found.node)
        && let Some(node) = look_up::<WireNode>(client, "/api/v1/nodes", name).await
    {
        found.zone = node.zone().map(str::to_owned);
    }
}

async fn look_up<T: DeserializeOwned>(client: &Client, collection: &str, name: &str) -> Option<T> {
    let request = match Request::new(collection).get(name, &GetParams::default()) {
        Ok(request) => request,
        Err(error) => {
            tracing::debug!(collection, name, %error, "nothing that can be asked for");
            return None;
        }
    };
    let answer = client.request::<T>(request).await;
    answer
        .inspect_err(|error| {
            let reason = match error {
                kube::Error::Api(status) => status.message.clone(),
                other => redact::credentials(other).unwrap_or_else(|| other.to_string()),
            };
            tracing::info!(collection, name, reason, "could not be looked up");
        })
        .ok()
}

/// `v1` Pod.
#[derive(Debug, Deserialize)]
struct WirePod {
    metadata: Meta,
    #[serde(default, deserialize_with = "null_is_default")]
    spec: WirePodSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePodSpec {
    node_name: Option<String>,
}

#[cfg(test)]
mod tests;
