//! The map that counts at present.

use std::{future::Future, sync::Arc};

use super::{super::super::changes, ShardMap};
use crate::policy::Changes;

/// The map that counts at present, of those that come one after another.
///
/// Cloning is for handing it to several policies: all go by the same map. Where no map has come yet, requests wait
/// for the first.
///
/// ```
/// use portolan_core::policy::{ShardMap, ShardMaps};
///
/// let (handle, maps) = ShardMaps::channel();
/// assert!(maps.current().is_none());
/// handle.set(ShardMap::ranges().generation(7).assign("".., 0).build()?)?;
/// // One that is late is not taken.
/// let late = ShardMap::ranges().generation(6).assign("".., 1).build()?;
/// assert!(handle.set(late).is_err());
/// assert_eq!(maps.current().unwrap().generation(), Some(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ShardMaps(changes::Reader<Option<Arc<ShardMap>>>);

/// Sets the map that [`ShardMaps`] go by. What was set last stays when it is dropped.
#[derive(Debug)]
pub struct ShardMapHandle(changes::Setter<Option<Arc<ShardMap>>>);

/// A map that came too late: one that is no older counts already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the map of shards of generation {offered} is refused: generation {current} counts already"
)]
#[non_exhaustive]
pub struct StaleShardMap {
    /// The generation that was refused.
    pub offered: u64,
    /// The generation that counts.
    pub current: u64,
}

impl ShardMaps {
    /// No map yet, and the handle that sets them.
    #[must_use]
    pub fn channel() -> (ShardMapHandle, Self) {
        let (setter, reader) = changes::cell(None);
        (ShardMapHandle(setter), Self(reader))
    }

    /// The map as it is now; `None` where none has come yet.
    #[must_use]
    pub fn current(&self) -> Option<Arc<ShardMap>> {
        self.0.read()
    }

    pub(crate) fn changes(&self) -> Changes {
        self.0.changes()
    }
}

/// This map for ever.
impl From<ShardMap> for ShardMaps {
    fn from(map: ShardMap) -> Self {
        let (_, reader) = changes::cell(Some(Arc::new(map)));
        Self(reader)
    }
}

impl ShardMapHandle {
    /// Puts the map into the place of the one that counted, as a whole. A map without a generation is given the one
    /// after the last.
    ///
    /// Returns the map as it counts now; `None` where it says what the last one said, in the same generation or
    /// without one, and nothing is different.
    ///
    /// # Errors
    /// Where a map of a later generation counts already, or another one of the same. That one stays.
    pub fn set(&self, mut map: ShardMap) -> Result<Option<Arc<ShardMap>>, StaleShardMap> {
        self.0.update(|before| {
            let current = before.as_deref();
            let last = current.and_then(ShardMap::generation).unwrap_or(0);
            let is_same = current.is_some_and(|current| current.says_the_same_as(&map));
            match map.generation {
                Some(offered) if offered < last || offered == last && current.is_some() => {
                    let stale = StaleShardMap {
                        offered,
                        current: last,
                    };
                    let told_again = offered == last && is_same;
                    return (None, if told_again { Ok(None) } else { Err(stale) });
                }
                None if is_same => return (None, Ok(None)),
                None => map.generation = Some(last.saturating_add(1)),
                Some(_) => {}
            }
            let map = Arc::new(map);
            (Some(Some(Arc::clone(&map))), Ok(Some(map)))
        })
    }

    /// Ready when nobody goes by the map any more: whoever feeds it may stop.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub fn closed(&self) -> impl Future<Output = ()> + Send {
        self.0.closed()
    }
}
