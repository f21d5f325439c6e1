//! Who a key can belong to.

use crate::{Candidate, Candidates, Index, Placement, Tried};

/// The number of a host among the [`Hosts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Host(pub(super) u32);

/// The placements of the candidates, each once, in their order.
///
/// While a Pod restarts there may be two endpoints of one placement for a moment. They are one host: the one that
/// serves is asked first, and the other is the next for each of its keys.
#[derive(Debug)]
pub(super) struct Hosts {
    /// Of each host the endpoint that is asked first.
    first: Box<[Index]>,
    /// Who else has the placement of a host, in order of the hosts.
    twins: Box<[(Host, Index)]>,
    /// Of each host its weight: 1 where all are zero.
    weights: Box<[u32]>,
    /// Whether all weigh the same.
    equal: bool,
    /// How many hosts weigh anything.
    weighty: usize,
}

impl Hosts {
    pub(super) fn of(candidates: &Candidates) -> Self {
        let mut first = Vec::with_capacity(candidates.len());
        let mut weights = Vec::with_capacity(candidates.len());
        let mut twins = Vec::new();
        let mut position = 0;
        for (host, group) in groups(candidates).enumerate() {
            let serving = group.iter().position(serves).unwrap_or(0);
            for (offset, one) in group.iter().enumerate() {
                let index = Index::at(position + offset);
                if offset == serving {
                    first.push(index);
                    weights.push(one.endpoint.weight().value());
                } else {
                    twins.push((Host(host as u32), index));
                }
            }
            position += group.len();
        }
        if weights.iter().all(|&weight| weight == 0) {
            weights.fill(1);
        }
        Self {
            equal: weights.iter().all(|weight| Some(weight) == weights.first()),
            weighty: weights.iter().filter(|&&weight| weight > 0).count(),
            first: first.into(),
            twins: twins.into(),
            weights: weights.into(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.first.len()
    }

    /// All.
    pub(super) fn iter(&self) -> impl Iterator<Item = Host> + use<> {
        (0..self.first.len() as u32).map(Host)
    }

    /// The endpoint that is asked first.
    #[inline]
    pub(super) fn endpoint(&self, host: Host) -> Option<Index> {
        self.first.get(host.0 as usize).copied()
    }

    /// The weights, in order; `None` where all weigh the same.
    pub(super) fn unequal_weights(&self) -> Option<&[u32]> {
        (!self.equal).then_some(&*self.weights)
    }

    /// The weight of a host; 1 where that of all is zero.
    pub(super) fn weight(&self, host: Host) -> u32 {
        let weight = self.weights.get(host.0 as usize);
        weight.copied().unwrap_or_default()
    }

    /// The first of a host's endpoints that has not been tried.
    pub(super) fn untried(&self, host: Host, tried: &Tried) -> Option<Index> {
        let fresh = |index: &Index| !tried.contains(*index);
        if let Some(first) = self.endpoint(host).filter(fresh) {
            return Some(first);
        }
        let from = self.twins.partition_point(|(one, _)| *one < host);
        let twins = self.twins.get(from..).unwrap_or_default().iter();
        twins
            .take_while(|(one, _)| *one == host)
            .map(|(_, index)| *index)
            .find(fresh)
    }

    /// Whether an endpoint of a host that weighs anything has not been tried.
    pub(super) fn any_left(&self, tried: &Tried) -> bool {
        // Only where as many have been tried, there is something to look for.
        tried.len() < self.weighty
            || self
                .iter()
                .any(|host| self.weight(host) > 0 && self.untried(host, tried).is_some())
    }
}

/// The placement of each host, in the same order.
pub(super) fn placements(candidates: &Candidates) -> impl Iterator<Item = &Placement> {
    groups(candidates).filter_map(|group| Some(group.first()?.endpoint.placement()))
}

/// The candidates of each host. They are in order of their placement, so they stand side by side.
pub(super) fn groups(candidates: &Candidates) -> impl Iterator<Item = &[Candidate]> {
    candidates
        .as_slice()
        .chunk_by(|one, other| one.endpoint.placement() == other.endpoint.placement())
}

fn serves(candidate: &Candidate) -> bool {
    let conditions = candidate.endpoint.conditions();
    conditions.is_ready() && !conditions.is_terminating()
}
