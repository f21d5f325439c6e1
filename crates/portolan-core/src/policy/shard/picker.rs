//! From a key to its shard, and from there to a Pod.

use std::sync::Arc;

use super::{ShardMap, Sharding};
use crate::{
    Candidates, Index, Intent, PickContext, Picker, Reason, Verdict,
    policy::{Absent, Explanation, Group},
};

#[derive(Debug)]
pub(super) struct ShardPicker {
    pub(super) way: Way,
    /// The shards whose Pods are there, in order.
    pub(super) places: Box<[(u32, Place)]>,
    /// Those of absent shards, in order.
    pub(super) standbys: Box<[(u32, Index)]>,
    pub(super) absent: Option<Absent>,
    pub(super) without_key: Option<Arc<dyn Picker>>,
    pub(super) candidates: Candidates,
}

/// From a key to its shard.
#[derive(Debug)]
pub(super) enum Way {
    Sharding(Sharding, u32),
    Map(Arc<ShardMap>),
    /// No map has come yet.
    Pending,
}

/// Where a shard is.
#[derive(Debug)]
pub(super) enum Place {
    At(Group),
    /// Pods of different names have its ordinal.
    Ambiguous,
}

impl Way {
    /// The shard of a key; `Ok(None)` where it is not known yet.
    #[inline]
    pub(super) fn shard_of(&self, key: &[u8]) -> Result<Option<u32>, Reason> {
        match self {
            Self::Pending => Ok(None),
            Self::Sharding(_, 0) => Err(Reason::NoShards),
            Self::Sharding(sharding, shards) => {
                let shard = sharding.shard_of(key, *shards);
                shard.map(Some).ok_or(Reason::KeyUnassigned)
            }
            Self::Map(map) => map.shard_of(key).map(Some).ok_or(Reason::KeyUnassigned),
        }
    }

    /// Whether there is a shard of this number.
    pub(super) fn has(&self, shard: u32) -> bool {
        match self {
            Self::Sharding(_, shards) => shard < *shards,
            Self::Map(map) => map.position(shard).is_some(),
            Self::Pending => false,
        }
    }

    /// The numbers of all shards, up to as many as anybody has.
    pub(super) fn shards(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        const MOST: u32 = 1 << 16;
        match self {
            Self::Sharding(_, shards) => Box::new(0..(*shards).min(MOST)),
            Self::Map(map) => Box::new(map.owners().map(|(shard, _)| shard)),
            Self::Pending => Box::new(std::iter::empty()),
        }
    }
}

impl ShardPicker {
    fn place(&self, shard: u32) -> Option<&Place> {
        let at = self.places.binary_search_by_key(&shard, |(one, _)| *one);
        self.places.get(at.ok()?).map(|(_, place)| place)
    }

    fn absent(&self, shard: u32, context: &PickContext<'_>) -> Verdict {
        if let Some(index) = self.standby(shard, context)
            && !context.tried.contains(index)
        {
            return Verdict::Use(index);
        }
        Absent::verdict(self.absent, Reason::ShardAbsent { shard })
    }

    /// Who reads for an absent shard.
    fn standby(&self, shard: u32, context: &PickContext<'_>) -> Option<Index> {
        if context.intent != Intent::Read {
            return None;
        }
        let at = self.standbys.binary_search_by_key(&shard, |(one, _)| *one);
        self.standbys.get(at.ok()?).map(|(_, index)| *index)
    }
}

impl Picker for ShardPicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        let Some(key) = context.key else {
            return match &self.without_key {
                Some(picker) => picker.pick(context),
                None => Verdict::Fail(Reason::NoKey),
            };
        };
        let shard = match self.way.shard_of(key) {
            Ok(Some(shard)) => shard,
            Ok(None) => return Verdict::Wait,
            Err(reason) => return Verdict::Fail(reason),
        };
        match self.place(shard) {
            Some(Place::At(group)) => group.pick(context),
            Some(Place::Ambiguous) => Verdict::Fail(Reason::ShardAmbiguous { shard }),
            None => self.absent(shard, context),
        }
    }

    fn explain(&self, context: &PickContext<'_>, explanation: &mut Explanation) -> Verdict {
        let Some(key) = context.key else {
            explanation.note("Shard", "the request has no key");
            return match &self.without_key {
                Some(picker) => picker.explain(context, explanation),
                None => self.pick(context),
            };
        };
        let shard = match self.way.shard_of(key) {
            Ok(Some(shard)) => shard,
            Ok(None) => {
                explanation.note("Shard", "no map of shards has come yet");
                return self.pick(context);
            }
            Err(_) => {
                explanation.note("Shard", "the key is of no shard");
                return self.pick(context);
            }
        };
        let by = match &self.way {
            Way::Sharding(sharding, shards) => {
                format!(
                    "the key is of shard {shard} of {shards}, by {}",
                    sharding.name()
                )
            }
            _ => format!("the key is of shard {shard}, by the map"),
        };
        match self.place(shard) {
            Some(Place::At(group)) => {
                let members = group.members();
                explanation.narrow("Shard", by, &self.candidates, |index, _| {
                    members.binary_search(&index).is_ok()
                });
                group.explain(context, explanation)
            }
            Some(Place::Ambiguous) => {
                explanation.note(
                    "Shard",
                    format!("{by}: Pods of several names have its ordinal"),
                );
                self.pick(context)
            }
            None => {
                let standby = self.standby(shard, context).is_some();
                let who = if standby {
                    "its standby reads for it"
                } else {
                    "nobody stands in"
                };
                explanation.note("Shard", format!("{by}, none of whose Pods is there: {who}"));
                self.pick(context)
            }
        }
    }

    /// A Pod of another shard is not refused: who says that a key is there knows of a move that this does not. What
    /// the Pods of a shard do not take from anybody, they do not take from others either.
    fn admits(&self, index: Index, context: &PickContext<'_>) -> bool {
        let groups = self.places.iter().all(|(_, place)| match place {
            Place::At(group) => group.admits(index, context),
            Place::Ambiguous => true,
        });
        let without_key = self.without_key.as_ref();
        groups
            && (context.key.is_some()
                || without_key.is_none_or(|picker| picker.admits(index, context)))
    }

    fn may_pick(&self, index: Index, context: &PickContext<'_>) -> bool {
        let Some(key) = context.key else {
            let without_key = self.without_key.as_ref();
            return without_key.is_some_and(|picker| picker.may_pick(index, context));
        };
        let Ok(Some(shard)) = self.way.shard_of(key) else {
            return false;
        };
        match self.place(shard) {
            Some(Place::At(group)) => group.may_pick(index, context),
            Some(Place::Ambiguous) => false,
            None => self.standby(shard, context) == Some(index),
        }
    }

    fn is_timed(&self) -> bool {
        let groups = self.places.iter().any(|(_, place)| match place {
            Place::At(group) => group.is_timed(),
            Place::Ambiguous => false,
        });
        groups || self.without_key.as_ref().is_some_and(|one| one.is_timed())
    }

    fn never_panics(&self) -> bool {
        let groups = self.places.iter().all(|(_, place)| match place {
            Place::At(group) => group.never_panics(),
            Place::Ambiguous => true,
        });
        let way = match &self.way {
            Way::Sharding(sharding, _) => sharding.never_panics(),
            Way::Map(_) | Way::Pending => true,
        };
        groups
            && way
            && self
                .without_key
                .as_ref()
                .is_none_or(|one| one.never_panics())
    }
}
