//! Where in the cluster endpoints run.

use std::sync::Arc;

/// Where in the cluster an endpoint runs, and whose traffic it is meant for.
///
/// All endpoints on a Node have it in common. A source that gives them one and the same `Arc`
/// (see [`Endpoint::with_topology`](crate::Endpoint::with_topology)) keeps it once, and not 10,000 times.
///
/// ```
/// use std::sync::Arc;
/// use portolan_core::{Endpoint, Placement, Topology};
///
/// let node = Arc::new(Topology::UNKNOWN.with_node("node-7").with_zone("eu-1a"));
/// let endpoint = Endpoint::new(Placement::new("db-0"), "10.244.1.7:5432".parse().unwrap())
///     .with_topology(Arc::clone(&node));
/// assert_eq!((endpoint.node(), endpoint.zone()), (Some("node-7"), Some("eu-1a")));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Topology {
    node: Option<Arc<str>>,
    zone: Option<Arc<str>>,
    hints: Option<Arc<Hints>>,
}

impl Topology {
    /// Anywhere, and meant for everybody.
    pub const UNKNOWN: Self = Self {
        node: None,
        zone: None,
        hints: None,
    };

    /// Sets the node.
    #[must_use]
    pub fn with_node(mut self, node: impl Into<Arc<str>>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// Sets the zone.
    #[must_use]
    pub fn with_zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Sets the topology hints.
    #[must_use]
    pub fn with_hints(mut self, hints: Arc<Hints>) -> Self {
        self.hints = Some(hints);
        self
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// The zone.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Whose traffic it is meant for, where the cluster says so.
    #[must_use]
    pub fn hints(&self) -> Option<&Hints> {
        self.hints.as_deref()
    }
}

/// Whose traffic an endpoint is meant for (`endpoints[].hints`, KEP-2433 and KEP-3015).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hints {
    /// `forZones[].name`.
    pub zones: Box<[Arc<str>]>,
    /// `forNodes[].name`.
    pub nodes: Box<[Arc<str>]>,
}
