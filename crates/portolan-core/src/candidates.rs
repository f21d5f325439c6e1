//! The endpoints among which a policy may choose.

use std::{fmt, sync::Arc};

use crate::{Endpoint, EndpointState, Location, SessionAffinity};

/// The place of a candidate in its [`Candidates`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(u32);

impl Index {
    /// The index of this number.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The index as a position in a slice.
    #[must_use]
    pub const fn position(self) -> usize {
        self.0 as usize
    }

    /// The index of a position in a slice. There are never 2^32 endpoints.
    pub(crate) const fn at(position: usize) -> Self {
        Self(position as u32)
    }
}

/// One endpoint that may be chosen, with what is known of it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Where it is.
    pub endpoint: Arc<Endpoint>,
    /// How it does.
    pub state: Arc<EndpointState>,
}

/// The endpoints among which a [`Policy`](crate::Policy) chooses, in the order of their placement.
///
/// Cloning shares the list, so a picker may keep the candidates it was built from.
#[derive(Clone)]
pub struct Candidates {
    list: Arc<[Candidate]>,
    seed: u64,
    location: Location,
    session_affinity: SessionAffinity,
}

impl Candidates {
    /// These candidates. `seed` is the entropy for whatever a policy wants to start at random, such
    /// as the first turn of a round robin.
    #[must_use]
    pub fn new(list: impl Into<Arc<[Candidate]>>, seed: u64) -> Self {
        Self {
            list: list.into(),
            seed,
            location: Location::UNKNOWN,
            session_affinity: SessionAffinity::default(),
        }
    }

    /// The same candidates, of a client that is there. Default: nobody knows where.
    #[must_use]
    pub fn with_location(mut self, location: Location) -> Self {
        self.location = location;
        self
    }

    /// Where the client is.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The same candidates, of a Service that wants this of its clients. Default: nothing.
    #[must_use]
    pub fn with_session_affinity(mut self, session_affinity: SessionAffinity) -> Self {
        self.session_affinity = session_affinity;
        self
    }

    /// Whether the Service wants each client to stay with one of them.
    #[must_use]
    pub fn session_affinity(&self) -> SessionAffinity {
        self.session_affinity
    }

    /// The candidate at `index`; `None` where there is no such place.
    #[must_use]
    pub fn get(&self, index: Index) -> Option<&Candidate> {
        self.list.get(index.position())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Candidate] {
        &self.list
    }

    /// All, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Candidate> {
        self.list.iter()
    }

    /// Entropy for the policy that is being built.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The weights, in order; `None` where all weigh the same, which all being zero counts as.
    #[must_use]
    pub fn weights(&self) -> Option<Box<[u32]>> {
        let first = self.list.first()?.endpoint.weight();
        if self.list.iter().all(|one| one.endpoint.weight() == first) {
            return None;
        }
        Some(
            self.list
                .iter()
                .map(|one| one.endpoint.weight().value())
                .collect(),
        )
    }
}

impl fmt::Debug for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.list.iter().map(|one| one.endpoint.placement()))
            .finish()
    }
}

impl<'a> IntoIterator for &'a Candidates {
    type Item = &'a Candidate;
    type IntoIter = std::slice::Iter<'a, Candidate>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
