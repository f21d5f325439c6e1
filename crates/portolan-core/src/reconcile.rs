//! From one set of endpoints to the next: what stays keeps what is known of it.

mod recognise;

use std::{cmp::Ordering, sync::Arc};

use crate::{
    Candidate, Endpoint, EndpointSet, EndpointState, InternalTraffic, Measurement, Placement,
    Reach, SessionAffinity, endpoint_set::order,
};
use recognise::recognise;

/// Every endpoint that the source names, eligible for traffic or not, with its state.
///
/// It is what [`reconcile()`] carries from one [`EndpointSet`] to the next.
#[derive(Clone, Debug, Default)]
pub struct Membership {
    // In the order of the endpoint set. Shared with the candidates, where all members are eligible.
    members: Arc<[Candidate]>,
    reach: Reach,
    internal_traffic: InternalTraffic,
    session_affinity: SessionAffinity,
}

impl Membership {
    /// All members, in order.
    #[must_use]
    pub fn members(&self) -> &[Candidate] {
        &self.members
    }

    /// What their addresses are.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Whom the Service wants them to be used by.
    #[must_use]
    pub fn internal_traffic(&self) -> InternalTraffic {
        self.internal_traffic
    }

    /// Whether the Service wants each client to stay with one of them.
    #[must_use]
    pub fn session_affinity(&self) -> SessionAffinity {
        self.session_affinity
    }

    /// Whether an endpoint of this stable name is there, or may be again.
    ///
    /// A Pod of a StatefulSet comes back under its name, which ends with its ordinal. Any other name that is gone stays
    /// gone: a Deployment gives each Pod a new one (of which one in 500 looks as if it ended with an ordinal).
    #[must_use]
    pub fn may_return(&self, placement: &Placement) -> bool {
        let by_name = |one: &Candidate| one.endpoint.placement().cmp(placement);
        placement.ordinal().is_some() || self.members.binary_search_by(by_name).is_ok()
    }

    /// The list itself, for whoever needs all of it.
    pub(crate) fn shared(&self) -> &Arc<[Candidate]> {
        &self.members
    }
}

/// One difference between two sets of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A new incarnation.
    Added(Arc<Endpoint>),
    /// An incarnation is gone.
    Removed(Arc<Endpoint>),
    /// The same incarnation, told differently: its conditions, weight, hints.
    Updated(Arc<Endpoint>),
}

/// Goes from what was known to what a source says now.
///
/// An incarnation that was there before keeps its [`EndpointState`]; a new one starts afresh, even
/// under the name or the address of another that is gone. Returns the differences, in order.
///
/// A UID that only one of the two sets knows makes no new incarnation: DNS tells none, and going from
/// it to the API or back, at the same placement and address, is no restart.
///
/// Both sets are in order, so this is one walk along both, and an endpoint that did not change is
/// the same pointer.
///
/// ```
/// use portolan_core::{Change, Endpoint, EndpointSet, Measurement, Membership, Placement, reconcile};
///
/// let address = "10.0.0.1:80".parse().unwrap();
/// let first: EndpointSet = [Endpoint::new(Placement::new("db-0"), address).with_uid("a")].into_iter().collect();
/// let again: EndpointSet = [Endpoint::new(Placement::new("db-0"), address).with_uid("b")].into_iter().collect();
///
/// let (before, _) = reconcile(&Membership::default(), &first, Measurement::default());
/// let (after, changes) = reconcile(&before, &again, Measurement::default());
/// // The same name at the same address, but another life: nothing is inherited.
/// assert!(matches!(changes[..], [Change::Removed(_), Change::Added(_)]));
/// ```
#[must_use]
pub fn reconcile(
    before: &Membership,
    endpoints: &EndpointSet,
    measurement: Measurement,
) -> (Membership, Vec<Change>) {
    let mut members = Vec::with_capacity(endpoints.len());
    let mut changes = Vec::new();
    let mut old = before.members.iter().peekable();
    for endpoint in endpoints.iter() {
        while let Some(gone) =
            old.next_if(|old| relation(&old.endpoint, endpoint) == Ordering::Less)
        {
            changes.push(Change::Removed(Arc::clone(&gone.endpoint)));
        }
        let kept = old.next_if(|old| relation(&old.endpoint, endpoint) == Ordering::Equal);
        let state = match kept {
            Some(kept) => {
                if !Arc::ptr_eq(&kept.endpoint, endpoint) && kept.endpoint != *endpoint {
                    changes.push(Change::Updated(Arc::clone(endpoint)));
                }
                Arc::clone(&kept.state)
            }
            None => {
                changes.push(Change::Added(Arc::clone(endpoint)));
                Arc::new(EndpointState::new(Arc::clone(endpoint), measurement))
            }
        };
        members.push(Candidate {
            endpoint: Arc::clone(endpoint),
            state,
        });
    }
    changes.extend(old.map(|gone| Change::Removed(Arc::clone(&gone.endpoint))));
    recognise(&before.members, &mut members, &mut changes);
    let membership = Membership {
        members: members.into(),
        reach: endpoints.reach(),
        internal_traffic: endpoints.internal_traffic(),
        session_affinity: endpoints.session_affinity(),
    };
    (membership, changes)
}

fn relation(a: &Arc<Endpoint>, b: &Arc<Endpoint>) -> Ordering {
    if Arc::ptr_eq(a, b) {
        Ordering::Equal
    } else {
        order(a, b)
    }
}

#[cfg(test)]
mod tests;
