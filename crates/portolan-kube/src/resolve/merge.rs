//! Which entries are one endpoint, and what it looks like.

use std::{cmp::Reverse, net::SocketAddr, sync::Arc};

use portolan_core::{Endpoint, Placement};

use super::FamilyOrder;
use crate::{
    service::Family,
    slice::{Slice, SliceEndpoint},
};

/// An entry of a slice, with the port that this slice gives it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    pub(super) endpoint: &'a SliceEndpoint,
    pub(super) slice: &'a Slice,
    pub(super) port: u16,
}

impl<'a> Member<'a> {
    pub(super) fn family(&self) -> Family {
        Family::of(self.endpoint.ip)
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.endpoint.ip, self.port)
    }

    fn uid(&self) -> Option<&'a str> {
        self.endpoint.uid.as_deref()
    }

    /// Which of two entries of one endpoint is believed, the lowest first. While an endpoint moves
    /// from slice to slice it stands in both: the one that is ready, so that it is never dropped in
    /// between; else the one in the slice that was written last.
    fn precedence(&self) -> impl Ord + use<'a> {
        let conditions = self.endpoint.conditions;
        (
            Reverse(conditions.is_ready()),
            Reverse(conditions.is_serving()),
            conditions.is_terminating(),
            Reverse(self.slice.version),
            &*self.slice.name,
            self.port,
        )
    }
}

/// Adds the endpoints that the entries of one bucket stand for.
///
/// Entries with the same Pod UID are one Pod, which has one address in each family; entries
/// without a UID are one endpoint where address and port are the same.
pub(super) fn merge(
    mut members: Vec<Member<'_>>,
    families: FamilyOrder,
    endpoints: &mut Vec<Endpoint>,
) {
    members.sort_by(|a, b| {
        let identity = |member: &Member<'_>| member.uid().is_none().then(|| member.address());
        let order = a
            .uid()
            .cmp(&b.uid())
            .then_with(|| identity(a).cmp(&identity(b)));
        order.then_with(|| a.precedence().cmp(&b.precedence()))
    });
    let same = |a: &Member<'_>, b: &Member<'_>| {
        a.uid() == b.uid() && (a.uid().is_some() || a.address() == b.address())
    };
    for entries in members.chunk_by(same) {
        merge_one(entries, families, endpoints);
    }
}

/// Adds the endpoints of one Pod (or address), whose entries come in their order of precedence.
///
/// A Pod is one endpoint, unless it has several addresses of the same family: each is one then, and
/// is paired with one of the other family as far as there are any.
fn merge_one(entries: &[Member<'_>], families: FamilyOrder, endpoints: &mut Vec<Endpoint>) {
    let of_rank = |rank: usize| {
        let mut addresses: Vec<Member<'_>> = Vec::new();
        for entry in entries
            .iter()
            .filter(|entry| families.rank(entry.family()) == Some(rank))
        {
            if addresses
                .iter()
                .all(|known| known.endpoint.ip != entry.endpoint.ip)
            {
                addresses.push(*entry);
            }
        }
        addresses.sort_by_key(Member::address);
        addresses
    };
    let (first, second) = (of_rank(0), of_rank(1));
    for at in 0..first.len().max(second.len()) {
        let alternate = first.get(at).and(second.get(at));
        if let Some(primary) = first.get(at).or(second.get(at)) {
            endpoints.push(endpoint(primary, alternate));
        }
    }
}

fn endpoint(primary: &Member<'_>, alternate: Option<&Member<'_>>) -> Endpoint {
    let entry = primary.endpoint;
    let address = primary.address();
    let placement = match entry.hostname.as_ref().or(entry.pod.as_ref()) {
        Some(name) => Placement::new(Arc::clone(name)),
        None => Placement::new(address.to_string()),
    };
    // Only a hostname that Kubernetes gave ends with an ordinal. The name of a Deployment's Pod may
    // end with digits by chance.
    let ordinal = entry.hostname.as_ref().and_then(|_| placement.ordinal());
    let mut endpoint = Endpoint::new(placement, address).with_conditions(entry.conditions);
    if let Some(uid) = &entry.uid {
        endpoint = endpoint.with_uid(Arc::clone(uid));
    }
    if let Some(alternate) = alternate {
        endpoint = endpoint.with_alternate(alternate.address());
    }
    if let Some(ordinal) = ordinal {
        endpoint = endpoint.with_ordinal(ordinal);
    }
    if let Some(pod) = &entry.pod {
        endpoint = endpoint.with_pod(Arc::clone(pod));
    }
    if let Some(node) = &entry.node {
        endpoint = endpoint.with_node(Arc::clone(node));
    }
    if let Some(zone) = &entry.zone {
        endpoint = endpoint.with_zone(Arc::clone(zone));
    }
    if let Some(hints) = &entry.hints {
        endpoint = endpoint.with_hints(Arc::clone(hints));
    }
    endpoint
}
