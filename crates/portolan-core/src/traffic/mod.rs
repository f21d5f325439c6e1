//! Which endpoints may get traffic, from where the client stands: kube-proxy's rules, to the letter.
//!
//! They are those of `CategorizeEndpoints` in Kubernetes' `pkg/proxy/topology.go`, which the
//! real-cluster tests run beside this code on the same cases.

mod explain;
mod location;

use std::{borrow::Cow, net::SocketAddr, sync::Arc};

pub(crate) use explain::{explain_eligible, explain_left};
pub use location::Location;

use crate::{Candidate, Endpoint, Hints, Membership};

/// Whom a Service wants its endpoints to be used by (`spec.internalTrafficPolicy`, KEP-2086).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InternalTraffic {
    /// Clients anywhere in the cluster use endpoints anywhere.
    #[default]
    Cluster,
    /// A client uses endpoints on its own Node, and never another's, even where there is none: what runs
    /// on each Node, such as an agent, is for that Node.
    Local,
}

/// The members among which this client chooses, in order.
///
/// They are those that [kube-proxy would use](categorize), less what this client knows better:
/// - One that terminates gets nothing new while another does not. (With `publishNotReadyAddresses` it
///   is ready to the last, and kube-proxy goes on using it.)
/// - One that is `excluded`, because the client has found it out of reach, is left out while another
///   is not. Where all are, those farther off are asked, if the Service's rules allow it. If nobody can be
///   reached, the client is more likely to be wrong itself, and all stay.
#[must_use]
pub fn eligible(
    membership: &Membership,
    location: &Location,
    excluded: impl Fn(&Candidate) -> bool,
) -> Arc<[Candidate]> {
    let leaves = |one: &Candidate| one.endpoint.conditions().is_terminating();
    let is_fine = |one: &Candidate| is_ready(one) && !leaves(one) && !excluded(one);
    let all = membership.shared();
    // As it nearly always is: then the list is there already.
    if all.iter().all(is_fine) && Near::of(membership, all, location) == Near::Anywhere {
        return Arc::clone(all);
    }
    let all = present(membership);
    let near = Near::of(membership, &all, location);
    let mut chosen = choose(&all, near);
    if !chosen.iter().any(|one| !excluded(one)) && near.may_spill() {
        let farther = all.iter().filter(|one| is_ready(one) && !excluded(one));
        let farther: Vec<_> = farther.cloned().collect();
        if !farther.is_empty() {
            chosen = farther;
        }
    }
    keep(&mut chosen, |one| !excluded(one));
    keep(&mut chosen, |one| !leaves(one));
    chosen.into()
}

/// The members that kube-proxy would use on a Node at this location, in order.
///
/// 0. A Pod that terminates is passed over where another, at the same address, does not: the address has
///    been given away already, and the other Pod would get the traffic.
/// 1. Those that are ready; if none is, those that serve while they terminate (KEP-1669).
/// 2. Where the Service is [`InternalTraffic::Local`], only those on the client's Node, for both rules. A
///    client that does not know its Node has none.
/// 3. Else by the hints of the slices (KEP-2433, KEP-3015), which only mean something where *every* ready
///    endpoint has one: those for this Node, if there is one; else those for this zone, if there is one;
///    else all. `trafficDistribution` needs no rule: the cluster turns it into hints. Those that serve
///    while they terminate are used whatever their hints.
#[must_use]
pub fn categorize(membership: &Membership, location: &Location) -> Vec<Candidate> {
    let all = present(membership);
    choose(&all, Near::of(membership, &all, location))
}

/// All members, less those whose address another one has by now.
fn present(membership: &Membership) -> Cow<'_, [Candidate]> {
    let all = membership.members();
    let leaves = |one: &&Candidate| one.endpoint.conditions().is_terminating();
    let mut left: Vec<_> = all.iter().filter(leaves).map(address).collect();
    left.sort_unstable();
    // There are never many that leave, and nearly never one of them whose address is used again.
    let inherits = |one: &&Candidate| !leaves(one) && left.binary_search(&address(one)).is_ok();
    let inherited: Vec<_> = match left.is_empty() {
        true => Vec::new(),
        false => all.iter().filter(inherits).map(address).collect(),
    };
    if inherited.is_empty() {
        return Cow::Borrowed(all);
    }
    let stays = |one: &&Candidate| !(leaves(one) && inherited.contains(&address(one)));
    Cow::Owned(all.iter().filter(stays).cloned().collect())
}

fn address(one: &Candidate) -> SocketAddr {
    one.endpoint.address()
}

fn choose(all: &[Candidate], near: Near<'_>) -> Vec<Candidate> {
    let near = |one: &&Candidate| near.has(&one.endpoint);
    let ready: Vec<_> = all
        .iter()
        .filter(|one| is_ready(one))
        .filter(near)
        .cloned()
        .collect();
    if !ready.is_empty() {
        return ready;
    }
    let as_last_resort = |one: &&Candidate| {
        let conditions = one.endpoint.conditions();
        conditions.is_serving() && conditions.is_terminating()
    };
    all.iter()
        .filter(as_last_resort)
        .filter(near)
        .cloned()
        .collect()
}

/// Leaves out all others, unless none is such.
fn keep(list: &mut Vec<Candidate>, such: impl Fn(&Candidate) -> bool) {
    if list.iter().any(&such) {
        list.retain(such);
    }
}

fn is_ready(one: &Candidate) -> bool {
    one.endpoint.conditions().is_ready()
}

/// The endpoints that are near enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Near<'a> {
    /// All.
    Anywhere,
    /// Those hinted for this zone.
    HintedForZone(&'a str),
    /// Those hinted for this Node.
    HintedForNode(&'a str),
    /// Those on this Node, if it is known, and nobody else.
    OnNode(Option<&'a str>),
}

impl<'a> Near<'a> {
    fn of(membership: &Membership, all: &[Candidate], location: &'a Location) -> Self {
        match membership.internal_traffic() {
            InternalTraffic::Local => Self::OnNode(location.node()),
            InternalTraffic::Cluster => Self::by_hints(all, location),
        }
    }

    /// Hints count only where every ready endpoint has one, or those without would get no traffic from
    /// anybody; and only where one of them is for this client, or it would have no endpoint at all.
    fn by_hints(all: &[Candidate], location: &'a Location) -> Self {
        let mut node = Hinted::by(location.node());
        let mut zone = Hinted::by(location.zone());
        for one in all {
            if !one.endpoint.conditions().is_ready() {
                continue;
            }
            let hints = one.endpoint.hints();
            node.look_at(hints.map_or(&[], |hints| &hints.nodes));
            zone.look_at(hints.map_or(&[], |hints| &hints.zones));
            if !node.by_all && !zone.by_all {
                return Self::Anywhere;
            }
        }
        match (node.decides(), zone.decides()) {
            (Some(node), _) => Self::HintedForNode(node),
            (None, Some(zone)) => Self::HintedForZone(zone),
            (None, None) => Self::Anywhere,
        }
    }

    fn has(&self, endpoint: &Endpoint) -> bool {
        let hinted = |names: fn(&Hints) -> &[Arc<str>], name: &str| {
            let hints = endpoint.hints();
            hints.is_some_and(|hints| names(hints).iter().any(|hint| **hint == *name))
        };
        // Hints are gone by only where there are ready endpoints, and then one of those is hinted.
        match self {
            Self::Anywhere => true,
            Self::HintedForZone(zone) => hinted(|hints| &hints.zones, zone),
            Self::HintedForNode(node) => hinted(|hints| &hints.nodes, node),
            Self::OnNode(node) => node.is_some() && endpoint.node() == *node,
        }
    }

    /// Whether the Service lets traffic go farther where nobody near can be reached.
    fn may_spill(&self) -> bool {
        match self {
            Self::HintedForZone(_) | Self::HintedForNode(_) => true,
            Self::Anywhere | Self::OnNode(_) => false,
        }
    }
}

/// What the hints of one kind come to, over all ready endpoints.
struct Hinted<'a> {
    /// The client's own Node or zone.
    own: Option<&'a str>,
    /// Every endpoint has such a hint.
    by_all: bool,
    /// One of them is for the client.
    for_own: bool,
}

impl<'a> Hinted<'a> {
    fn by(own: Option<&'a str>) -> Self {
        Self {
            own,
            by_all: true,
            for_own: false,
        }
    }

    fn look_at(&mut self, hints: &[Arc<str>]) {
        self.by_all &= !hints.is_empty();
        self.for_own |= self
            .own
            .is_some_and(|own| hints.iter().any(|hint| **hint == *own));
    }

    fn decides(&self) -> Option<&'a str> {
        self.own.filter(|_| self.by_all && self.for_own)
    }
}

#[cfg(test)]
mod tests;
