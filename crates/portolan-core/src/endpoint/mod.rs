//! One live place that can serve requests.

mod identity;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

pub use identity::{Incarnation, Placement};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    placement: Placement,
    uid: Option<Arc<str>>,
    address: SocketAddr,
    conditions: Conditions,
    weight: Weight,
    ordinal: Option<u32>,
    pod: Option<Arc<str>>,
    node: Option<Arc<str>>,
    zone: Option<Arc<str>>,
    hints: Option<Arc<Hints>>,
    /// Set apart, since among 10,000 endpoints every word counts.
    seldom: Option<Box<Seldom>>,
}

impl Endpoint {
    /// An endpoint that is ready, of weight 1, of which nothing else is known.
    #[must_use]
    pub fn new(placement: Placement, address: SocketAddr) -> Self {
        Self {
            placement,
            uid: None,
            address,
            conditions: Conditions::READY,
            weight: Weight::ONE,
            ordinal: None,
            pod: None,
            node: None,
            zone: None,
            hints: None,
            seldom: None,
        }
    }

    /// Sets another placement, where one source's names would be taken for another's.
    #[must_use]
    pub fn with_placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Sets the UID of the Pod.
    #[must_use]
    pub fn with_uid(mut self, uid: impl Into<Arc<str>>) -> Self {
        self.uid = Some(uid.into());
        self
    }

    /// Sets the address of the other IP family, where the Pod has both.
    #[must_use]
    pub fn with_alternate(mut self, address: SocketAddr) -> Self {
        self.seldom().alternate = Some(address);
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
        self.ordinal = Some(ordinal);
        self
    }

    /// Sets the name of the Pod.
    #[must_use]
    pub fn with_pod(mut self, pod: impl Into<Arc<str>>) -> Self {
        self.pod = Some(pod.into());
        self
    }

    /// Sets the node on which the Pod runs.
    #[must_use]
    pub fn with_node(mut self, node: impl Into<Arc<str>>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// Sets the zone in which the Pod runs.
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

    /// Sets the DNS name of which the address is one.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<Arc<str>>) -> Self {
        self.seldom().host = Some(host.into());
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
        self.seldom().labels = labels
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        self
    }

    fn seldom(&mut self) -> &mut Seldom {
        self.seldom.get_or_insert_default()
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
            uid: self.uid.as_deref(),
            address: self.address,
        }
    }

    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
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
        self.ordinal
    }

    /// The name of the Pod, where the endpoint is one.
    #[must_use]
    pub fn pod(&self) -> Option<&str> {
        self.pod.as_deref()
    }

    /// The UID of the Pod, where the endpoint is one.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    /// The node on which it runs.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// The zone in which it runs.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Whose traffic it is meant for, where the cluster says so.
    #[must_use]
    pub fn hints(&self) -> Option<&Hints> {
        self.hints.as_deref()
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

/// What few endpoints have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seldom {
    alternate: Option<SocketAddr>,
    host: Option<Arc<str>>,
    labels: BTreeMap<Arc<str>, Arc<str>>,
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

/// Whose traffic an endpoint is meant for (`endpoints[].hints`, KEP-2433 and KEP-3015).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// `forZones[].name`.
    pub zones: Box<[Arc<str>]>,
    /// `forNodes[].name`.
    pub nodes: Box<[Arc<str>]>,
}
