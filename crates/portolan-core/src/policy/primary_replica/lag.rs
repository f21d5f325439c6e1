//! How far replicas are behind, as far as somebody says so.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::Placement;

/// More than anybody has replicas. What is reported of others is not kept.
const MOST: usize = 4096;

/// How far each replica is behind its primary, told by whoever learns it: a header of a response, a probe, or the
/// program itself.
///
/// A clone is a handle on the same one. A report holds until the next one of the same replica; picks see it after
/// 100 ms at most. Reports of more than 4,096 replicas are not kept.
#[derive(Clone, Debug, Default)]
pub struct ReplicaLag(Arc<Mutex<BTreeMap<Placement, Duration>>>);

impl ReplicaLag {
    /// Nothing is known of any replica.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says how far a replica is behind.
    pub fn report(&self, replica: Placement, lag: Duration) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MOST || known.contains_key(&replica) {
            known.insert(replica, lag);
        }
    }

    /// Says that nothing is known of a replica any more.
    pub fn forget(&self, replica: &Placement) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(replica);
    }

    /// How far a replica is behind; `None` where nobody said.
    #[must_use]
    pub fn of(&self, replica: &Placement) -> Option<Duration> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(replica).copied()
    }
}
