//! Deterministic aperture (Finagle, 2016): clients and endpoints on the same ring, each with a part of it.
//!
//! The endpoints divide the ring by their weights, the clients divide it evenly. A client talks to the endpoints that
//! its part touches; where it touches the half of one, that one gets half a share. So each point of the ring, and
//! with it each endpoint, has the same load, whatever the numbers are. Where a client's own part would be too few
//! endpoints, all take as many parts from their own on as make enough: then each point is covered as many times.
//!
//! Everything is counted in whole numbers. With W the sum of the weights and p the clients, the ring is W·p long:
//! an endpoint of weight w has w·p of it, and a client W. So the shares of one endpoint add up exactly.

use std::sync::Arc;

use super::{Peers, lot};
use crate::{Candidate, Endpoint, Weight};

/// The part of a ring that falls to this client: an even load for the endpoints, with few connections.
///
/// As long as each client sends as much as any other, and goes by weights, every endpoint gets exactly its share. A
/// policy that ignores weights ([`RoundRobin`](crate::policy::RoundRobin)) gives the two at the ends too much.
///
/// When an endpoint comes or goes, the places on the ring shift by less than one: a client whose part lies there
/// lets go of one or two and takes up as many (and all take up more where endpoints become so few that their parts no
/// longer [suffice](Self::at_least)). When a *client* comes or goes all parts shift, and with them more
/// connections; where clients come and go all the time, [`RendezvousSubset`](super::RendezvousSubset) is calmer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aperture {
    peers: Peers,
    least: u32,
}

impl Aperture {
    /// How many endpoints a client talks to at least, where nothing else is set.
    pub const LEAST: u32 = 12;

    /// That of one of these clients.
    #[must_use]
    pub fn of(peers: Peers) -> Self {
        Self {
            peers,
            least: Self::LEAST,
        }
    }

    /// How many endpoints a client talks to at least, if there are so many. Default: 12, as Finagle has it: with fewer,
    /// the choice of two has little to choose from, and one that fails is a good part of all. 0 counts as 1.
    #[must_use]
    pub fn at_least(mut self, endpoints: u32) -> Self {
        self.least = endpoints.max(1);
        self
    }

    pub(super) fn says(&self) -> String {
        format!(
            "the part of the ring that falls to client {} of {}",
            self.peers.index(),
            self.peers.count()
        )
    }

    pub(super) fn part(&self, all: &Arc<[Candidate]>) -> Arc<[Candidate]> {
        let ring = Ring::of(all);
        let peers = u128::from(self.peers.count());
        // So many parts that a client has enough, on average; all of them at most.
        let enough = (u128::from(self.least) * peers).div_ceil((ring.places.len() as u128).max(1));
        if enough >= peers {
            return Arc::clone(all);
        }
        let length = ring.sum * peers;
        let start = u128::from(self.peers.index()) * ring.sum;
        let end = start + enough * ring.sum;
        let mut chosen = Vec::new();
        let mut from = 0;
        for &(position, weight) in &ring.places {
            let to = from + weight * peers;
            // Most are nowhere near; the part may go beyond the end of the ring, and on from its beginning.
            if weight > 0 && ((from < end && start < to) || from + length < end) {
                let here = common((from, to), (start, end));
                let share = here + common((from + length, to + length), (start, end));
                chosen.push((position, share));
            }
            from = to;
        }
        chosen.sort_unstable();
        weighed(all, &chosen, peers)
    }
}

/// Where the endpoints are on the ring.
struct Ring {
    /// Their positions among the candidates and their weights, in the order of the ring.
    places: Vec<(usize, u128)>,
    sum: u128,
}

impl Ring {
    fn of(all: &[Candidate]) -> Self {
        let none_weighs = all.iter().all(|one| one.endpoint.weight().value() == 0);
        // Names that are next to each other are of one node or zone as often as not, and go down together: lots
        // part them. (Candidates are in the order of their names, so that equal lots, too, fall the same everywhere.)
        let lots = all.iter().zip(0_u32..);
        let mut lots: Vec<_> = lots
            .map(|(one, position)| (lot(RING, one.endpoint.placement().as_str()), position))
            .collect();
        lots.sort_unstable();
        let places = lots.into_iter().filter_map(|(_, position)| {
            let weight = all.get(position as usize)?.endpoint.weight().value();
            let weight = if none_weighs { 1 } else { u128::from(weight) };
            Some((position as usize, weight))
        });
        let places: Vec<_> = places.collect();
        Self {
            sum: places.iter().map(|(_, weight)| weight).sum(),
            places,
        }
    }
}

/// The seed of the lots by which the ring is in order: any number, but always the same.
const RING: u64 = 0x6170_6572_7475_7265;

/// How long two stretches run together.
fn common((a, b): (u128, u128), (c, d): (u128, u128)) -> u128 {
    b.min(d).saturating_sub(a.max(c))
}

/// The chosen ones, with the weights that their shares are.
fn weighed(all: &[Candidate], chosen: &[(usize, u128)], peers: u128) -> Arc<[Candidate]> {
    let whole = chosen.iter().all(|(position, share)| {
        let weight = all.get(*position).map(|one| one.endpoint.weight().value());
        weight.is_some_and(|weight| u128::from(weight.max(1)) * peers == *share)
    });
    // As fine as 32 bits allow, so that an endpoint that is barely touched is not as one that is not.
    let most = chosen.iter().map(|(_, share)| *share).max().unwrap_or(1);
    let unit = most.div_ceil(u128::from(u32::MAX)).max(1);
    let reweighed = |one: &Candidate, share: u128| {
        let weight = u32::try_from(share / unit).unwrap_or(u32::MAX).max(1);
        let endpoint = Endpoint::clone(&one.endpoint).with_weight(Weight::new(weight));
        Candidate {
            endpoint: Arc::new(endpoint),
            state: Arc::clone(&one.state),
        }
    };
    chosen
        .iter()
        .filter_map(|&(position, share)| {
            let one = all.get(position)?;
            Some(match whole {
                true => one.clone(),
                false => reweighed(one, share),
            })
        })
        .collect()
}
