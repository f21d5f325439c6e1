//! How many shards there are.

use super::super::changes;
use crate::policy::Changes;

/// How many shards there are: always the same number, or one that somebody sets.
///
/// A number that changes moves keys from shard to shard, and their data with them if somebody moves it. So it is
/// never guessed from the Pods that happen to be there, and a change of it is an event: whoever calls
/// [`ShardsHandle::set`].
///
/// ```
/// use portolan_core::policy::Shards;
///
/// let (handle, shards) = Shards::changing(4);
/// assert_eq!(handle.set(5), 4);
/// assert_eq!(shards.current(), 5);
/// ```
#[derive(Clone, Debug)]
pub struct Shards(changes::Reader<u32>);

/// Sets how many shards there are. What was set last stays when it is dropped.
#[derive(Debug)]
pub struct ShardsHandle(changes::Setter<u32>);

impl Shards {
    /// Always so many.
    #[must_use]
    pub fn fixed(shards: u32) -> Self {
        let (_, reader) = changes::cell(shards);
        Self(reader)
    }

    /// So many at first, and then as many as the handle says.
    #[must_use]
    pub fn changing(shards: u32) -> (ShardsHandle, Self) {
        let (setter, reader) = changes::cell(shards);
        (ShardsHandle(setter), Self(reader))
    }

    /// How many there are now.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.0.read()
    }

    pub(super) fn changes(&self) -> Changes {
        self.0.changes()
    }
}

impl ShardsHandle {
    /// From now on there are so many. Returns how many there were.
    pub fn set(&self, shards: u32) -> u32 {
        self.0
            .update(|before| ((*before != shards).then_some(shards), *before))
    }
}
