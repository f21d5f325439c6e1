//! What stands behind a Service at one moment.

use std::{fmt, sync::Arc};

use crate::{Endpoint, InternalTraffic, Reach, SessionAffinity};

/// All endpoints of a Service at one moment, in the order of their
/// [placement](crate::Placement), then [incarnation](crate::Incarnation).
///
/// An endpoint that did not change is the same `Arc` as in the set before, so that finding what
/// changed among thousands is a comparison of pointers.
///
/// Besides, it says what its addresses are, and whom the Service wants them to be used by.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EndpointSet {
    endpoints: Arc<[Arc<Endpoint>]>,
    reach: Reach,
    internal_traffic: InternalTraffic,
    session_affinity: SessionAffinity,
}

impl EndpointSet {
    /// The set of these endpoints. They are put in order, and of several with the same placement
    /// and incarnation the first stays.
    #[must_use]
    pub fn new(mut endpoints: Vec<Arc<Endpoint>>) -> Self {
        let in_order = |pair: &[Arc<Endpoint>]| match pair {
            [a, b] => order(a, b).is_lt(),
            _ => true,
        };
        if !endpoints.windows(2).all(in_order) {
            endpoints.sort_by(|a, b| order(a, b));
            endpoints.dedup_by(|a, b| order(a, b).is_eq());
        }
        Self {
            endpoints: endpoints.into(),
            ..Self::default()
        }
    }

    /// The set of these endpoints, which are in order already, and each there once.
    ///
    /// For a source that edits a large set: to look at each of 10,000 again, scattered over memory as
    /// they are, costs it more than the edit. It is checked in debug builds; a set out of order leads
    /// to endpoints taken for new ones, and nothing worse.
    #[must_use]
    pub fn from_ordered(endpoints: Vec<Arc<Endpoint>>) -> Self {
        debug_assert!(
            endpoints.is_sorted_by(|a, b| order(a, b).is_lt()),
            "the endpoints are not in order"
        );
        Self {
            endpoints: endpoints.into(),
            ..Self::default()
        }
    }

    /// The same set, with what its addresses are. Default: [`Reach::Pods`].
    #[must_use]
    pub fn with_reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// The same set, with whom the Service wants it to be used by. Default: everybody.
    #[must_use]
    pub fn with_internal_traffic(mut self, internal_traffic: InternalTraffic) -> Self {
        self.internal_traffic = internal_traffic;
        self
    }

    /// The same set, with whether the Service wants each client to stay with one of it. Default: it does not.
    #[must_use]
    pub fn with_session_affinity(mut self, session_affinity: SessionAffinity) -> Self {
        self.session_affinity = session_affinity;
        self
    }

    /// What its addresses are.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Whom the Service wants it to be used by.
    #[must_use]
    pub fn internal_traffic(&self) -> InternalTraffic {
        self.internal_traffic
    }

    /// Whether the Service wants each client to stay with one of it.
    #[must_use]
    pub fn session_affinity(&self) -> SessionAffinity {
        self.session_affinity
    }

    /// The endpoints, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Whether both are one and the same set, without looking inside.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.endpoints, &other.endpoints)
            && self.reach == other.reach
            && self.internal_traffic == other.internal_traffic
            && self.session_affinity == other.session_affinity
    }
}

/// The order of endpoints in a set: by placement, then incarnation.
pub(crate) fn order(a: &Endpoint, b: &Endpoint) -> std::cmp::Ordering {
    a.placement()
        .cmp(b.placement())
        .then_with(|| a.incarnation().cmp(&b.incarnation()))
}

impl std::ops::Deref for EndpointSet {
    type Target = [Arc<Endpoint>];

    fn deref(&self) -> &Self::Target {
        &self.endpoints
    }
}

impl FromIterator<Endpoint> for EndpointSet {
    fn from_iter<I: IntoIterator<Item = Endpoint>>(endpoints: I) -> Self {
        Self::new(endpoints.into_iter().map(Arc::new).collect())
    }
}

impl fmt::Debug for EndpointSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|endpoint| endpoint.placement()))
            .finish()
    }
}
