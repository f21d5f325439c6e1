//! How one endpoint is chosen among many.
//!
//! A [`Policy`] is the recipe, made once by the user. Whenever the endpoints change it builds a
//! [`Picker`], off the request path, which may sort, hash and allocate as it likes. The picker then
//! answers each request without a lock and without allocating.
//!
//! | policy | choose it for | pick |
//! |---|---|---|
//! | [`LeastRequest`] | the default: requests of differing cost, Pods of differing speed | O(1) |
//! | [`PeakEwma`] | latency above all, zones or Pods that are slow at times | O(1) |
//! | [`RoundRobin`] | equal Pods and equal requests, or an order that can be foretold | O(1) |
//! | [`WeightedRoundRobin`] | Pods of known, different size | O(1), expected |
//! | [`BackendWeighted`] | Pods of unknown, different size that report their utilization (ORCA) | O(1), expected |
//! | [`Prequal`] | short tails: Pods that report requests in hand and latency, or noisy neighbours | O(1) |
//! | [`Random`] | very many clients; weights without any shared counter | O(1) |
//! | [`RingHash`] | the same key to the same Pod: many Pods, weights; nothing moves that need not | O(1) |
//! | [`Maglev`] | the same, with an even load | O(1) |
//! | [`Rendezvous`] | the same, with few Pods | O(n) |
//! | [`JumpHash`] | the same, over the ordinals of a StatefulSet | O(log n) |
//! | [`GrpcRingHash`], [`Ketama`] | the same, as gRPC and Envoy, or nginx and pingora, have it | O(1) |
//! | [`Routes`] | servers that say themselves who serves what (`MOVED`, "not the leader"), over any of the others | O(1) |
//! | [`Shard`] | each key on the Pod of its shard, and on no other | O(log n) |
//! | [`ClientAffinity`] | Services with `sessionAffinity: ClientIP`: each client where it was, over any of the others | O(1) |
//! | [`ZoneAware`] | zones that cost money or time to cross, over any of the others | as theirs |
//! | [`PrimaryReplica`] | one primary that takes writes, replicas that answer reads by any of the others | as theirs |
//!
//! # Nesting
//! A policy that divides the endpoints, or goes by something else first, is put *over* another one, and that over a
//! third, in one expression that reads as one would say it: each key on its shard, there writes to the primary and
//! reads to what is near, and of those the one with the least to do.
//!
//! ```
//! use portolan_core::policy::{LeastRequest, PrimaryReplica, ReadFrom, Shard, Shards, ZoneAware, preset};
//! # use portolan_core::Policy;
//!
//! let policy = Shard::by_stateful_set(Shards::fixed(8)).over(
//!     PrimaryReplica::by_label(preset::CLOUD_NATIVE_PG)
//!         .read_from(ReadFrom::Nearest)
//!         .over(ZoneAware::over(LeastRequest::new())),
//! );
//! # assert!(policy.is_by_identity());
//! ```
//!
//! What holds for a policy holds wherever it is put: a write goes to the primary of its shard and to no replica, whoever
//! asks for another; the whole is [by identity](Policy::is_by_identity), [timed](Picker::is_timed) or
//! [changing](Policy::changes) where any of its parts is; and an [`Explanation`] has a step of each. One's own
//! policies nest as these do: of each part of the endpoints they make a [`Group`].
//!
//! | over others | by |
//! |---|---|
//! | [`Shard`] | [`Shard::over`], inside of each shard |
//! | [`PrimaryReplica`] | [`PrimaryReplica::over`], among those that may be read from |
//! | [`ZoneAware`] | [`ZoneAware::over`], inside of each zone |
//! | [`Routes`] | [`Routes::over`], where nothing has been learnt |
//! | [`Resharding`] | its [`Shard`]s |
//! | [`RingHash`], [`Maglev`], …, [`Shard`] | [`without_key`](RingHash::without_key), for requests without a key |

mod absent;
mod backend_weighted;
mod changes;
mod client_affinity;
mod context;
mod explain;
mod group;
mod hash;
mod learnt;
mod p2c;
mod prequal;
mod primary_replica;
mod random;
mod round_robin;
mod shard;
mod weighted_round_robin;
mod zone_aware;

use std::{fmt, pin, sync::Arc, time::Duration};

use futures_core::Stream;

pub use absent::Absent;
pub use backend_weighted::BackendWeighted;
pub use client_affinity::ClientAffinity;
pub use context::{Intent, PickContext, Pin, Tried};
pub use explain::{Explanation, Step};
pub use group::Group;
pub use hash::{GrpcRingHash, JumpHash, Ketama, Maglev, Rendezvous, RingHash, key_hash};
pub use learnt::{ByRoutes, Learnt, Redirect, Routes};
pub use p2c::{LeastRequest, PeakEwma};
pub use prequal::Prequal;
pub use primary_replica::{
    Announced, Epoch, Leadership, Position, PrimaryReplica, Progress, ReadFrom, ReplicaLag, Role,
    RoleLabel, preset,
};
pub use random::Random;
pub use round_robin::RoundRobin;
pub use shard::{
    Assignment, KeySpan, Keys, OnSide, Ordinals, Reads, Resharding, ReshardingPhase, Shard,
    ShardMap, ShardMapBuilder, ShardMapError, ShardMapHandle, ShardMapProblem, ShardMaps, Sharding,
    Shards, ShardsHandle, Side, Slots, StaleShardMap, Writes,
};
pub use weighted_round_robin::WeightedRoundRobin;
pub use zone_aware::ZoneAware;

pub use crate::candidates::{Candidate, Candidates, Index};

/// A recipe for choosing endpoints: builds a [`Picker`] for each new set of candidates.
///
/// Policies nest: one that divides candidates into groups builds the picker of each group with the
/// policy that it was given for it.
///
/// A policy of one's own takes a few lines:
///
/// ```
/// use portolan_core::{Candidates, Index, PickContext, Picker, Policy, Verdict};
/// use std::sync::Arc;
///
/// /// The first endpoint in order of its name, and the next where that one has been tried.
/// #[derive(Debug)]
/// struct First;
///
/// #[derive(Debug)]
/// struct FirstPicker(Candidates);
///
/// impl Policy for First {
///     fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
///         Arc::new(FirstPicker(candidates.clone()))
///     }
/// }
///
/// impl Picker for FirstPicker {
///     fn pick(&self, context: &PickContext<'_>) -> Verdict {
///         context.nth_untried(self.0.len(), 0)
///     }
/// }
/// ```
pub trait Policy: fmt::Debug + Send + Sync {
    /// Builds a picker for these candidates. Not on the request path: it may take its time.
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker>;

    /// Whether the policy goes by who an endpoint *is*, so that all clients must choose among the same ones.
    /// Default: any endpoint will do.
    ///
    /// Topology hints take endpoints off that are far from the client, and a policy by which a key has one
    /// place would send it elsewhere in each zone: to such a policy they are not applied. A policy that is made
    /// of others is by identity where any of them is.
    fn is_by_identity(&self) -> bool {
        false
    }

    /// Yields whenever what the policy goes by, besides the candidates, is different: a map of shards that
    /// somebody edits, say. The picker is built anew then. Default: nothing else matters.
    ///
    /// A policy that is made of others yields when any of them does. A stream that ends changes no more.
    fn changes(&self) -> Option<Changes> {
        None
    }
}

/// When a policy [is to be asked for a new picker](Policy::changes).
pub type Changes = pin::Pin<Box<dyn Stream<Item = ()> + Send>>;

impl<P: Policy + ?Sized> Policy for Arc<P> {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        (**self).build(candidates)
    }

    fn is_by_identity(&self) -> bool {
        (**self).is_by_identity()
    }

    fn changes(&self) -> Option<Changes> {
        (**self).changes()
    }
}

impl<P: Policy + ?Sized> Policy for Box<P> {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        (**self).build(candidates)
    }

    fn is_by_identity(&self) -> bool {
        (**self).is_by_identity()
    }

    fn changes(&self) -> Option<Changes> {
        (**self).changes()
    }
}

/// Chooses an endpoint for each request, among the candidates for which it was built.
///
/// # What must hold
/// - A pick neither blocks, nor allocates, nor panics, whatever the context holds. (A balancer survives
///   one that does: the request fails. See [`never_panics`](Self::never_panics).)
/// - An endpoint that [has been tried](PickContext::tried) is not returned again.
pub trait Picker: fmt::Debug + Send + Sync {
    /// Chooses.
    fn pick(&self, context: &PickContext<'_>) -> Verdict;

    /// Chooses as [`pick`](Self::pick) does, and says why: each policy adds a step, and one that asks others has
    /// them add theirs. Not on the request path. By default the step has the picker's name, and no reason.
    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        explain::unexplained(self, context, explanation)
    }

    /// Whether a request may go to this candidate, which something else than this picker has chosen for it: a pin, or
    /// what an earlier answer said. Default: it may.
    ///
    /// A picker for which it would be wrong, as a write at a replica is, says so. One that asks others asks them.
    fn admits(&self, index: Index, context: &PickContext<'_>) -> bool {
        let _ = (index, context);
        true
    }

    /// Whether it goes by [`PickContext::now`] or by the endpoints' latency. Default: it does.
    ///
    /// Where a picker says that it does not, the balancer reads no clock for the pick and times only
    /// a sample of the requests, for whoever looks at them: two looks at the clock are nearly half of
    /// what a balanced request costs. A picker that asks others says what they say.
    fn is_timed(&self) -> bool {
        true
    }

    /// Whether [`pick`](Self::pick) is known never to panic. Default: it is not.
    ///
    /// The balancer catches the panics of those of which it is not known, for a few nanoseconds a pick:
    /// the request fails, and the program does not. Say so of a picker that is tested with whatever a
    /// context may hold; one that asks others says what they say.
    fn never_panics(&self) -> bool {
        false
    }
}

/// What a [`Picker`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// This endpoint.
    Use(Index),
    /// None now. The request waits, as long as it may, for the next change of the endpoints.
    Wait,
    /// None now. As [`Wait`](Self::Wait), for so long at most: the policy knows better than the balancer's
    /// own settings how long waiting makes sense.
    WaitUpTo(Duration),
    /// None, and waiting will not help.
    Fail(Reason),
}

/// Why there is no endpoint for a request, and waiting will not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Every endpoint that may serve the request has been tried.
    #[error("every endpoint has been tried")]
    AllTried,
    /// The policy needs a key, and the request has none.
    #[error("the policy needs a key, and the request has none: set an affinity")]
    NoKey,
    /// The endpoint to which the request is pinned is not among the endpoints.
    #[error("the endpoint to which the request is pinned is not there")]
    PinNotFound,
    /// The policy does not let a request such as this go to the endpoint that it is pinned to.
    #[error(
        "the policy does not let a request such as this go to the endpoint that it is pinned to: a write goes to the \
         primary only"
    )]
    PinRefused,
    /// The endpoint that held the session of the request is gone for good, and its sessions do not move.
    #[error(
        "the endpoint that held the session is gone for good, and the session is not to move: begin a new one"
    )]
    SessionLost,
    /// Several endpoints have the ordinal that the request is pinned to: they are of several StatefulSets.
    #[error(
        "several endpoints have the ordinal to which the request is pinned: pin it to the name of one"
    )]
    PinAmbiguous,
    /// There are no shards.
    #[error("there are no shards: their number is 0")]
    NoShards,
    /// No Pod of the key's shard is there, and the policy does not wait for one.
    #[error(
        "no Pod of shard {shard} is there: it restarts, or none bears its ordinal or a name that the map lists"
    )]
    ShardAbsent {
        /// The shard of the key.
        shard: u32,
    },
    /// No shard has the key: the map of shards says so, or the way from keys to shards.
    #[error("no shard has the key: the map of shards, or the way from keys to shards, says so")]
    KeyUnassigned,
    /// While keys move from one way of sharding to another, requests such as this do not go to this side.
    #[error(
        "requests such as this do not go to this side of the resharding now: ask which sides they go to"
    )]
    OtherSide,
    /// Pods of different names have the ordinal of the key's shard.
    #[error(
        "Pods of different names have the ordinal of shard {shard}: the Service must select one StatefulSet only"
    )]
    ShardAmbiguous {
        /// The shard of the key.
        shard: u32,
    },
    /// No endpoint is known to be the primary.
    #[error(
        "no endpoint is known to be the primary: is a failover going on, and is the source told to read the \
         label, or the leadership told of the Lease?"
    )]
    NoPrimary,
    /// Several endpoints claim to be the primary, and no epoch tells which of them is.
    #[error(
        "several endpoints claim to be the primary, and no epoch tells which of them is: wait for the failover to \
         end, or fence it by a leadership"
    )]
    SeveralPrimaries,
    /// Every replica that may be read from is further behind than allowed.
    #[error(
        "every replica is further behind than allowed: raise the limit, or read from the primary, too"
    )]
    TooFarBehind,
}

/// The policy when none is named.
#[must_use]
pub fn default_policy() -> Arc<dyn Policy> {
    Arc::new(LeastRequest::new())
}

#[cfg(test)]
mod tests;
