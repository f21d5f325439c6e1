//! The versioned object store: what etcd and the watch cache are to a real cluster.
//!
//! Every write gets the next resource version of the whole cluster and leaves an [`Event`] in the
//! history of its kind. Watches hold no queue: each has a cursor (a resource version) and reads
//! the history from there, so a slow watch costs nothing. The history is bounded; whoever asks for
//! a version from before it is told [`StoreError::Expired`], the API's `410 Gone`.
//!
//! All methods are synchronous and atomic.

mod collection;
mod error;
mod key;
mod metadata;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::json;
use crate::kind::Kind;

use self::collection::Collection;
pub(crate) use self::collection::{Change, Event};
pub(crate) use self::error::StoreError;
pub(crate) use self::key::Key;

/// All objects of a cluster.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    /// The newest resource version; its changes wake watches and controllers.
    version: watch::Sender<u64>,
    clock: Clock,
}

#[derive(Debug)]
struct State {
    collections: HashMap<Kind, Collection>,
    version: u64,
    history: usize,
    random: fastrand::Rng,
}

/// The objects of a kind as they were at one resource version.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) version: u64,
    pub(crate) objects: Vec<(Key, Arc<Value>)>,
}

/// What a deletion asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletion {
    /// How long the object lives on as terminating; zero removes it at once.
    pub(crate) grace: Duration,
    /// Refuse unless the object has this UID.
    pub(crate) uid: Option<String>,
    /// Refuse unless the object has this resource version.
    pub(crate) version: Option<String>,
}

/// What a deletion did.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// The object is gone; this is its last state.
    Removed(Arc<Value>),
    /// The object is terminating: its grace period runs, or finalizers hold it.
    Marked(Arc<Value>),
}

impl Store {
    /// An empty store that remembers the last `history` events of each kind.
    pub(crate) fn new(clock: Clock, history: usize, random: fastrand::Rng) -> Self {
        Self {
            state: Mutex::new(State {
                collections: HashMap::new(),
                version: 1,
                history,
                random,
            }),
            version: watch::Sender::new(1),
            clock,
        }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Changes whenever anything is written.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The newest resource version.
    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    /// A name that starts with `prefix`, as `generateName` makes it.
    pub(crate) fn random_name(&self, prefix: &str) -> String {
        metadata::random_name(&mut self.lock().random, prefix)
    }

    pub(crate) fn get(&self, kind: Kind, key: &Key) -> Option<Arc<Value>> {
        self.lock().collection(kind).get(key)
    }

    /// All objects of `kind`, at resource version `at` or now.
    pub(crate) fn list(&self, kind: Kind, at: Option<u64>) -> Result<Listing, StoreError> {
        let mut state = self.lock();
        let version = at.unwrap_or(state.version);
        if version > state.version {
            return Err(StoreError::Future {
                asked: version,
                newest: state.version,
            });
        }
        let objects = state.collection(kind).at(version)?;
        Ok(Listing { version, objects })
    }

    /// The objects of `kind` now, without their keys.
    pub(crate) fn objects(&self, kind: Kind) -> Vec<Arc<Value>> {
        self.lock().collection(kind).objects()
    }

    /// Fails unless a watch of `kind` may start from `version`.
    pub(crate) fn check_watchable(&self, kind: Kind, version: u64) -> Result<(), StoreError> {
        let mut state = self.lock();
        if version > state.version {
            return Err(StoreError::Future {
                asked: version,
                newest: state.version,
            });
        }
        state.collection(kind).check(version)
    }

    /// The events of `kind` after `cursor`, and the version up to which they tell everything.
    ///
    /// A watch that is already open may go on where a new one could not start: compaction takes
    /// away the right to start, the loss of events alone ends a watch.
    pub(crate) fn events_after(
        &self,
        kind: Kind,
        cursor: u64,
    ) -> Result<(Vec<Arc<Event>>, u64), StoreError> {
        let mut state = self.lock();
        let newest = state.version;
        Ok((state.collection(kind).events_after(cursor)?, newest))
    }

    /// Stores a new object, filling in what the server owns of its metadata.
    pub(crate) fn create(
        &self,
        kind: Kind,
        namespace: &str,
        mut object: Value,
    ) -> Result<Arc<Value>, StoreError> {
        let mut state = self.lock();
        metadata::stamp_new(&mut object, kind, namespace, &self.clock, &mut state.random);
        let key = Key::of(&object);
        if state.collection(kind).get(&key).is_some() {
            return Err(StoreError::AlreadyExists);
        }
        let stored = state.write(kind, key, object);
        self.announce(state);
        Ok(stored)
    }

    /// Applies `change` to an object, atomically.
    ///
    /// If the changed object names a resource version, it must be the current one. What the server
    /// owns of the metadata is restored. A change that changes nothing writes nothing.
    pub(crate) fn update<E: From<StoreError>>(
        &self,
        kind: Kind,
        key: &Key,
        change: impl FnOnce(&mut Value) -> Result<(), E>,
    ) -> Result<Arc<Value>, E> {
        let mut state = self.lock();
        let before = state
            .collection(kind)
            .get(key)
            .ok_or(StoreError::NotFound)?;
        let mut after = Value::clone(&before);
        change(&mut after)?;
        let named = json::text(&after, "/metadata/resourceVersion");
        if !named.is_empty() && named != json::text(&before, "/metadata/resourceVersion") {
            return Err(StoreError::Conflict.into());
        }
        metadata::check_uid(&before, &after)?;
        metadata::carry_over(&before, &mut after);
        if after == *before {
            return Ok(before);
        }
        metadata::bump_generation(&before, &mut after);
        let stored = if metadata::is_released(&before, &after) {
            state.remove(kind, key, after)
        } else {
            state.write(kind, key.clone(), after)
        };
        self.announce(state);
        Ok(stored)
    }

    /// Deletes an object, or marks it as terminating.
    pub(crate) fn delete(
        &self,
        kind: Kind,
        key: &Key,
        deletion: &Deletion,
    ) -> Result<Deleted, StoreError> {
        let mut state = self.lock();
        let before = state
            .collection(kind)
            .get(key)
            .ok_or(StoreError::NotFound)?;
        metadata::check_preconditions(&before, deletion)?;
        let mut after = Value::clone(&before);
        let deleted = if metadata::mark_terminating(&mut after, deletion.grace, &self.clock) {
            if after == *before {
                return Ok(Deleted::Marked(before));
            }
            Deleted::Marked(state.write(kind, key.clone(), after))
        } else {
            Deleted::Removed(state.remove(kind, key, after))
        };
        self.announce(state);
        Ok(deleted)
    }

    /// Forgets the history: no watch can start from a version known before, nor can a list be
    /// continued. Open watches go on.
    pub(crate) fn compact(&self) {
        let mut state = self.lock();
        state.version += 1;
        let floor = state.version;
        for kind in Kind::ALL {
            state.collection(kind).compact(floor);
        }
        self.announce(state);
    }

    fn announce(&self, state: MutexGuard<'_, State>) {
        let version = state.version;
        drop(state);
        self.version
            .send_modify(|newest| *newest = version.max(*newest));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn collection(&mut self, kind: Kind) -> &mut Collection {
        let history = self.history;
        self.collections
            .entry(kind)
            .or_insert_with(|| Collection::new(history))
    }

    fn write(&mut self, kind: Kind, key: Key, mut object: Value) -> Arc<Value> {
        self.version += 1;
        let version = self.version;
        metadata::stamp_version(&mut object, version);
        let object = Arc::new(object);
        self.collection(kind)
            .put(key, Arc::clone(&object), version, Instant::now());
        object
    }

    fn remove(&mut self, kind: Kind, key: &Key, mut last: Value) -> Arc<Value> {
        self.version += 1;
        let version = self.version;
        // The event of a deletion carries the version of the deletion.
        metadata::stamp_version(&mut last, version);
        let last = Arc::new(last);
        self.collection(kind)
            .take(key, Arc::clone(&last), version, Instant::now());
        last
    }
}
