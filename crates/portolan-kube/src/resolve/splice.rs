//! Changes to an ordered set that leave the rest of it alone.

use std::{cmp::Ordering, sync::Arc};

use portolan_core::{Endpoint, EndpointSet, PortRef};

/// How many endpoints a change concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    joined: usize,
    left: usize,
    changed: usize,
}

impl Changes {
    pub(super) fn is_none(self) -> bool {
        self == Self::default()
    }

    pub(super) fn log(self, service: &str, port: Option<&PortRef>, endpoints: usize) {
        let Self {
            joined,
            left,
            changed,
        } = self;
        if self.is_none() {
            return;
        }
        let port = port.map(tracing::field::display);
        tracing::info!(
            service,
            port,
            endpoints,
            joined,
            left,
            changed,
            "endpoints changed"
        );
    }
}

/// The order of an [`EndpointSet`].
fn order(a: &Endpoint, b: &Endpoint) -> Ordering {
    let by_placement = a.placement().cmp(b.placement());
    by_placement.then_with(|| a.incarnation().cmp(&b.incarnation()))
}

pub(super) fn find(set: &EndpointSet, endpoint: &Endpoint) -> Result<usize, usize> {
    set.binary_search_by(|other| order(other, endpoint))
}

/// A set of these endpoints, in any order. An endpoint that is in `set` already is taken from there, and of
/// several that are the same the first stays.
pub(super) fn replace(
    set: &EndpointSet,
    mut endpoints: Vec<Arc<Endpoint>>,
) -> (EndpointSet, Changes) {
    endpoints.sort_by(|a, b| order(a, b));
    endpoints.dedup_by(|a, b| order(a, b).is_eq());
    let mut changes = Changes::default();
    let mut kept = 0;
    let endpoints: Vec<_> = endpoints
        .into_iter()
        .map(
            |endpoint| match find(set, &endpoint).ok().and_then(|at| set.get(at)) {
                Some(known) => {
                    kept += 1;
                    if *known == endpoint {
                        Arc::clone(known)
                    } else {
                        changes.changed += 1;
                        endpoint
                    }
                }
                None => {
                    changes.joined += 1;
                    log_one(&endpoint, "endpoint joined");
                    endpoint
                }
            },
        )
        .collect();
    changes.left = set.len().saturating_sub(kept);
    (EndpointSet::from_ordered(endpoints), changes)
}

/// The set with `new` in the place of `old`, or nothing where that is no change.
pub(super) fn splice(
    set: &EndpointSet,
    old: &mut [Arc<Endpoint>],
    mut new: Vec<Arc<Endpoint>>,
) -> Option<(EndpointSet, Changes)> {
    let mut changes = Changes::default();
    old.sort_by(|a, b| order(a, b));
    new.sort_by(|a, b| order(a, b));
    new.dedup_by(|a, b| order(a, b).is_eq());
    let mut edits: Vec<Edit> = Vec::with_capacity(old.len() + new.len());
    for gone in old.iter() {
        if new
            .binary_search_by(|endpoint| order(endpoint, gone))
            .is_ok()
        {
            continue;
        }
        if let Ok(at) = find(set, gone) {
            changes.left += 1;
            log_one(gone, "endpoint left");
            edits.push(Edit {
                at,
                skip: true,
                insert: None,
            });
        }
    }
    for endpoint in new {
        match find(set, &endpoint) {
            Ok(at) if set.get(at).is_some_and(|known| *known == endpoint) => {}
            Ok(at) => {
                changes.changed += 1;
                log_one(&endpoint, "endpoint changed");
                edits.push(Edit {
                    at,
                    skip: true,
                    insert: Some(endpoint),
                });
            }
            Err(at) => {
                changes.joined += 1;
                log_one(&endpoint, "endpoint joined");
                edits.push(Edit {
                    at,
                    skip: false,
                    insert: Some(endpoint),
                });
            }
        }
    }
    if edits.is_empty() {
        return None;
    }
    // What is inserted before an element comes before what is done to the element itself.
    edits.sort_by(|a, b| {
        let by_place = a.at.cmp(&b.at).then_with(|| a.skip.cmp(&b.skip));
        by_place.then_with(|| match (&a.insert, &b.insert) {
            (Some(a), Some(b)) => order(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        })
    });
    let mut spliced = Vec::with_capacity(set.len() + edits.len());
    let mut copied = 0;
    for Edit { at, skip, insert } in edits {
        spliced.extend_from_slice(set.get(copied..at).unwrap_or_default());
        spliced.extend(insert);
        copied = at + usize::from(skip);
    }
    spliced.extend_from_slice(set.get(copied..).unwrap_or_default());
    Some((EndpointSet::from_ordered(spliced), changes))
}

struct Edit {
    at: usize,
    /// Whether the element at this place goes.
    skip: bool,
    insert: Option<Arc<Endpoint>>,
}

fn log_one(endpoint: &Endpoint, what: &'static str) {
    let conditions = endpoint.conditions();
    tracing::debug!(
        endpoint = %endpoint.placement(),
        address = %endpoint.address(),
        ready = conditions.is_ready(),
        serving = conditions.is_serving(),
        terminating = conditions.is_terminating(),
        "{what}"
    );
}
