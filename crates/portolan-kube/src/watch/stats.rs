//! What the watches of a cluster do, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the watches of a cluster did since it was made, by
/// [`Cluster::watch_stats`](crate::Cluster::watch_stats).
///
/// The numbers only grow, but for [`services`](Self::services). They are read one after another, and
/// not all at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchStats {
    /// Services that are watched now.
    pub services: usize,
    /// Full lists beyond the first one of each collection: after a version that the API server did
    /// not remember (410 Gone), after an event that made no sense, or for
    /// [`resync`](crate::WatchOptions::resync).
    pub relists: u64,
    /// Watches that were opened anew where the former one stopped. Most follow a watch that the API
    /// server ended in good order, after the time it was asked for: five a minute and Service (four for
    /// its slices, one for itself), and one for the Nodes.
    pub reconnects: u64,
    /// Requests and watches that came to nothing: an API server that is away, refuses, or talks
    /// nonsense. A watch that ends or breaks is none, only if it cannot be opened anew.
    pub failures: u64,
    /// Requests that were sent to the API server: lists, each page of one, and watches.
    pub requests: u64,
    /// Bytes of the bodies of its answers, as far as they were read, and without those of refusals.
    pub bytes: u64,
    /// Endpoints and ports that were left out of slices, since nothing can be connected to them: an
    /// endpoint by DNS name or with an address that is none, a port out of range. Counted anew when
    /// they change.
    pub rejected: u64,
    /// Endpoints that were left out of a balancer's view, since they have no address of the only
    /// family that [`IpFamilies`](crate::IpFamilies) allows. Counted once for each view, when it is
    /// noticed.
    pub wrong_family: u64,
}

/// The numbers, as they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) relists: Counter,
    pub(super) reconnects: Counter,
    pub(super) failures: Counter,
    pub(super) requests: Counter,
    pub(super) bytes: Counter,
    pub(super) rejected: Counter,
    pub(super) wrong_family: Counter,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counters {
    pub(crate) fn snapshot(&self, services: usize) -> WatchStats {
        WatchStats {
            services,
            relists: self.relists.read(),
            reconnects: self.reconnects.read(),
            failures: self.failures.read(),
            requests: self.requests.read(),
            bytes: self.bytes.read(),
            rejected: self.rejected.read(),
            wrong_family: self.wrong_family.read(),
        }
    }
}

impl Counter {
    pub(super) fn add(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
