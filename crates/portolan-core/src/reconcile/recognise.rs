//! Knowing an endpoint again that one source names with its UID and another without.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
};

use crate::{Candidate, Change, Endpoint, Placement, endpoint_set::order};

/// Takes back the changes that are none: an endpoint of the same placement at the same address came and
/// went, and only one of the two has a UID. It keeps its state, and counts as updated.
///
/// DNS knows no UIDs, so a client that goes from one kind of source to the other would otherwise drop
/// every connection, and all that it has measured, for Pods that have not moved.
pub(super) fn recognise(
    before: &[Candidate],
    members: &mut [Candidate],
    changes: &mut Vec<Change>,
) {
    // As it nearly always is: sources that know UIDs know all of them.
    if !may_be_known_again(changes) {
        return;
    }
    let mut gone: HashMap<(Placement, SocketAddr), Vec<&Candidate>> = HashMap::new();
    for change in &*changes {
        if let Change::Removed(endpoint) = change
            && let Some(candidate) = find(before, endpoint)
        {
            gone.entry(place(endpoint)).or_default().push(candidate);
        }
    }
    let mut known_again = HashSet::new();
    for change in &mut *changes {
        let Change::Added(endpoint) = &*change else {
            continue;
        };
        let endpoint = Arc::clone(endpoint);
        let former = gone.get_mut(&place(&endpoint)).and_then(|candidates| {
            let nth = candidates
                .iter()
                .position(|one| one.endpoint.uid().is_none() != endpoint.uid().is_none())?;
            Some(candidates.swap_remove(nth))
        });
        if let Some(former) = former
            && let Ok(nth) = members.binary_search_by(|one| order(&one.endpoint, &endpoint))
            && let Some(member) = members.get_mut(nth)
        {
            member.state = Arc::clone(&former.state);
            known_again.insert(Arc::as_ptr(&former.endpoint));
            *change = Change::Updated(endpoint);
        }
    }
    changes.retain(|change| match change {
        Change::Removed(endpoint) => !known_again.contains(&Arc::as_ptr(endpoint)),
        _ => true,
    });
}

/// Whether one without a UID came and one with a UID went, or the other way round.
fn may_be_known_again(changes: &[Change]) -> bool {
    let any = |removed_has_uid: bool| {
        changes.iter().any(|change| match change {
            Change::Removed(one) => one.uid().is_some() == removed_has_uid,
            _ => false,
        }) && changes.iter().any(|change| match change {
            Change::Added(one) => one.uid().is_some() != removed_has_uid,
            _ => false,
        })
    };
    any(true) || any(false)
}

fn place(endpoint: &Endpoint) -> (Placement, SocketAddr) {
    (endpoint.placement().clone(), endpoint.address())
}

/// The candidate of this incarnation, among candidates in order.
fn find<'a>(candidates: &'a [Candidate], endpoint: &Endpoint) -> Option<&'a Candidate> {
    let nth = candidates.binary_search_by(|one| order(&one.endpoint, endpoint));
    candidates.get(nth.ok()?)
}
