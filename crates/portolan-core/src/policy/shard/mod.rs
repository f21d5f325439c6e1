//! Each key on the Pods of its own shard, and on no others.

mod count;
mod layout;
mod map;
mod picker;
mod resharding;
mod sharding;
mod slot;

use std::{fmt, sync::Arc};

use super::{Absent, Changes, LeastRequest, Picker, Policy, changes::merged};
use crate::Candidates;
pub use count::{Shards, ShardsHandle};
use layout::Layout;
pub use layout::Ordinals;
pub use map::{
    Assignment, KeySpan, Keys, ShardMap, ShardMapBuilder, ShardMapError, ShardMapHandle,
    ShardMapProblem, ShardMaps, Slots, StaleShardMap,
};
use picker::{ShardPicker, Way};
pub use resharding::{OnSide, Reads, Resharding, ReshardingPhase, Side, Writes};
pub use sharding::Sharding;

/// A key goes to the Pods of its shard, and never to those of another.
///
/// Three things are to be said, each of which has a default: which shard a key is of ([`Sharding`]), which
/// Pods have a shard, and what becomes of a request while they are [absent](Absent).
///
/// ```
/// use portolan_core::policy::{Absent, Shard, Shards};
/// use std::time::Duration;
///
/// // Eight shards, one for each Pod of a StatefulSet. While a Pod restarts, its requests wait for it.
/// let policy = Shard::by_ordinal(Shards::fixed(8)).while_absent(Absent::Wait(Duration::from_secs(2)));
/// # let _: &dyn portolan_core::Policy = &policy;
/// ```
///
/// Where a shard has several Pods, another policy chooses among them:
///
/// ```
/// use portolan_core::policy::{PeakEwma, Shard, Sharding, Shards};
///
/// // `cache-0-0`, `cache-0-1`, … are of shard 0: a StatefulSet for each shard.
/// let policy = Shard::by_stateful_set(Shards::fixed(3))
///     .keys(Sharding::slots())
///     .over(PeakEwma::new());
/// # let _: &dyn portolan_core::Policy = &policy;
/// ```
///
/// # What must hold
/// Whatever restarts, scales or fails, a request for a key goes to a Pod of the key's shard, or waits, or fails
/// with an error that says why: absent is not removed. Only a [standby](Self::standby) that was named for the
/// shard may stand in.
#[derive(Clone)]
pub struct Shard {
    sharding: Sharding,
    layout: Layout,
    absent: Option<Absent>,
    standby: Option<Standby>,
    without_key: Option<Arc<dyn Policy>>,
    inner: Arc<dyn Policy>,
}

/// Who reads for a shard while that is absent.
type Standby = Arc<dyn Fn(u32) -> String + Send + Sync>;

impl Shard {
    /// A shard is the Pod of the same ordinal in a StatefulSet, from 0 on; [`by_ordinals`](Self::by_ordinals) says
    /// so of others.
    ///
    /// Pods that are of several StatefulSets have the same ordinals, and then nobody is chosen
    /// ([`Reason::ShardAmbiguous`](crate::Reason)): say [which one](Ordinals::of) is meant.
    #[must_use]
    pub fn by_ordinal(shards: Shards) -> Self {
        Self::by_ordinals(Ordinals::new(), shards)
    }

    /// A shard is one Pod of a StatefulSet, or several, by their ordinals.
    ///
    /// ```
    /// use portolan_core::policy::{Ordinals, Shard, Shards};
    ///
    /// // Three Pods a shard: `db-100`, `db-101` and `db-102` are shard 0.
    /// let policy = Shard::by_ordinals(Ordinals::of("db").starting_at(100).replicas(3), Shards::fixed(4));
    /// ```
    #[must_use]
    pub fn by_ordinals(ordinals: Ordinals, shards: Shards) -> Self {
        Self::new(Layout::Ordinals(ordinals, shards))
    }

    /// There is a StatefulSet for each shard, whose name ends with the shard's number: `cache-3-0` and `cache-3-1`
    /// are of shard 3.
    #[must_use]
    pub fn by_stateful_set(shards: Shards) -> Self {
        Self::new(Layout::StatefulSets(shards))
    }

    /// A label of the Pods has the number of their shard. The source must [tell](crate::Endpoint::label) it; Pods
    /// without it, or with anything else in it, are of no shard.
    #[must_use]
    pub fn by_label(label: impl Into<Arc<str>>, shards: Shards) -> Self {
        Self::new(Layout::Label(label.into(), shards))
    }

    /// A shard, the keys that it has, and the Pods that it is on, are what a map says, which must list the Pods of
    /// its shards. Until there is a map, requests wait. The picker is built anew with each map, and goes by one of
    /// them only.
    #[must_use]
    pub fn by_map(maps: impl Into<ShardMaps>) -> Self {
        Self::new(Layout::Map(maps.into()))
    }

    fn new(layout: Layout) -> Self {
        Self {
            sharding: Sharding::default(),
            layout,
            absent: None,
            standby: None,
            without_key: None,
            inner: Arc::new(LeastRequest::new()),
        }
    }

    /// Sets which shard a key is of. Default: [`Sharding::jump`]. A [map](Self::by_map) says that itself, and
    /// then this does not count.
    #[must_use]
    pub fn keys(mut self, sharding: Sharding) -> Self {
        self.sharding = sharding;
        self
    }

    /// Sets the policy that chooses among the Pods of a shard. Default: [`LeastRequest`].
    #[must_use]
    pub fn over(mut self, inner: impl Policy + 'static) -> Self {
        self.inner = Arc::new(inner);
        self
    }

    /// Sets what becomes of a request while no Pod of its shard is there. Default: it waits as long as the balancer
    /// lets any request wait.
    #[must_use]
    pub fn while_absent(mut self, absent: Absent) -> Self {
        self.absent = Some(absent);
        self
    }

    /// Names the Pod that reads for a shard while no Pod of that is there. Requests that may write are not sent to
    /// it, whether they say so or say nothing.
    ///
    /// ```
    /// use portolan_core::policy::{Shard, Shards};
    ///
    /// let policy = Shard::by_ordinal(Shards::fixed(8)).standby(|shard| format!("db-standby-{shard}"));
    /// ```
    #[must_use]
    pub fn standby(mut self, name: impl Fn(u32) -> String + Send + Sync + 'static) -> Self {
        self.standby = Some(Arc::new(name));
        self
    }

    /// Sets who chooses, among all endpoints, for requests without a key. Default: nobody, they fail with
    /// [`Reason::NoKey`](crate::Reason::NoKey). The empty key is a key.
    #[must_use]
    pub fn without_key(mut self, policy: impl Policy + 'static) -> Self {
        self.without_key = Some(Arc::new(policy));
        self
    }

    /// The shard of a key, as it is now; `None` where no shard has it, or no map has come yet.
    ///
    /// ```
    /// use portolan_core::policy::{Shard, Sharding, Shards};
    ///
    /// let policy = Shard::by_ordinal(Shards::fixed(4)).keys(Sharding::number());
    /// assert_eq!(policy.shard_of(b"17"), Some(1));
    /// ```
    #[must_use]
    pub fn shard_of(&self, key: &[u8]) -> Option<u32> {
        self.way().shard_of(key).ok().flatten()
    }

    fn way(&self) -> Way {
        match &self.layout {
            Layout::Ordinals(_, shards)
            | Layout::StatefulSets(shards)
            | Layout::Label(_, shards) => Way::Sharding(self.sharding.clone(), shards.current()),
            Layout::Map(maps) => maps.current().map_or(Way::Pending, Way::Map),
        }
    }
}

impl Policy for Shard {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let way = self.way();
        let places = match &way {
            Way::Pending => Box::default(),
            way => self.layout.places(candidates, way, &*self.inner),
        };
        let standby = |name| self.layout.standbys(candidates, &places, &way, name);
        let without_key = self.without_key.as_ref();
        Arc::new(ShardPicker {
            standbys: self.standby.as_deref().map(standby).unwrap_or_default(),
            without_key: without_key.map(|policy| policy.build(candidates)),
            candidates: candidates.clone(),
            way,
            places,
            absent: self.absent,
        })
    }

    /// A shard is where it is, whatever is near.
    fn is_by_identity(&self) -> bool {
        true
    }

    fn changes(&self) -> Option<Changes> {
        let without_key = self.without_key.as_ref();
        merged([
            self.layout.changes(),
            self.inner.changes(),
            without_key.and_then(|policy| policy.changes()),
        ])
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("sharding", &self.sharding)
            .field("layout", &self.layout)
            .field("absent", &self.absent)
            .field("standby", &self.standby.is_some())
            .field("without_key", &self.without_key)
            .field("over", &self.inner)
            .finish()
    }
}

#[cfg(test)]
mod tests;
