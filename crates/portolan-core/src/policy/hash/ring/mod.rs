//! Rings: each host has many points on it, and a key belongs to the next point.

mod edit;
mod grpc;
mod kept;
mod ketama;
mod points;

use std::sync::Arc;

pub use grpc::GrpcRingHash;
pub use ketama::Ketama;

use self::kept::{Kept, Share};
use super::{
    host::{Host, Hosts},
    order::Order,
    settings::{Settings, common_settings},
};
use crate::{Candidates, Picker, Policy, policy::Changes};

/// Each host has a fixed number of points on a ring, and a key belongs to the next one (Karger et al. 1997).
///
/// The number of a host's points depends on its weight and on nothing else: where another host comes, goes or
/// changes its weight, only keys from or to that one move. (A ring whose size is fixed, as gRPC's and Envoy's are, lays
/// the points of all hosts anew; that is [`GrpcRingHash`].)
///
/// Choose it for many hosts, for weights that differ much, and where it matters that nothing else moves. A
/// pick takes 10 to 15 ns whatever the number of hosts. It is the least even of the four: the busiest of 100 hosts has
/// 1.2 times the mean with the default of 160 points, for want of more points or of a
/// [bound](Self::bounded_load).
///
/// *For other languages.* A host's point number i, from 0, is the i-th output of SplitMix64, seeded with the
/// [`key_hash`](super::key_hash) of its placement. A key belongs to the first point that is not less than its
/// `key_hash`, round the end; of two equal points, to the host whose placement comes first.
///
/// A policy keeps an eye on the rings it has built and derives the next one from them, as long as somebody uses
/// them: where one host of 1,000 changes, in a fraction of the time. Clones do so together.
///
/// ```
/// use portolan_core::policy::RingHash;
///
/// let policy = RingHash::new().bounded_load(1.25);
/// # let _: &dyn portolan_core::Policy = &policy;
/// ```
#[derive(Clone, Debug)]
pub struct RingHash {
    points: u32,
    pub(super) kept: Arc<Kept>,
    settings: Settings,
}

common_settings!(RingHash);

/// Points for each unit of weight, where nothing is said.
const POINTS: u32 = 160;

impl Default for RingHash {
    fn default() -> Self {
        Self::new()
    }
}

impl RingHash {
    /// The policy, with 160 points for each unit of weight.
    #[must_use]
    pub fn new() -> Self {
        Self {
            points: POINTS,
            kept: Arc::default(),
            settings: Settings::default(),
        }
    }

    /// Sets how many points a host has for each unit of its weight. Default: 160, as nginx has it: a host's part of
    /// the keys is then within 8% of its due two times in three (1/√160), for 2.5 kB. None at all is as one.
    ///
    /// With weights in the hundreds, fewer do. A ring has four million points at most: beyond that, each host has
    /// half of its points, or a quarter, and so on.
    #[must_use]
    pub fn points_per_weight(mut self, points: u32) -> Self {
        self.points = points.max(1);
        // Rings of another number are of no use any more, not even those that a clone has built.
        self.kept = Arc::default();
        self
    }
}

impl Policy for RingHash {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let hosts = Hosts::of(candidates);
        let ring = self
            .kept
            .ring(Share::of_each(&hosts, self.points), candidates);
        self.settings.picker(candidates, hosts, ring)
    }

    /// A key has one place for all clients.
    fn is_by_identity(&self) -> bool {
        true
    }

    fn changes(&self) -> Option<Changes> {
        self.settings.changes()
    }
}

/// A key's order is that of the points from its hash on.
impl Order for Arc<kept::Named> {
    const NAME: &'static str = "RingHash";

    #[inline]
    fn first(&self, hash: u64) -> Option<Host> {
        self.ring().first(hash)
    }

    fn first_such(&self, hash: u64, such: impl FnMut(Host) -> bool) -> Option<Host> {
        self.ring().first_such(hash, such)
    }
}
