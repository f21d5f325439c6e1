//! Each key on the Pods of its own shard, and on no others.

mod jump;
mod map;
mod slot;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use super::changes::merged;
use super::{Changes, Group, LeastRequest, PickContext, Picker, Policy, Reason, Verdict, key_hash};
use crate::{Candidate, Candidates, Placement};
pub use map::{
    KeySpan, Keys, ShardMap, ShardMapBuilder, ShardMapError, ShardMapHandle, ShardMapProblem,
    ShardMaps, Slots, StaleShardMap,
};

/// A key goes to the Pod of its shard, and never to that of another.
///
/// The shard of a key is that of jump hash over [`key_hash`]: from n to n + 1 shards, 1 in n + 1 keys moves. Shard 3
/// is the Pod of ordinal 3 of the StatefulSet. While it is not there, its requests wait.
///
/// ```
/// use portolan_core::policy::{Absent, Shard, Shards};
/// use std::time::Duration;
///
/// let policy = Shard::by_ordinal(Shards::fixed(8)).while_absent(Absent::Wait(Duration::from_secs(2)));
/// # let _: &dyn portolan_core::Policy = &policy;
/// ```
#[derive(Clone, Debug)]
pub struct Shard {
    layout: Layout,
    absent: Option<Absent>,
    inner: Arc<dyn Policy>,
}

/// Which shard a key belongs to, and where that is.
#[derive(Clone, Debug)]
enum Layout {
    Ordinals(Shards),
    Map(ShardMaps),
}

/// How many shards there are.
#[derive(Clone, Debug)]
pub struct Shards(u32);

/// What becomes of a request while no Pod of its shard is there. It never goes to another shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Absent {
    /// It waits, so long at most.
    Wait(Duration),
    /// It fails at once.
    FailFast,
}

impl Shards {
    /// Always so many.
    #[must_use]
    pub fn fixed(shards: u32) -> Self {
        Self(shards)
    }
}

impl Shard {
    /// A shard is the Pod of the same ordinal, from 0 on.
    #[must_use]
    pub fn by_ordinal(shards: Shards) -> Self {
        Self::of(Layout::Ordinals(shards))
    }

    /// A shard, and the Pods that it is on, are what a map says, which must list the Pods of its shards. Until there
    /// is a map, requests wait. The picker is built anew with each map, and goes by one of them only.
    #[must_use]
    pub fn by_map(maps: impl Into<ShardMaps>) -> Self {
        Self::of(Layout::Map(maps.into()))
    }

    fn of(layout: Layout) -> Self {
        Self {
            layout,
            absent: None,
            inner: Arc::new(LeastRequest::new()),
        }
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
}

impl Policy for Shard {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let (way, places) = match &self.layout {
            Layout::Ordinals(shards) => {
                let place = |shard| Place::of_ordinal(candidates, shard, &*self.inner);
                let places = (0..shards.0).map(place).collect();
                (Way::Jump(NonZeroU32::new(shards.0)), places)
            }
            Layout::Map(maps) => match maps.current() {
                None => (Way::Pending, Box::default()),
                Some(map) => {
                    let place = |pods: &[_]| Place::of_pods(candidates, pods, &*self.inner);
                    let places = map.owners().map(|(_, pods)| place(pods)).collect();
                    (Way::Map(map), places)
                }
            },
        };
        Arc::new(ShardPicker {
            way,
            places,
            absent: self.absent,
        })
    }

    fn changes(&self) -> Option<Changes> {
        let map = match &self.layout {
            Layout::Ordinals(_) => None,
            Layout::Map(maps) => Some(maps.changes()),
        };
        merged([map, self.inner.changes()])
    }
}

#[derive(Debug)]
struct ShardPicker {
    way: Way,
    places: Box<[Place]>,
    absent: Option<Absent>,
}

/// From a key to its shard.
#[derive(Debug)]
enum Way {
    /// Nothing where there are no shards.
    Jump(Option<NonZeroU32>),
    Map(Arc<ShardMap>),
    /// No map has come yet.
    Pending,
}

/// Where a shard is.
#[derive(Debug)]
enum Place {
    Nowhere,
    At(Group),
    /// Pods of different names have its ordinal.
    Ambiguous,
}

impl Place {
    /// In one walk over the candidates for each shard, off the request path.
    fn of_ordinal(candidates: &Candidates, ordinal: u32, inner: &dyn Policy) -> Self {
        let has_it = |one: &Candidate| one.endpoint.ordinal() == Some(ordinal);
        let mut names = candidates.iter().filter(|one| has_it(one));
        let Some(first) = names.next() else {
            return Self::Nowhere;
        };
        if names.any(|one| one.endpoint.placement() != first.endpoint.placement()) {
            return Self::Ambiguous;
        }
        Self::At(Group::of(candidates, has_it, inner))
    }

    /// `pods` are in order.
    fn of_pods(candidates: &Candidates, pods: &[Placement], inner: &dyn Policy) -> Self {
        let is_one = |one: &Candidate| pods.binary_search(one.endpoint.placement()).is_ok();
        match candidates.iter().any(is_one) {
            true => Self::At(Group::of(candidates, is_one, inner)),
            false => Self::Nowhere,
        }
    }
}

impl Picker for ShardPicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        let Some(key) = context.key else {
            return Verdict::Fail(Reason::NoKey);
        };
        let (shard, position) = match &self.way {
            Way::Pending => return Verdict::Wait,
            Way::Jump(None) => return Verdict::Fail(Reason::NoShards),
            Way::Jump(Some(shards)) => {
                let shard = jump::jump(key_hash(key), *shards);
                (shard, shard as usize)
            }
            Way::Map(map) => {
                let shard = map.shard_of(key);
                match shard.and_then(|shard| Some((shard, map.position(shard)?))) {
                    Some(found) => found,
                    None => return Verdict::Fail(Reason::KeyUnassigned),
                }
            }
        };
        match (self.places.get(position), self.absent) {
            (Some(Place::At(group)), _) => group.pick(context),
            (Some(Place::Ambiguous), _) => Verdict::Fail(Reason::ShardAmbiguous { shard }),
            (_, None) => Verdict::Wait,
            (_, Some(Absent::Wait(limit))) => Verdict::WaitUpTo(limit),
            (_, Some(Absent::FailFast)) => Verdict::Fail(Reason::ShardAbsent { shard }),
        }
    }

    fn is_timed(&self) -> bool {
        let mut places = self.places.iter();
        places.any(|place| matches!(place, Place::At(group) if group.is_timed()))
    }

    fn never_panics(&self) -> bool {
        let mut places = self.places.iter();
        places.all(|place| !matches!(place, Place::At(group) if !group.never_panics()))
    }
}

#[cfg(test)]
mod tests;
