//! How a map is made, and what is wrong with those that are not.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use super::{
    super::slot::SLOTS, KeySpan, Keyspace, Owner, ShardMap, ShardMapError, ShardMapProblem, Start,
    UNASSIGNED,
};
use crate::Placement;

/// A map that is being made: see [`ShardMap`].
#[derive(Clone, Debug)]
#[must_use = "a map is made by `build`"]
pub struct ShardMapBuilder<K> {
    assigned: Vec<Assigned>,
    pods: BTreeMap<u32, Arc<[Placement]>>,
    gaps_unassigned: bool,
    generation: Option<u64>,
    problems: Vec<ShardMapProblem>,
    divides: PhantomData<K>,
}

/// Keys, in the order of their bytes: what the [ranges](ShardMap::ranges) of a map may be of.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Keys;

/// The slots of Redis Cluster: what [a map may be of](ShardMap::slots) instead.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Slots;

/// A range, and its shard.
#[derive(Clone, Debug)]
struct Assigned {
    from: Box<[u8]>,
    /// The first that is not in it; `None` where there is none after it.
    to: Option<Box<[u8]>>,
    shard: u32,
}

impl ShardMapBuilder<Keys> {
    /// Assigns these keys to a shard, in any order of ranges. The empty key is the least of all: `""..` are all.
    pub fn assign<B: AsRef<[u8]>>(mut self, keys: impl RangeBounds<B>, shard: u32) -> Self {
        self.check_number(shard);
        let (from, to) = bounds(keys);
        self.push(from, to, shard);
        self
    }

    /// Says of these keys that no shard has them: what would be a gap is meant.
    pub fn unassigned<B: AsRef<[u8]>>(mut self, keys: impl RangeBounds<B>) -> Self {
        let (from, to) = bounds(keys);
        self.push(from, to, UNASSIGNED);
        self
    }
}

/// The first of these keys, and the first after them.
fn bounds<B: AsRef<[u8]>>(keys: impl RangeBounds<B>) -> (Vec<u8>, Option<Vec<u8>>) {
    // What comes right after a key is the key with a zero byte.
    let after = |key: &B| [key.as_ref(), &[0]].concat();
    let from = match keys.start_bound() {
        Bound::Included(key) => key.as_ref().to_vec(),
        Bound::Excluded(key) => after(key),
        Bound::Unbounded => Vec::new(),
    };
    let to = match keys.end_bound() {
        Bound::Included(key) => Some(after(key)),
        Bound::Excluded(key) => Some(key.as_ref().to_vec()),
        Bound::Unbounded => None,
    };
    (from, to)
}

impl ShardMapBuilder<Slots> {
    /// Assigns these slots to a shard, in any order of ranges.
    pub fn assign(mut self, slots: impl RangeBounds<u16>, shard: u32) -> Self {
        self.check_number(shard);
        let from = match slots.start_bound() {
            Bound::Included(slot) => *slot,
            Bound::Excluded(slot) => slot.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match slots.end_bound() {
            Bound::Included(slot) => slot.saturating_add(1),
            Bound::Excluded(slot) => *slot,
            Bound::Unbounded => SLOTS,
        };
        if from >= SLOTS || to > SLOTS {
            self.problems.push(ShardMapProblem::NoSuchSlot { shard });
            return self;
        }
        let to_the_end = to == SLOTS;
        let to = (!to_the_end).then(|| to.to_be_bytes().to_vec());
        // Slot 0 is the least key of all, as the empty one is among keys.
        self.push(from.to_be_bytes().to_vec(), to, shard);
        self
    }
}

impl<K: Divided> ShardMapBuilder<K> {
    pub(super) fn new() -> Self {
        Self {
            assigned: Vec::new(),
            pods: BTreeMap::new(),
            gaps_unassigned: false,
            generation: None,
            problems: Vec::new(),
            divides: PhantomData,
        }
    }

    fn check_number(&mut self, shard: u32) {
        if shard == UNASSIGNED {
            self.problem(ShardMapProblem::NoSuchNumber);
        }
    }

    pub(super) fn problem(&mut self, problem: ShardMapProblem) {
        self.problems.push(problem);
    }

    fn push(&mut self, from: Vec<u8>, to: Option<Vec<u8>>, shard: u32) {
        if to.as_ref().is_some_and(|to| *to <= from) {
            let span = KeySpan::new(K::KEYSPACE, &from, to.as_deref());
            self.problems
                .push(ShardMapProblem::Reversed { span, shard });
            return;
        }
        self.assigned.push(Assigned {
            from: from.into(),
            to: to.map(Into::into),
            shard,
        });
    }

    /// Says on which Pods a shard is, by their stable names. Where this is said of one shard, it must be of all that
    /// have keys. Default: the map does not say, and whoever uses it finds out otherwise.
    pub fn pods<P>(mut self, shard: u32, pods: impl IntoIterator<Item = P>) -> Self
    where
        P: Into<Arc<str>>,
    {
        let mut pods: Vec<_> = pods.into_iter().map(Placement::new).collect();
        pods.sort_unstable();
        pods.dedup();
        if self.pods.insert(shard, pods.into()).is_some() {
            self.problems.push(ShardMapProblem::ListedTwice { shard });
        }
        self
    }

    /// Takes keys that are not assigned for keys that no shard has
    /// ([`ShardMap::shard_of`] is `None`): for assignments that mean their gaps, as those of gRFC A119 may. Default:
    /// a gap is a mistake, and the map is refused.
    pub fn gaps_unassigned(mut self) -> Self {
        self.gaps_unassigned = true;
        self
    }

    /// Numbers the map. Of two, the one with the higher number counts, in whatever order they come. Default: it is
    /// numbered [when it is set](super::ShardMapHandle::set).
    pub fn generation(mut self, generation: u64) -> Self {
        self.generation = Some(generation);
        self
    }

    /// Makes the map.
    ///
    /// # Errors
    /// Where it is not whole: an error that names each gap and each overlap, and whatever else is wrong.
    pub fn build(mut self) -> Result<ShardMap, ShardMapError> {
        self.assigned.sort_by(|a, b| a.from.cmp(&b.from));
        let ranges = self.walk();
        if !self.pods.is_empty() {
            let mut shards: Vec<_> = self.assigned.iter().map(|one| one.shard).collect();
            shards.sort_unstable();
            shards.dedup();
            let has_pods = |shard: &u32| self.pods.get(shard).is_some_and(|pods| !pods.is_empty());
            let assigned = shards.into_iter().filter(|shard| *shard != UNASSIGNED);
            let without = assigned.filter(|shard| !has_pods(shard));
            let without = without.map(|shard| ShardMapProblem::NoPods { shard });
            self.problems.extend(without);
        }
        ShardMapError::of(std::mem::take(&mut self.problems))?;
        Ok(self.assemble(ranges))
    }

    /// All keys from the least to the last, each range with its shard. Notes what is wrong.
    fn walk(&mut self) -> Vec<(Box<[u8]>, Option<u32>)> {
        if self.assigned.is_empty() && self.problems.is_empty() {
            self.problems.push(ShardMapProblem::Empty);
            return Vec::new();
        }
        let least = K::LEAST;
        let mut ranges: Vec<(Box<[u8]>, Option<u32>)> = Vec::with_capacity(self.assigned.len());
        // Up to where all is assigned, and to whom what reaches that far is; nothing once that is all.
        let (mut reached, mut by) = (Some(least), UNASSIGNED);
        for one in &self.assigned {
            if reached.is_none_or(|reached| *one.from < *reached) {
                let to = match (one.to.as_deref(), reached) {
                    (Some(to), Some(reached)) => Some(to.min(reached)),
                    (to, reached) => to.or(reached),
                };
                self.problems.push(ShardMapProblem::Overlap {
                    span: KeySpan::new(K::KEYSPACE, &one.from, to),
                    one: by,
                    other: one.shard,
                });
            }
            if let Some(gap) = reached.filter(|reached| **reached < *one.from) {
                match self.gaps_unassigned {
                    true => ranges.push((gap.into(), None)),
                    false => {
                        let span = KeySpan::new(K::KEYSPACE, gap, Some(&one.from));
                        self.problems.push(ShardMapProblem::Gap(span));
                    }
                }
            }
            if ranges
                .last()
                .is_none_or(|(_, before)| *before != Some(one.shard))
            {
                ranges.push((one.from.clone(), Some(one.shard)));
            }
            let further = match (one.to.as_deref(), reached) {
                (Some(to), Some(reached)) => to > reached,
                (None, Some(_)) => true,
                (_, None) => false,
            };
            if further {
                (reached, by) = (one.to.as_deref(), one.shard);
            }
        }
        if let Some(gap) = reached {
            match self.gaps_unassigned {
                true => ranges.push((gap.into(), None)),
                false => {
                    let span = KeySpan::new(K::KEYSPACE, gap, None);
                    self.problems.push(ShardMapProblem::Gap(span));
                }
            }
        }
        ranges
    }

    fn assemble(self, ranges: Vec<(Box<[u8]>, Option<u32>)>) -> ShardMap {
        let mut pods = self.pods;
        let assigned = ranges.iter().filter_map(|(_, shard)| *shard);
        let mut numbers: Vec<u32> = assigned.filter(|shard| *shard != UNASSIGNED).collect();
        numbers.extend(pods.keys());
        numbers.sort_unstable();
        numbers.dedup();
        let position = |shard: u32| numbers.binary_search(&shard).ok().map(|at| at as u32);
        let (starts, ranges) = ranges
            .into_iter()
            .map(|(from, shard)| {
                (
                    Start::new(from),
                    shard.and_then(position).unwrap_or(UNASSIGNED),
                )
            })
            .unzip::<_, _, Vec<_>, Vec<_>>();
        let shards = numbers.iter().map(|number| Owner {
            number: *number,
            pods: pods.remove(number).unwrap_or_default(),
        });
        ShardMap {
            keyspace: K::KEYSPACE,
            shards: shards.collect(),
            starts: starts.into(),
            ranges: ranges.into(),
            generation: self.generation,
        }
    }
}

/// What a map divides. Private: there are these two.
pub trait Divided {
    const KEYSPACE: Keyspace;
    /// The least of all.
    const LEAST: &'static [u8];
}

impl Divided for Keys {
    const KEYSPACE: Keyspace = Keyspace::Keys;
    const LEAST: &'static [u8] = &[];
}

impl Divided for Slots {
    const KEYSPACE: Keyspace = Keyspace::Slots;
    const LEAST: &'static [u8] = &[0, 0];
}
