//! What a program knows about the Pod that it runs in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use crate::json;

use super::PodFaults;

/// Who a Pod is, from its object and its node.
#[derive(Debug)]
pub(crate) struct PodIdentity {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) node: String,
    pub(crate) zone: String,
    pub(crate) ip: IpAddr,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

impl PodIdentity {
    pub(crate) fn new(pod: &Value, ip: IpAddr, zone: String) -> Self {
        let owned = |pointer| {
            json::entries(pod, pointer)
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect()
        };
        let text = |pointer| json::text(pod, pointer).to_owned();
        Self {
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            node: text("/spec/nodeName"),
            zone,
            ip,
            labels: owned("/metadata/labels"),
            annotations: owned("/metadata/annotations"),
        }
    }
}

/// What a program knows about its Pod, and its two wires to the kubelet: readiness and SIGTERM.
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct PodContext {
    identity: Arc<PodIdentity>,
    image: Arc<str>,
    restarts: u32,
    wires: Wires,
    faults: Arc<PodFaults>,
}

/// What connects a container to the kubelet.
#[derive(Clone, Debug)]
pub(crate) struct Wires {
    /// Which containers of the Pod say that they are ready.
    pub(crate) ready: watch::Sender<Vec<bool>>,
    /// The place of this container in that list.
    pub(crate) container: usize,
    /// SIGTERM.
    pub(crate) terminating: watch::Receiver<bool>,
}

impl PodContext {
    pub(crate) fn new(
        identity: Arc<PodIdentity>,
        image: &str,
        restarts: u32,
        wires: Wires,
        faults: Arc<PodFaults>,
    ) -> Self {
        Self {
            identity,
            image: image.into(),
            restarts,
            wires,
            faults,
        }
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.identity.namespace
    }

    /// The Pod's name: `db-0`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// The UID of this incarnation of the Pod.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.identity.uid
    }

    /// The ordinal in its StatefulSet: the number behind the name's last dash. Only for Pods that
    /// have the label `statefulset.kubernetes.io/pod-name`.
    #[must_use]
    pub fn ordinal(&self) -> Option<u32> {
        let name = self
            .identity
            .labels
            .get("statefulset.kubernetes.io/pod-name")?;
        name.rsplit('-').next()?.parse().ok()
    }

    /// The Pod's address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.identity.ip
    }

    /// The node that the Pod runs on.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.identity.node
    }

    /// The node's zone, empty if it has none.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.identity.zone
    }

    /// The container's image, with its tag.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.image
    }

    /// The Pod's labels, as they were when it started.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.identity.labels
    }

    /// The Pod's annotations, as they were when it started.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.identity.annotations
    }

    /// How often this container was started before in this Pod.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Says whether the program is ready; it is not until it says so.
    pub fn set_ready(&self, ready: bool) {
        let container = self.wires.container;
        self.wires
            .ready
            .send_if_modified(|all| match all.get_mut(container) {
                Some(one) if *one != ready => {
                    *one = ready;
                    true
                }
                _ => false,
            });
    }

    /// Whether SIGTERM has come.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        *self.wires.terminating.borrow()
    }

    /// Waits for SIGTERM. From then on the grace period runs, at whose end the program is killed.
    /// Cancel safe.
    pub async fn terminating(&self) {
        let mut terminating = self.wires.terminating.clone();
        // The other side is gone only with the whole Pod.
        terminating.wait_for(|now| *now).await.ok();
    }

    pub(crate) fn faults(&self) -> &Arc<PodFaults> {
        &self.faults
    }
}
