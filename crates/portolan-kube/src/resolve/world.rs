//! All that is known of a Service, and what has to be.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU16,
    sync::Arc,
};

use portolan_core::{EndpointSet, SourceError};

use crate::{
    node::Node,
    service::{HostName, Service},
    slice::Slice,
};

/// Everything that is known of a Service.
#[derive(Debug)]
pub(crate) struct World {
    /// How the Service is called in messages: `orders.shop`.
    pub(crate) name: String,
    pub(crate) service: ServiceState,
    /// The slices, by name; nothing until they were listed.
    pub(crate) slices: Option<BTreeMap<Arc<str>, Arc<Slice>>>,
    /// The Nodes of the cluster, where a view needs them.
    pub(crate) nodes: Nodes,
    /// The names that a view needs, as far as DNS answered.
    pub(crate) hosts: BTreeMap<Host, Followed<EndpointSet>>,
}

/// What is known of the Service object.
#[derive(Clone, Debug)]
pub(crate) enum ServiceState {
    /// Not asked yet, or no answer yet.
    Unknown,
    /// There is none.
    Absent,
    /// There it is.
    Known(Arc<Service>),
    /// It may not be read, for this reason. The slices may be enough.
    Hidden(SourceError),
}

/// A slice as it was and as it is.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) before: Option<Arc<Slice>>,
    pub(crate) after: Option<Arc<Slice>>,
}

/// Something that is followed elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Followed<T> {
    /// The last that was known.
    pub(crate) known: Option<T>,
    /// Why nothing is heard of it at present.
    pub(crate) failure: Option<SourceError>,
}

/// All Nodes of the cluster, in the order of their names.
pub(crate) type Nodes = Followed<Arc<[Arc<Node>]>>;

/// A name in DNS, and the port that is wanted there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host {
    pub(crate) name: HostName,
    pub(crate) port: NonZeroU16,
}

/// What has to be known besides the Service itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) slices: bool,
    pub(crate) nodes: bool,
    pub(crate) hosts: BTreeSet<Host>,
}

impl World {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            service: ServiceState::Unknown,
            slices: None,
            nodes: Nodes::default(),
            hosts: BTreeMap::new(),
        }
    }

    pub(super) fn all_slices(&self) -> impl Iterator<Item = &Slice> + Clone {
        self.slices
            .iter()
            .flat_map(BTreeMap::values)
            .map(|slice| &**slice)
    }
}

impl Needs {
    /// Takes these up, too.
    pub(crate) fn add(&mut self, other: &Self) {
        self.slices |= other.slices;
        self.nodes |= other.nodes;
        self.hosts.extend(other.hosts.iter().cloned());
    }
}

impl<T> Default for Followed<T> {
    fn default() -> Self {
        Self {
            known: None,
            failure: None,
        }
    }
}
