//! Which shard a key belongs to, and on which Pods a shard is: one complete generation of it.

mod assignment;
mod build;
mod error;
mod handle;
mod start;

use std::{fmt, ops::Range, sync::Arc};

pub use assignment::Assignment;
pub use build::{Keys, ShardMapBuilder, Slots};
pub use error::{KeySpan, ShardMapError, ShardMapProblem};
pub use handle::{ShardMapHandle, ShardMaps, StaleShardMap};

use self::start::Start;
use super::slot::slot;
use crate::Placement;

/// A complete assignment of all keys to shards and, where it says so, of shards to Pods.
///
/// It is whole, or it is not made: [gaps and overlaps are refused](ShardMapBuilder::build), so that no key is
/// without a shard by mistake and none has two. It never changes: another generation is another map, and takes the
/// place of this one [as a whole](ShardMaps).
///
/// A look-up is a binary search over the ranges.
///
/// ```
/// use portolan_core::policy::ShardMap;
///
/// let map = ShardMap::ranges()
///     .assign(.."g", 0)
///     .assign("g".."n", 1)
///     .assign("n".., 2)
///     .build()?;
/// assert_eq!(map.shard_of(b"harbour"), Some(1));
///
/// // The slots of Redis Cluster, hash tags and all; and which Pods have them.
/// let map = ShardMap::slots()
///     .assign(0..=8191, 0)
///     .assign(8192..=16383, 1)
///     .pods(0, ["redis-0", "redis-2"])
///     .pods(1, ["redis-1", "redis-3"])
///     .build()?;
/// assert_eq!(map.shard_of(b"{user:17}.cart"), map.shard_of(b"{user:17}.name"));
/// # Ok::<(), portolan_core::policy::ShardMapError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ShardMap {
    keyspace: Keyspace,
    /// Where each range begins: in order, the first of them at the least key.
    starts: Box<[Start]>,
    /// The shard of each range, as a position in `shards`; [`UNASSIGNED`] where it has none.
    ranges: Box<[u32]>,
    /// In the order of their numbers.
    shards: Box<[Owner]>,
    generation: Option<u64>,
}

/// What is divided into ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyspace {
    /// The keys themselves, in the order of their bytes.
    Keys,
    /// The slots of Redis Cluster, as two bytes in network order.
    Slots,
}

/// A shard, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    number: u32,
    /// In order; empty where the map does not say.
    pods: Arc<[Placement]>,
}

/// A range that no shard has.
const UNASSIGNED: u32 = u32::MAX;

impl ShardMap {
    /// A map of ranges of keys, in the order of their bytes.
    pub fn ranges() -> ShardMapBuilder<Keys> {
        ShardMapBuilder::new()
    }

    /// A map of the 16,384 slots of Redis Cluster: a key is in the slot CRC16(key) mod 16384, and where it has a
    /// part in braces, `{user:17}.cart`, only that part counts.
    pub fn slots() -> ShardMapBuilder<Slots> {
        ShardMapBuilder::new()
    }

    /// The shard of a key; `None` where the map says of the key that no shard has it
    /// ([`ShardMapBuilder::gaps_unassigned`]).
    #[must_use]
    pub fn shard_of(&self, key: &[u8]) -> Option<u32> {
        let position = self.position_of(key)?;
        self.shards.get(position).map(|owner| owner.number)
    }

    /// The Pods of a shard, by their stable names, in order. Empty where the map has no such shard, or does not say
    /// where it is.
    #[must_use]
    pub fn pods_of(&self, shard: u32) -> &[Placement] {
        self.position(shard)
            .and_then(|position| self.shards.get(position))
            .map_or(&[], |owner| &*owner.pods)
    }

    /// The numbers of the shards, in order.
    pub fn shards(&self) -> impl ExactSizeIterator<Item = u32> {
        self.shards.iter().map(|owner| owner.number)
    }

    /// How many ranges there are, of which no two neighbours have the same shard.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are no ranges. Never: a map covers all keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Which map this is: the later one has the higher number. `None` where nobody has numbered it yet.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        self.generation
    }

    /// The same map, of this generation.
    #[must_use]
    pub fn with_generation(mut self, generation: u64) -> Self {
        self.generation = Some(generation);
        self
    }

    /// Where among the shards that of a key is.
    fn position_of(&self, key: &[u8]) -> Option<usize> {
        let bytes;
        let point = match self.keyspace {
            Keyspace::Keys => key,
            Keyspace::Slots => {
                bytes = slot(key).to_be_bytes();
                &bytes
            }
        };
        let after = start::partition(&self.starts, point);
        let range = self.ranges.get(after.checked_sub(1)?)?;
        (*range != UNASSIGNED).then_some(*range as usize)
    }

    /// Where among the shards the one of this number is.
    pub(super) fn position(&self, shard: u32) -> Option<usize> {
        self.shards
            .binary_search_by_key(&shard, |owner| owner.number)
            .ok()
    }

    /// The shards with their Pods, in order.
    pub(super) fn owners(&self) -> impl ExactSizeIterator<Item = (u32, &Arc<[Placement]>)> {
        self.shards.iter().map(|owner| (owner.number, &owner.pods))
    }

    /// Whether both say the same, whichever generation they are.
    fn says_the_same_as(&self, other: &Self) -> bool {
        self.keyspace == other.keyspace
            && self.starts == other.starts
            && self.ranges == other.ranges
            && self.shards == other.shards
    }

    /// The ranges, each with where it begins and where the next one does.
    fn spans(&self) -> impl Iterator<Item = (KeySpan, Option<u32>)> {
        (0..self.starts.len()).filter_map(|nth| {
            let Range { start, end } = nth..nth + 1;
            let from = self.starts.get(start)?.bytes();
            let to = self.starts.get(end).map(Start::bytes);
            let shard = self.shards.get(*self.ranges.get(nth)? as usize);
            let span = KeySpan::new(self.keyspace, from, to);
            Some((span, shard.map(|owner| owner.number)))
        })
    }
}

/// So many ranges, so many shards: a map may have thousands, and is in the debug output of every policy.
impl fmt::Debug for ShardMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardMap")
            .field("generation", &self.generation)
            .field("ranges", &self.starts.len())
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

/// All of it, a range a line.
impl fmt::Display for ShardMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (span, shard) in self.spans() {
            match shard {
                Some(shard) => writeln!(f, "{span}: shard {shard}")?,
                None => writeln!(f, "{span}: no shard")?,
            }
        }
        for owner in self.shards.iter().filter(|owner| !owner.pods.is_empty()) {
            write!(f, "shard {}:", owner.number)?;
            for pod in owner.pods.iter() {
                write!(f, " {pod}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
