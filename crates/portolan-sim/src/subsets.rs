//! Who talks to whom, of many clients and many Pods; and who moves when one Pod is replaced.
//!
//! Nothing happens over time here: each client's subset is made by the real code, once before and once after, and
//! counted.

use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc, thread};

use portolan_core::{
    Candidate, Endpoint, EndpointState, Measurement, Placement,
    subset::{Aperture, Peers, PeersError, RendezvousSubset, Subset},
};

/// A way of making subsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A part of the ring, with so many Pods at least.
    Aperture(u32),
    /// The best lots, of so many Pods.
    Rendezvous(usize),
}

impl Way {
    /// Those that are compared, at 5,000 clients and 20,000 Pods.
    pub const ALL: [Self; 4] = [
        Self::Aperture(12),
        Self::Rendezvous(12),
        Self::Rendezvous(20),
        Self::Rendezvous(100),
    ];

    fn subset(self, client: u32, clients: u32) -> Result<Subset, PeersError> {
        Ok(match self {
            Self::Aperture(least) => {
                let peers = Peers::new(client, clients)?;
                Aperture::of(peers).at_least(least).into()
            }
            Self::Rendezvous(size) => {
                RendezvousSubset::of(&format!("client-{client:05}"), size).into()
            }
        })
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&match self {
            Self::Aperture(least) => format!("aperture of {least}"),
            Self::Rendezvous(size) => format!("rendezvous of {size}"),
        })
    }
}

/// What comes of it.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    connections: BTreeSet<usize>,
    total: usize,
    loads: Vec<f64>,
    /// How many connections had to be made anew when one Pod was replaced, of all clients together.
    pub moved: usize,
    /// The most that one client had to make.
    pub most_moved: usize,
}

impl Spread {
    /// The fewest and the most connections that a client has.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        let end = |end: Option<&usize>| end.copied().unwrap_or_default();
        (end(self.connections.first()), end(self.connections.last()))
    }

    /// How many connections all clients have together.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// The load of the busiest Pod and that of the idlest, over the mean.
    #[must_use]
    pub fn load_to_mean(&self) -> (f64, f64) {
        let mean = self.loads.iter().sum::<f64>() / self.loads.len().max(1) as f64;
        let max = self.loads.iter().copied().fold(0.0, f64::max);
        let min = self.loads.iter().copied().fold(f64::INFINITY, f64::min);
        (max / mean, min / mean)
    }

    fn join(mut self, other: Self) -> Self {
        self.connections.extend(other.connections);
        self.total += other.total;
        for (load, more) in self.loads.iter_mut().zip(&other.loads) {
            *load += more;
        }
        self.moved += other.moved;
        self.most_moved = self.most_moved.max(other.most_moved);
        self
    }
}

/// Has so many clients make their subsets of so many Pods, and again with one of the Pods replaced by a new one.
///
/// # Errors
/// Where there are no clients.
pub fn spread(way: Way, clients: u32, pods: u32) -> Result<Spread, PeersError> {
    let gone = pods / 3;
    let before = fleet(pods, (0..pods).collect());
    let after = fleet(pods, (0..=pods).filter(|pod| *pod != gone).collect());
    let half = |clients_of: std::ops::Range<u32>| {
        let mut spread = Spread {
            loads: vec![0.0; pods as usize],
            ..Spread::default()
        };
        for client in clients_of {
            let subset = way.subset(client, clients)?;
            spread.count(&subset.of(&before), &subset.of(&after));
        }
        Ok(spread)
    };
    // There are two processors nearly everywhere.
    thread::scope(|scope| {
        let first = scope.spawn(|| half(0..clients / 2));
        let second: Result<Spread, PeersError> = half(clients / 2..clients);
        let first = first
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(first.join(second?))
    })
}

impl Spread {
    fn count(&mut self, before: &[Candidate], after: &[Candidate]) {
        self.connections.insert(before.len());
        self.total += before.len();
        let weight = |one: &Candidate| f64::from(one.endpoint.weight().value());
        let sum: f64 = before.iter().map(weight).sum();
        for one in before {
            if let Some(load) = self.loads.get_mut(number(one)) {
                *load += weight(one) / sum;
            }
        }
        let had: BTreeSet<_> = before.iter().map(number).collect();
        let new = after
            .iter()
            .filter(|one| !had.contains(&number(one)))
            .count();
        self.moved += new;
        self.most_moved = self.most_moved.max(new);
    }
}

/// Pods as a Deployment names them: nothing can be told from a name, and a new Pod's is anywhere in their order.
fn fleet(pods: u32, numbers: Vec<u32>) -> Arc<[Candidate]> {
    let name = |number: u32| {
        // Numbers below 2^32, shuffled by a multiplication that can be undone.
        let suffix = number.wrapping_mul(0x9e37_79b1);
        format!("web-{pods:x}-{suffix:08x}")
    };
    let candidate = |number: u32| {
        let address = (std::net::Ipv4Addr::from(number), 80).into();
        let endpoint = Arc::new(Endpoint::new(Placement::new(name(number)), address));
        Candidate {
            state: Arc::new(EndpointState::new(
                Arc::clone(&endpoint),
                Measurement::default(),
            )),
            endpoint,
        }
    };
    let mut fleet: Vec<_> = numbers.into_iter().map(candidate).collect();
    fleet.sort_by(|one, other| one.endpoint.placement().cmp(other.endpoint.placement()));
    fleet.into()
}

/// The number of a Pod, which is its address.
fn number(one: &Candidate) -> usize {
    match one.endpoint.address().ip() {
        IpAddr::V4(ip) => u32::from(ip) as usize,
        IpAddr::V6(_) => usize::MAX,
    }
}
