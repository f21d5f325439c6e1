//! Nodes, kept slim: what of them decides whether, and where, a port of theirs is reached.

mod wire;

use std::{net::IpAddr, sync::Arc};

pub(crate) use wire::WireNode;

/// A Node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) uid: Arc<str>,
    /// Its addresses of type `InternalIP`, in the order in which they are listed.
    pub(crate) internal: Box<[IpAddr]>,
    /// Its addresses of type `ExternalIP`, likewise.
    pub(crate) external: Box<[IpAddr]>,
    pub(crate) zone: Option<Arc<str>>,
    pub(crate) fit: bool,
}

/// The label by which a Node says its zone.
pub(crate) const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

#[cfg(test)]
mod tests;
