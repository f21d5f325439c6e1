//! Who watches what: one task per Service, for all that share a cluster.
//!
//! The first balancer that polls starts the task; later ones are handed to it; when the last one is
//! gone, the task ends. Joining and ending are decided under one lock, so that nobody joins a task
//! that has just decided to end. The lock is held for a look-up only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, sync::watch};

use super::subscription::Latest;
use crate::resolve::Want;

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// What one balancer wants of a Service, and where it waits for it.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) want: Want,
    pub(super) latest: watch::Sender<Latest>,
}

/// The tasks that run, by Service.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    tasks: Mutex<HashMap<Key, Entry>>,
}

#[derive(Debug)]
struct Entry {
    /// Balancers that the task has not taken over yet.
    joins: Vec<Join>,
    /// Somebody could not connect, and the task has not heard of it yet.
    suspected: bool,
    /// Wakes the task: somebody came or went, or has a suspicion.
    wake: Arc<Notify>,
}

/// The task's side of its entry, which is gone when the task is, however it ends: a runtime that is
/// shut down drops its tasks without asking them.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Arc<Registry>,
    key: Key,
    wake: Arc<Notify>,
}

impl Registry {
    /// Hands a balancer over to the task of this Service, and returns what wakes it. If there is no
    /// task, `start` is called to start one.
    pub(super) fn join(
        self: &Arc<Self>,
        key: &Key,
        join: Join,
        start: impl FnOnce(Registration),
    ) -> Arc<Notify> {
        let mut tasks = self.lock();
        if let Some(entry) = tasks.get_mut(key) {
            entry.joins.push(join);
            entry.wake.notify_one();
            return Arc::clone(&entry.wake);
        }
        let wake = Arc::new(Notify::new());
        let entry = Entry {
            joins: vec![join],
            suspected: false,
            wake: Arc::clone(&wake),
        };
        tasks.insert(key.clone(), entry);
        drop(tasks);
        start(Registration {
            registry: Arc::clone(self),
            key: key.clone(),
            wake: Arc::clone(&wake),
        });
        wake
    }

    /// Tells the task of this Service, if there is one, that a connection failed.
    pub(crate) fn suspect(&self, key: &Key) {
        if let Some(entry) = self.lock().get_mut(key) {
            entry.suspected = true;
            entry.wake.notify_one();
        }
    }

    /// How many Services are watched.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// A panic while the lock was held cannot have left the map half changed.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// Somebody came or went, or has a suspicion.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Takes over those who came.
    pub(super) fn take_joins(&self) -> Vec<Join> {
        let mut tasks = self.registry.lock();
        let entry = tasks.get_mut(&self.key).filter(|entry| self.owns(entry));
        entry
            .map(|entry| std::mem::take(&mut entry.joins))
            .unwrap_or_default()
    }

    /// Whether a connection failed since this was last asked.
    pub(super) fn take_suspicion(&self) -> bool {
        let mut tasks = self.registry.lock();
        let entry = tasks.get_mut(&self.key).filter(|entry| self.owns(entry));
        entry.is_some_and(|entry| std::mem::take(&mut entry.suspected))
    }

    /// Leaves, unless somebody came in the meantime. After `true`, whoever comes starts a new task.
    pub(super) fn leave(&self) -> bool {
        let mut tasks = self.registry.lock();
        match tasks.get(&self.key).filter(|entry| self.owns(entry)) {
            Some(entry) if !entry.joins.is_empty() => false,
            Some(_) => {
                tasks.remove(&self.key);
                true
            }
            None => true,
        }
    }

    /// Whether it is this task's entry, and not that of a later one.
    fn owns(&self, entry: &Entry) -> bool {
        Arc::ptr_eq(&entry.wake, &self.wake)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut tasks = self.registry.lock();
        if tasks.get(&self.key).is_some_and(|entry| self.owns(entry)) {
            tasks.remove(&self.key);
        }
    }
}
