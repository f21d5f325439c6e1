//! The end of a client: nothing new is taken, and what is in flight is waited for.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use portolan_core::{Candidate, EndpointState};
use tokio::{sync::Notify, time::Instant};

use super::Published;

/// What was left when a client had been shut down.
///
/// ```
/// # use portolan::{Cluster, ErrorKind, source::Fixed};
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let endpoint = portolan::Endpoint::new(portolan::Placement::new("db-0"), "10.0.0.1:5432".parse()?);
/// # let cluster = Cluster::from_source(Fixed::from_iter([endpoint]));
/// let nodes = cluster.service("db.shop")?.nodes()?;
/// let lease = nodes.pick("user:17").await?;
/// let drained = nodes.shutdown(Duration::from_millis(50)).await;
/// assert_eq!(drained.left, 1, "the lease is still held");
/// let refused = nodes.pick("user:18").await.unwrap_err();
/// assert_eq!(refused.kind(), &ErrorKind::ShutDown);
/// # drop(lease);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "it says whether anything was broken off"]
pub struct Drained {
    /// How many requests were still under way when the time was up. They go on for as long as somebody waits for them.
    pub left: usize,
}

/// How far a client is with its end.
#[derive(Default)]
pub(crate) struct Shutdown {
    /// Nothing new is taken.
    begun: AtomicBool,
    /// For the driver: it is over.
    over: Notify,
    /// Endpoints that are gone, and may have requests in flight.
    departed: Mutex<Vec<Weak<EndpointState>>>,
}

/// How often it is looked whether anything is still in flight. Requests tell nobody that they end, which would cost
/// each of them something for what happens once.
const LOOK: Duration = Duration::from_millis(5);

impl Shutdown {
    #[inline]
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Waits until the client has come to its end.
    pub(crate) async fn is_over(&self) {
        self.over.notified().await;
    }

    /// Remembers endpoints that are gone for as long as anything is in flight there.
    pub(crate) fn depart(&self, gone: impl IntoIterator<Item = Weak<EndpointState>>) {
        let mut departed = self.departed();
        departed.extend(gone);
        departed.retain(|state| state.strong_count() > 0);
    }

    /// The lock is held for a few instructions at a time.
    fn departed(&self) -> MutexGuard<'_, Vec<Weak<EndpointState>>> {
        self.departed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Published<S> {
    /// Takes nothing new, waits for what is in flight no longer than `within`, and has the driver end.
    pub(crate) async fn shut_down(self: Arc<Self>, within: Duration) -> Drained {
        if !self.shutdown.begun.swap(true, Ordering::AcqRel) {
            tracing::info!(service = %self.service, ?within, "the client is shut down");
        }
        let started = Instant::now();
        let mut was_clear = false;
        loop {
            let left = self.in_flight();
            let time_left = within.saturating_sub(started.elapsed());
            // A request that was taken at the last moment may not have been counted the first time.
            if (left == 0 && was_clear) || time_left.is_zero() {
                if left > 0 {
                    tracing::warn!(service = %self.service, left, "requests are left when the client ends");
                }
                self.shutdown.over.notify_one();
                return Drained { left };
            }
            was_clear = left == 0;
            self.sleep(time_left.min(LOOK)).await;
        }
    }

    /// All requests that are under way: at endpoints that are there, at those that are gone, and those that wait.
    fn in_flight(&self) -> usize {
        let snapshot = self.load();
        let state = |one: &Candidate| Arc::clone(&one.state);
        let there = snapshot.membership().members().iter().map(state);
        let chosen = snapshot.candidates().iter().map(state);
        let departed = self.shutdown.departed();
        let gone = departed.iter().filter_map(Weak::upgrade);
        let mut seen = HashSet::new();
        let each_once = there.chain(chosen).chain(gone);
        let in_flight = each_once
            .filter(|state| seen.insert(Arc::as_ptr(state)))
            .map(|state| state.in_flight() as usize);
        in_flight.sum::<usize>() + self.waiting.load(Ordering::Relaxed)
    }
}
