//! Which Pods have a shard.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use super::{
    ShardMaps, Shards,
    picker::{Place, Way},
};
use crate::{
    Candidates, Endpoint, Index, Placement, Policy,
    policy::{Changes, Group},
};

/// Where the shards are.
#[derive(Clone, Debug)]
pub(super) enum Layout {
    Ordinals(Ordinals, Shards),
    StatefulSets(Shards),
    Label(Arc<str>, Shards),
    Map(ShardMaps),
}

/// Which ordinals of a StatefulSet have which shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ordinals {
    stateful_set: Option<Arc<str>>,
    start: u32,
    replicas: Option<NonZeroU32>,
}

impl Ordinals {
    /// Ordinal n is shard n, of whichever StatefulSet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ordinal n of the StatefulSet of this name is shard n; other Pods are of no shard.
    #[must_use]
    pub fn of(stateful_set: impl Into<Arc<str>>) -> Self {
        Self {
            stateful_set: Some(stateful_set.into()),
            ..Self::default()
        }
    }

    /// The StatefulSet counts from here on (its `spec.ordinals.start`). Default: 0.
    #[must_use]
    pub fn starting_at(mut self, ordinal: u32) -> Self {
        self.start = ordinal;
        self
    }

    /// So many Pods, one after another, have a shard. Default: 1, which 0 counts as.
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = NonZeroU32::new(replicas);
        self
    }

    fn shard(&self, endpoint: &Endpoint) -> Option<u32> {
        let name = endpoint.placement();
        if let Some(set) = &self.stateful_set {
            let (of, _) = name.as_str().rsplit_once('-')?;
            if *of != **set {
                return None;
            }
        }
        let ordinal = endpoint.ordinal().or_else(|| name.ordinal())?;
        let place = ordinal.checked_sub(self.start)?;
        Some(place / self.replicas.unwrap_or(NonZeroU32::MIN))
    }

    /// Whether all Pods of one shard must have one name: they are one Pod.
    fn are_single(&self) -> bool {
        self.replicas.is_none_or(|replicas| replicas.get() == 1)
    }
}

impl Layout {
    pub(super) fn changes(&self) -> Option<Changes> {
        Some(match self {
            Self::Ordinals(_, shards) | Self::StatefulSets(shards) | Self::Label(_, shards) => {
                shards.changes()
            }
            Self::Map(maps) => maps.changes(),
        })
    }

    /// The shards whose Pods are there, in order: one walk over the candidates, and then one over each shard's.
    pub(super) fn places(
        &self,
        candidates: &Candidates,
        way: &Way,
        inner: &dyn Policy,
    ) -> Box<[(u32, Place)]> {
        let mut pods: BTreeMap<u32, Vec<Index>> = BTreeMap::new();
        let of_map = self.by_name(way);
        for (index, one) in (0u32..).map(Index::new).zip(candidates) {
            let endpoint = &*one.endpoint;
            let own = self.shard(endpoint).filter(|shard| way.has(*shard));
            let listed = of_map.get(endpoint.placement()).into_iter().flatten();
            for shard in own.into_iter().chain(listed.copied()) {
                pods.entry(shard).or_default().push(index);
            }
        }
        let place = |(shard, members): (u32, Vec<Index>)| {
            let place = match self.are_single() && differ(candidates, &members) {
                true => Place::Ambiguous,
                false => Place::At(Group::at(candidates, members.into_iter(), inner)),
            };
            (shard, place)
        };
        pods.into_iter().map(place).collect()
    }

    /// For the shards that are absent, where their standbys are.
    pub(super) fn standbys(
        &self,
        candidates: &Candidates,
        places: &[(u32, Place)],
        way: &Way,
        name: &(dyn Fn(u32) -> String + Send + Sync),
    ) -> Box<[(u32, Index)]> {
        let is_there = |shard: &u32| places.binary_search_by_key(shard, |(one, _)| *one).is_ok();
        let absent = way.shards().filter(|shard| !is_there(shard));
        let find = |shard: u32| {
            let placement = Placement::new(name(shard));
            let list = candidates.as_slice();
            let at = list.partition_point(|one| *one.endpoint.placement() < placement);
            let found = list.get(at)?;
            let is_it = *found.endpoint.placement() == placement;
            is_it.then(|| (shard, Index::at(at)))
        };
        absent.filter_map(find).collect()
    }

    /// The shard that an endpoint has by itself.
    fn shard(&self, endpoint: &Endpoint) -> Option<u32> {
        match self {
            Self::Ordinals(ordinals, _) => ordinals.shard(endpoint),
            Self::StatefulSets(_) => {
                let name = endpoint.placement();
                name.ordinal()?;
                let (set, _) = name.as_str().rsplit_once('-')?;
                Placement::new(set).ordinal()
            }
            Self::Label(label, _) => endpoint.label(label)?.parse().ok(),
            Self::Map(_) => None,
        }
    }

    /// The shards that a map puts on each Pod.
    fn by_name(&self, way: &Way) -> BTreeMap<Placement, Vec<u32>> {
        let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
        if let Way::Map(map) = way {
            for (shard, pods) in map.owners() {
                for pod in pods.iter() {
                    names.entry(pod.clone()).or_default().push(shard);
                }
            }
        }
        names
    }

    fn are_single(&self) -> bool {
        matches!(self, Self::Ordinals(ordinals, _) if ordinals.are_single())
    }
}

/// Whether these are Pods of different names. Two of the same name are one that is just being replaced.
fn differ(candidates: &Candidates, members: &[Index]) -> bool {
    let names = members.iter().filter_map(|index| candidates.get(*index));
    let mut names = names.map(|one| one.endpoint.placement());
    names
        .next()
        .is_some_and(|first| names.any(|name| name != first))
}
