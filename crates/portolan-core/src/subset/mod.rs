//! Which part of a large fleet one client talks to.
//!
//! Where 5,000 clients each keep connections to 20,000 Pods there are a hundred million of them, and most carry a
//! request an hour. A subset is the part that one client uses; which part, each client decides by itself, so that
//! together they use all Pods alike.
//!
//! | subset | load of the Pods | when a Pod is replaced | needs |
//! |---|---|---|---|
//! | [`Aperture`] | exactly alike | many clients move one connection | its [index among its peers](Peers) |
//! | [`RendezvousSubset`] | alike by chance: the larger the subset, the more so | only its own clients move theirs | a name |
//!
//! Both are pure: the same endpoints give the same subset, in every release and on every machine, and in whatever
//! order the Pods come. They go by placements, so that the restart of a Pod under its own name moves nothing.

mod aperture;
mod peers;
mod rendezvous;

use std::sync::Arc;

pub use aperture::Aperture;
pub use peers::{Peers, PeersError};
pub use rendezvous::RendezvousSubset;

use crate::Candidate;

/// How a client chooses the endpoints that it talks to at all.
///
/// ```
/// use portolan_core::subset::{Aperture, Peers, RendezvousSubset, Subset};
///
/// // The third of 40 clients; each talks to twelve Pods at least, and all Pods get the same load.
/// let even = Subset::from(Aperture::of(Peers::new(2, 40)?));
/// // Twenty Pods; which ones depends on the name of the client alone.
/// let steady = Subset::from(RendezvousSubset::of("client-7d4b9", 20));
/// # Ok::<(), portolan_core::subset::PeersError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subset {
    /// The part of a ring that falls to this client.
    Aperture(Aperture),
    /// Those that draw the best lots for this client.
    Rendezvous(RendezvousSubset),
}

impl Subset {
    /// The endpoints that this client talks to, in the order of their placement.
    ///
    /// Where that is not all of an endpoint, since a part of its load falls to others, its weight says so.
    #[must_use]
    pub fn of(&self, all: &Arc<[Candidate]>) -> Arc<[Candidate]> {
        match self {
            Self::Aperture(aperture) => aperture.part(all),
            Self::Rendezvous(rendezvous) => rendezvous.part(all),
        }
    }

    /// What it goes by, in words.
    pub(crate) fn says(&self) -> String {
        match self {
            Self::Aperture(aperture) => aperture.says(),
            Self::Rendezvous(rendezvous) => rendezvous.says(),
        }
    }
}

impl From<Aperture> for Subset {
    fn from(aperture: Aperture) -> Self {
        Self::Aperture(aperture)
    }
}

impl From<RendezvousSubset> for Subset {
    fn from(rendezvous: RendezvousSubset) -> Self {
        Self::Rendezvous(rendezvous)
    }
}

/// The lot that a client and an endpoint draw together. It is a promise to other releases: see
/// [`key_hash`](crate::policy::key_hash).
fn lot(seed: u64, placement: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(placement.as_bytes(), seed)
}

#[cfg(test)]
mod tests;
