//! What clients asked of the API: counters and open watches.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a request does, in the words of RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Follow a collection.
    Watch,
    /// Make an object.
    Create,
    /// Replace an object.
    Update,
    /// Change an object in part, or apply it.
    Patch,
    /// Delete an object.
    Delete,
    /// Delete a collection.
    DeleteCollection,
}

impl Verb {
    /// The verb as a Role spells it: `deletecollection`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A watch that a client holds open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenWatch {
    /// The plural of the resource: `endpointslices`.
    pub resource: &'static str,
    /// The namespace, empty for all.
    pub namespace: String,
    /// The label selector as the client wrote it, empty for none.
    pub label_selector: String,
    /// The user.
    pub user: String,
}

/// Counts the requests of clients: not those of the cluster's own controllers and kubelet.
///
/// A refused request counts; one that a fault kept from the API does not.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use portolan_test::{TestCluster, Verb};
///
/// let cluster = TestCluster::start().await?;
/// let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::all(cluster.client());
/// pods.list(&Default::default()).await?;
/// assert_eq!(cluster.requests().count(Verb::List, "pods"), 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Requests {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    counts: HashMap<(Verb, &'static str), u64>,
    watches: HashMap<u64, OpenWatch>,
    next_watch: u64,
}

impl Requests {
    /// How many requests did `verb` on `resource` (its plural: `endpointslices`).
    #[must_use]
    pub fn count(&self, verb: Verb, resource: &str) -> u64 {
        let state = self.lock();
        let counts = state.counts.iter();
        counts
            .filter(|((v, r), _)| *v == verb && *r == resource)
            .map(|(_, count)| count)
            .sum()
    }

    /// How many requests there were for objects of any kind.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lock().counts.values().sum()
    }

    /// How many watches on `resource` are open now.
    #[must_use]
    pub fn open_watches(&self, resource: &str) -> usize {
        let state = self.lock();
        let watches = state.watches.values();
        watches.filter(|watch| watch.resource == resource).count()
    }

    /// The watches that are open now, oldest first.
    #[must_use]
    pub fn watches(&self) -> Vec<OpenWatch> {
        let state = self.lock();
        let mut watches: Vec<_> = state.watches.iter().collect();
        watches.sort_by_key(|(id, _)| **id);
        watches
            .into_iter()
            .map(|(_, watch)| watch.clone())
            .collect()
    }

    /// Sets all counts to zero. Open watches stay.
    pub fn reset(&self) {
        self.lock().counts.clear();
    }

    pub(crate) fn record(&self, verb: Verb, resource: &'static str) {
        *self.lock().counts.entry((verb, resource)).or_default() += 1;
    }

    pub(crate) fn open(&self, watch: OpenWatch) -> WatchGuard {
        let mut state = self.lock();
        let id = state.next_watch;
        state.next_watch += 1;
        state.watches.insert(id, watch);
        WatchGuard {
            requests: self.clone(),
            id,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the count of an open watch when it is dropped.
#[derive(Debug)]
pub(crate) struct WatchGuard {
    requests: Requests,
    id: u64,
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.requests.lock().watches.remove(&self.id);
    }
}
