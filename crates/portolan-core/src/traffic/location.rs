//! Where the client stands.

use std::sync::Arc;

/// The Node and the zone in which this client runs, as far as they are known.
///
/// Without them every endpoint is as near as any other.
///
/// ```
/// use portolan_core::Location;
/// let here = Location::UNKNOWN.with_node("node-7").with_zone("eu-1a");
/// assert_eq!(here.zone(), Some("eu-1a"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Location {
    node: Option<Arc<str>>,
    zone: Option<Arc<str>>,
}

impl Location {
    /// Outside of the cluster, or not told.
    pub const UNKNOWN: Self = Self {
        node: None,
        zone: None,
    };

    /// Sets the name of the Node.
    #[must_use]
    pub fn with_node(mut self, node: impl Into<Arc<str>>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// Sets the zone: the Node's label `topology.kubernetes.io/zone`.
    #[must_use]
    pub fn with_zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// The name of the Node.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// The zone.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }
}
