//! The objects of one kind and their bounded history.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use super::{Key, StoreError};

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

/// One write.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) version: u64,
    pub(crate) change: Change,
    /// The object after the write, or its last state if it was deleted.
    pub(crate) object: Arc<Value>,
    /// The object before the write: selectors need it to tell who stops to match.
    pub(crate) before: Option<Arc<Value>>,
    /// When it happened, for watches that are delayed on purpose.
    pub(crate) at: Instant,
    key: Key,
}

/// The objects of one kind.
#[derive(Debug)]
pub(crate) struct Collection {
    objects: BTreeMap<Key, Arc<Value>>,
    events: VecDeque<Arc<Event>>,
    limit: usize,
    /// The version of the newest event that was let go of.
    evicted: u64,
    /// The oldest version from which a watch or an exact list may start.
    floor: u64,
}

impl Collection {
    /// An empty collection that remembers `limit` events.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            objects: BTreeMap::new(),
            events: VecDeque::new(),
            limit,
            evicted: 0,
            floor: 0,
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).cloned()
    }

    pub(crate) fn objects(&self) -> Vec<Arc<Value>> {
        self.objects.values().cloned().collect()
    }

    /// The objects as they were at `version`: the present with all later events undone.
    pub(crate) fn at(&self, version: u64) -> Result<Vec<(Key, Arc<Value>)>, StoreError> {
        self.check(version)?;
        if self
            .events
            .back()
            .is_none_or(|last| last.version <= version)
        {
            return Ok(self.objects.clone().into_iter().collect());
        }
        let mut objects = self.objects.clone();
        for event in self.events.iter().rev() {
            if event.version <= version {
                break;
            }
            match &event.before {
                Some(before) => objects.insert(event.key.clone(), Arc::clone(before)),
                None => objects.remove(&event.key),
            };
        }
        Ok(objects.into_iter().collect())
    }

    /// Fails if what happened after `version` is no longer known.
    pub(crate) fn check(&self, version: u64) -> Result<(), StoreError> {
        if version < self.floor {
            return Err(StoreError::Expired {
                asked: version,
                oldest: self.floor,
            });
        }
        Ok(())
    }

    /// The events after `cursor`; fails only if one of them is lost.
    pub(crate) fn events_after(&self, cursor: u64) -> Result<Vec<Arc<Event>>, StoreError> {
        if cursor < self.evicted {
            return Err(StoreError::Expired {
                asked: cursor,
                oldest: self.evicted,
            });
        }
        let seen = self.events.partition_point(|event| event.version <= cursor);
        Ok(self.events.iter().skip(seen).cloned().collect())
    }

    pub(crate) fn put(&mut self, key: Key, object: Arc<Value>, version: u64, at: Instant) {
        let before = self.objects.insert(key.clone(), Arc::clone(&object));
        let change = if before.is_some() {
            Change::Modified
        } else {
            Change::Added
        };
        self.record(Event {
            version,
            change,
            object,
            before,
            at,
            key,
        });
    }

    pub(crate) fn take(&mut self, key: &Key, last: Arc<Value>, version: u64, at: Instant) {
        let before = self.objects.remove(key);
        self.record(Event {
            version,
            change: Change::Deleted,
            object: last,
            before,
            at,
            key: key.clone(),
        });
    }

    /// Nothing may start from before `floor` any more. The events stay for watches that are open.
    pub(crate) fn compact(&mut self, floor: u64) {
        self.floor = floor;
    }

    fn record(&mut self, event: Event) {
        self.events.push_back(Arc::new(event));
        while self.events.len() > self.limit {
            if let Some(lost) = self.events.pop_front() {
                self.evicted = lost.version;
                self.floor = self.floor.max(lost.version);
            }
        }
    }
}
