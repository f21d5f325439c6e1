//! Which entries are one endpoint, and what it looks like.

use std::{
    cmp::Reverse,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use portolan_core::{Endpoint, Uid};

use super::FamilyOrder;
use crate::{
    service::Family,
    slice::{self, Slice},
};

/// An entry of a slice, with the port that this slice gives it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    pub(super) endpoint: &'a Arc<Endpoint>,
    pub(super) slice: &'a Slice,
    pub(super) port: u16,
}

impl<'a> Member<'a> {
    pub(super) fn family(&self) -> Family {
        Family::of(self.ip())
    }

    fn ip(&self) -> IpAddr {
        self.endpoint.address().ip()
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip(), self.port)
    }

    fn uid(&self) -> Option<&'a Uid> {
        self.endpoint.uid()
    }

    /// Which of two entries of one endpoint is believed, the lowest first. While an endpoint moves
    /// from slice to slice it stands in both: the one that is ready, so that it is never dropped in
    /// between; else the one in the slice that was written last.
    fn precedence(&self) -> impl Ord + use<'a> {
        let conditions = self.endpoint.conditions();
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
    members: &mut [Member<'_>],
    families: FamilyOrder,
    endpoints: &mut Vec<Arc<Endpoint>>,
) {
    // As nearly all endpoints do, in one slice.
    if let [only] = members {
        if families.rank(only.family()).is_some() {
            endpoints.push(endpoint(only, None));
        }
        return;
    }
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
fn merge_one(entries: &[Member<'_>], families: FamilyOrder, endpoints: &mut Vec<Arc<Endpoint>>) {
    let of_rank = |rank: usize| {
        let mut addresses: Vec<Member<'_>> = Vec::new();
        for entry in entries
            .iter()
            .filter(|entry| families.rank(entry.family()) == Some(rank))
        {
            if addresses.iter().all(|known| known.ip() != entry.ip()) {
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

/// The endpoint of an entry: the one that the slice has, wherever that says all there is to say.
fn endpoint(primary: &Member<'_>, alternate: Option<&Member<'_>>) -> Arc<Endpoint> {
    if alternate.is_none() && primary.endpoint.address().port() == primary.port {
        return Arc::clone(primary.endpoint);
    }
    let endpoint = slice::at_port(primary.endpoint, primary.port);
    Arc::new(match alternate {
        Some(alternate) => endpoint.with_alternate(alternate.address()),
        None => endpoint,
    })
}
