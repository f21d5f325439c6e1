//! One live place that can serve requests.

mod identity;
mod seldom;
mod topology;
mod uid;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

pub use identity::{Incarnation, Placement};
use seldom::Seldom;
pub use topology::{Hints, Topology};
pub use uid::Uid;

/// A Pod (or another address) behind a Service, as a [`Source`](crate::Source) describes it.
///
/// It says where the endpoint is and what the cluster thinks of it; how well it serves is measured
/// by the client and kept apart, in [`EndpointState`](crate::EndpointState).
///
/// ```
/// use portolan_core::{Conditions, Endpoint, Placement};
///
/// let endpoint = Endpoint::new(Placement::new("db-0"), "10.244.1.7:5432".parse().unwrap())
///     .with_uid("8c4f…")
///     .with_zone("eu-1a")
///     .with_ordinal(0)
///     .with_conditions(Conditions::READY);
/// assert_eq!(endpoint.placement().as_str(), "db-0");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    // A source keeps 10,000 of these, so there is no word here that most of them leave empty, nor one that
    // says what another says.
    placement: Placement,
    uid: Option<Uid>,
    topology: Option<Arc<Topology>>,
    seldom: Option<Box<Seldom>>,
    // A `SocketAddr` has 12 bytes more, for what only a link-local address has.
    ip: IpAddr,
    port: u16,
    weight: Weight,
    conditions: Conditions,
    placement_is_pod: bool,
    placement_has_ordinal: bool,
}

impl Endpoint {
    /// An endpoint that is ready, of weight 1, of which nothing else is known.
    #[must_use]
    pub fn new(placement: Placement, address: SocketAddr) -> Self {
        let endpoint = Self {
            placement,
            uid: None,
            topology: None,
            seldom: None,
            ip: address.ip(),
            port: address.port(),
            weight: Weight::ONE,
            conditions: Conditions::READY,
            placement_is_pod: false,
            placement_has_ordinal: false,
        };
        endpoint.with_address(address)
    }

    /// Sets another placement, where one source's names would be taken for another's.
    #[must_use]
    pub fn with_placement(mut self, placement: Placement) -> Self {
        let (pod, ordinal) = (self.pod().map(Arc::from), self.ordinal());
        self.placement = placement;
        self.set_pod(pod);
        self.set_ordinal(ordinal);
        self
    }

    /// Sets another address, where the Pod is reached at another port.
    #[must_use]
    pub fn with_address(mut self, address: SocketAddr) -> Self {
        (self.ip, self.port) = (address.ip(), address.port());
        let flow_and_scope = match address {
            SocketAddr::V4(_) => (0, 0),
            SocketAddr::V6(address) => (address.flowinfo(), address.scope_id()),
        };
        if flow_and_scope != (0, 0) || self.seldom.is_some() {
            self.change_seldom(|seldom| seldom.flow_and_scope = flow_and_scope);
        }
        self
    }

    /// Sets the UID of the Pod.
    #[must_use]
    pub fn with_uid(mut self, uid: impl Into<Uid>) -> Self {
        self.uid = Some(uid.into());
        self
    }

    /// Sets the address of the other IP family, where the Pod has both.
    #[must_use]
    pub fn with_alternate(mut self, address: SocketAddr) -> Self {
        self.change_seldom(|seldom| seldom.alternate = Some(address));
        self
    }

    /// Sets the conditions.
    #[must_use]
    pub fn with_conditions(mut self, conditions: Conditions) -> Self {
        self.conditions = conditions;
        self
    }

    /// Sets the weight.
    #[must_use]
    pub fn with_weight(mut self, weight: Weight) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the ordinal of the Pod within its StatefulSet.
    #[must_use]
    pub fn with_ordinal(mut self, ordinal: u32) -> Self {
        self.set_ordinal(Some(ordinal));
        self
    }

    /// Sets the name of the Pod.
    #[must_use]
    pub fn with_pod(mut self, pod: impl Into<Arc<str>>) -> Self {
        self.set_pod(Some(pod.into()));
        self
    }

    /// Sets the node on which the Pod runs.
    #[must_use]
    pub fn with_node(mut self, node: impl Into<Arc<str>>) -> Self {
        self.change_topology(|topology| topology.with_node(node));
        self
    }

    /// Sets the zone in which the Pod runs.
    #[must_use]
    pub fn with_zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.change_topology(|topology| topology.with_zone(zone));
        self
    }

    /// Sets the topology hints.
    #[must_use]
    pub fn with_hints(mut self, hints: Arc<Hints>) -> Self {
        self.change_topology(|topology| topology.with_hints(hints));
        self
    }

    /// Sets node, zone and hints at once, from what it has in common with other endpoints.
    #[must_use]
    pub fn with_topology(mut self, topology: Arc<Topology>) -> Self {
        self.topology = (*topology != Topology::UNKNOWN).then_some(topology);
        self
    }

    /// Sets the DNS name of which the address is one.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<Arc<str>>) -> Self {
        self.change_seldom(|seldom| seldom.host = Some(host.into()));
        self
    }

    /// Sets the labels of the Pod, or those of them that are of interest. Of a name that comes twice, the
    /// last one counts.
    #[must_use]
    pub fn with_labels<N, V>(mut self, labels: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<Arc<str>>,
        V: Into<Arc<str>>,
    {
        let labels = labels.into_iter();
        let labels = labels.map(|(name, value)| (name.into(), value.into()));
        self.change_seldom(|seldom| seldom.labels = labels.collect());
        self
    }

    fn set_pod(&mut self, pod: Option<Arc<str>>) {
        self.placement_is_pod = pod.as_deref() == Some(self.placement.as_str());
        let other = pod.filter(|_| !self.placement_is_pod);
        if other.is_some() || self.seldom.is_some() {
            self.change_seldom(|seldom| seldom.pod = other);
        }
    }

    fn set_ordinal(&mut self, ordinal: Option<u32>) {
        self.placement_has_ordinal = ordinal.is_some() && ordinal == self.placement.ordinal();
        let other = ordinal.filter(|_| !self.placement_has_ordinal);
        if other.is_some() || self.seldom.is_some() {
            self.change_seldom(|seldom| seldom.ordinal = other);
        }
    }

    fn change_topology(&mut self, change: impl FnOnce(Topology) -> Topology) {
        let topology = self.topology.take().map(Arc::unwrap_or_clone);
        self.topology = Some(Arc::new(change(topology.unwrap_or_default())));
    }

    fn change_seldom(&mut self, change: impl FnOnce(&mut Seldom)) {
        Seldom::change(&mut self.seldom, change);
    }

    /// The stable name, on which rings, shards and stickiness key.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// What is measured, ejected and connected to: this life of the Pod.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation<'_> {
        Incarnation {
            uid: self.uid.as_ref(),
            address: self.address(),
        }
    }

    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let mut address = SocketAddr::new(self.ip, self.port);
        if let (SocketAddr::V6(address), Some(seldom)) = (&mut address, &self.seldom) {
            let (flow, scope) = seldom.flow_and_scope;
            address.set_flowinfo(flow);
            address.set_scope_id(scope);
        }
        address
    }

    /// The address of the other IP family, where the Pod has both.
    #[must_use]
    pub fn alternate(&self) -> Option<SocketAddr> {
        self.seldom.as_ref()?.alternate
    }

    /// What the cluster says of the Pod's condition.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        self.conditions
    }

    /// Its share of the load, relative to the others'.
    #[must_use]
    pub fn weight(&self) -> Weight {
        self.weight
    }

    /// The number at the end of a StatefulSet Pod's name.
    #[must_use]
    pub fn ordinal(&self) -> Option<u32> {
        if self.placement_has_ordinal {
            return self.placement.ordinal();
        }
        self.seldom.as_ref()?.ordinal
    }

    /// The name of the Pod, where the endpoint is one.
    #[must_use]
    pub fn pod(&self) -> Option<&str> {
        if self.placement_is_pod {
            return Some(self.placement.as_str());
        }
        self.seldom.as_ref()?.pod.as_deref()
    }

    /// The UID of the Pod, where the endpoint is one.
    #[must_use]
    pub fn uid(&self) -> Option<&Uid> {
        self.uid.as_ref()
    }

    /// The node on which it runs.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.topology.as_ref()?.node()
    }

    /// The zone in which it runs.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.topology.as_ref()?.zone()
    }

    /// Whose traffic it is meant for, where the cluster says so.
    #[must_use]
    pub fn hints(&self) -> Option<&Hints> {
        self.topology.as_ref()?.hints()
    }

    /// The DNS name of which the address is one, where the Service is an alias of that name, or its load
    /// balancer bears it. Without the final dot.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.seldom.as_ref()?.host.as_deref()
    }

    /// The value of a label of the Pod, where the source tells labels and the Pod has this one.
    ///
    /// ```
    /// use portolan_core::{Endpoint, Placement};
    ///
    /// let endpoint = Endpoint::new(Placement::new("db-0"), "10.244.1.7:5432".parse().unwrap())
    ///     .with_labels([("cnpg.io/instanceRole", "primary")]);
    /// assert_eq!(endpoint.label("cnpg.io/instanceRole"), Some("primary"));
    /// ```
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.seldom.as_ref()?.labels.get(name).map(|value| &**value)
    }

    /// The labels of the Pod, by name, as far as the source tells them.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let seldom = self.seldom.iter();
        let labels = seldom.flat_map(|seldom| &seldom.labels);
        labels.map(|(name, value)| (&**name, &**value))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it says, not how it is kept.
        f.debug_struct("Endpoint")
            .field("placement", &self.placement)
            .field("uid", &self.uid)
            .field("address", &self.address())
            .field("alternate", &self.alternate())
            .field("conditions", &self.conditions)
            .field("weight", &self.weight)
            .field("ordinal", &self.ordinal())
            .field("pod", &self.pod())
            .field("node", &self.node())
            .field("zone", &self.zone())
            .field("hints", &self.hints())
            .field("host", &self.host())
            .field("labels", &self.labels().collect::<Vec<_>>())
            .finish()
    }
}

/// The three conditions of an endpoint, with what Kubernetes means where it says nothing
/// (`discovery.k8s.io/v1`, EndpointConditions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conditions {
    ready: bool,
    serving: bool,
    terminating: bool,
}

impl Conditions {
    /// Ready, serving, not terminating.
    pub const READY: Self = Self {
        ready: true,
        serving: true,
        terminating: false,
    };

    /// What the API's three optional fields mean: `ready` and `serving` unset are true, `terminating`
    /// unset is false.
    ///
    /// ```
    /// use portolan_core::Conditions;
    /// assert_eq!(Conditions::new(None, None, None), Conditions::READY);
    /// assert!(Conditions::new(Some(false), None, None).is_serving());
    /// ```
    #[must_use]
    pub fn new(ready: Option<bool>, serving: Option<bool>, terminating: Option<bool>) -> Self {
        Self {
            ready: ready.unwrap_or(true),
            serving: serving.unwrap_or(true),
            terminating: terminating.unwrap_or(false),
        }
    }

    /// Whether new requests should go there. With `publishNotReadyAddresses` this is always so.
    #[must_use]
    pub fn is_ready(self) -> bool {
        self.ready
    }

    /// Whether it answers its readiness probe, terminating or not.
    #[must_use]
    pub fn is_serving(self) -> bool {
        self.serving
    }

    /// Whether it is being deleted.
    #[must_use]
    pub fn is_terminating(self) -> bool {
        self.terminating
    }
}

/// The share of load that an endpoint takes, relative to the others'. Zero takes none, unless all
/// are zero, which counts as all being equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

impl Weight {
    /// The weight of an endpoint for which none is set.
    pub const ONE: Self = Self(1);

    /// A weight.
    #[must_use]
    pub const fn new(weight: u32) -> Self {
        Self(weight)
    }

    /// The weight as a number.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests;
