//! From one set of endpoints to the next: what stays keeps what is known of it.

mod recognise;

use std::{cmp::Ordering, sync::Arc};

use crate::{Candidate, Endpoint, EndpointSet, EndpointState, Measurement, resolution::order};
use recognise::recognise;

/// Every endpoint that the source names, eligible for traffic or not, with its state.
///
/// It is what [`reconcile()`] carries from one [`EndpointSet`] to the next.
#[derive(Clone, Debug, Default)]
pub struct Membership {
    // In the order of the endpoint set. Shared with the candidates, where all members are eligible.
    members: Arc<[Candidate]>,
}

impl Membership {
    /// All members, in order.
    #[must_use]
    pub fn members(&self) -> &[Candidate] {
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
    let members = members.into();
    (Membership { members }, changes)
}

fn relation(a: &Arc<Endpoint>, b: &Arc<Endpoint>) -> Ordering {
    if Arc::ptr_eq(a, b) {
        Ordering::Equal
    } else {
        order(a, b)
    }
}

/// The members that get traffic, by kube-proxy's rule: those that are ready; if none is ready
/// anywhere, those that serve while they terminate (KEP-1669).
///
/// `excluded` tells which ones the client itself has found to be out of reach. They are left out,
/// unless that would leave none: a client that can reach nobody is more likely to be wrong itself.
#[must_use]
pub fn eligible(
    membership: &Membership,
    excluded: impl Fn(&Candidate) -> bool,
) -> Arc<[Candidate]> {
    let all = &membership.members;
    let is_ready = |one: &Candidate| one.endpoint.conditions().is_ready();
    // As it nearly always is: then the list is there already.
    if all.iter().all(|one| is_ready(one) && !excluded(one)) {
        return Arc::clone(all);
    }
    let mut chosen: Vec<_> = all.iter().filter(|one| is_ready(one)).cloned().collect();
    if chosen.is_empty() {
        let as_last_resort = |one: &&Candidate| {
            let conditions = one.endpoint.conditions();
            conditions.is_serving() && conditions.is_terminating()
        };
        chosen = all.iter().filter(as_last_resort).cloned().collect();
    }
    if chosen.iter().any(|one| !excluded(one)) {
        chosen.retain(|one| !excluded(one));
    }
    chosen.into()
}

#[cfg(test)]
mod tests;
