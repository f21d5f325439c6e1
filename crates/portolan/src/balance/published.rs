//! Where driver and requests meet: one pointer to the newest snapshot.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use portolan_core::{
    EndpointState, Explanation, Freshness, PickContext, ServiceRef, Snapshot, retry::RetryTokens,
};
use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, Sleep, sleep, timeout_at},
};

use super::shutdown::Shutdown;
use crate::{
    Counters, Routing, admission::Gate, clock::Clock, counters::Tally, health_check::Health,
    hedge::Hedging, retry::Retries, settings::Settings,
};

/// What the driver publishes and requests read.
///
/// The driver is the only one that stores; a request loads the pointer once for each pick. Whoever
/// waits for a change subscribes first and looks at the generation afterwards, so that no change
/// falls between the two.
pub(crate) struct Published<S> {
    pub(crate) service: ServiceRef,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    /// Where the balancer was built. Its timers are used: a runtime that only sends requests need not
    /// have any.
    pub(crate) runtime: Handle,
    /// What is left to send requests again with.
    pub(crate) tokens: Arc<RetryTokens>,
    /// Requests have a deadline, or may be hedged.
    pub(crate) has_extras: bool,
    /// Nothing where all requests are let in.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Nothing where nobody asked for retries.
    pub(crate) retries: Option<Retries>,
    /// Nothing where nobody asked for a second try.
    pub(crate) hedging: Option<Hedging>,
    pub(crate) tally: Arc<Tally>,
    snapshot: ArcSwap<Snapshot<Reached<S>>>,
    changed: Notify,
    pub(super) waiting: AtomicUsize,
    closed: AtomicBool,
    /// The policy [goes by identity](portolan_core::Policy::is_by_identity), as the driver found out.
    pub(crate) by_identity: AtomicBool,
    /// Endpoints that a request could not reach, for the driver to look after.
    unreachable: Mutex<Vec<Arc<EndpointState>>>,
    pub(crate) reported: Arc<Notify>,
    /// How the endpoints do that are checked.
    health: Mutex<Arc<[Health]>>,
    pub(crate) shutdown: Shutdown,
}

/// The service of one endpoint, as it stands in a snapshot.
pub(crate) struct Reached<S> {
    pub(crate) service: S,
    /// The generation with which the endpoint came, or came back into reach: whoever could not ask it
    /// before may then.
    pub(crate) since: u64,
}

/// How a wait for the next snapshot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// There is another one.
    Changed,
    /// The time is up.
    TimedOut,
    /// There are too many who wait.
    Crowded,
    /// There never will be another one.
    Closed,
}

/// More reports than this before the driver gets to them add nothing: each names one endpoint.
const MAX_REPORTS: usize = 1024;

impl<S> Published<S> {
    pub(crate) fn new(
        service: ServiceRef,
        settings: Settings,
        clock: Clock,
        runtime: Handle,
    ) -> Self {
        let budget = settings.retry.as_ref().map(|retry| retry.budget);
        let tokens = Arc::new(RetryTokens::new(budget.unwrap_or_default(), clock.now()));
        let retries = settings.retry.clone();
        let hedging = settings.hedge.clone();
        let gate = settings
            .admission
            .clone()
            .map(|admission| Gate::new(admission, clock));
        let deadline = retries.as_ref().and_then(|retry| retry.deadline);
        Self {
            service,
            retries: retries.map(|retry| Retries::new(retry, Arc::clone(&tokens))),
            hedging: hedging.map(|hedge| Hedging::new(hedge, Arc::clone(&tokens))),
            tokens,
            has_extras: settings.hedge.is_some() || deadline.is_some() || gate.is_some(),
            gate,
            settings,
            clock,
            runtime,
            tally: Arc::default(),
            snapshot: ArcSwap::from_pointee(Snapshot::pending()),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            by_identity: AtomicBool::new(false),
            unreachable: Mutex::new(Vec::new()),
            reported: Arc::new(Notify::new()),
            health: Mutex::default(),
            shutdown: Shutdown::default(),
        }
    }

    /// The newest snapshot. The guard is not to be held across an await.
    pub(crate) fn load(&self) -> Guard<Arc<Snapshot<Reached<S>>>> {
        self.snapshot.load()
    }

    /// Publishes a snapshot, and gives back the former one: letting go of it takes as long as there are
    /// endpoints in it, and is better done when those who wait have been woken.
    #[must_use]
    pub(crate) fn store(&self, snapshot: Snapshot<Reached<S>>) -> Arc<Snapshot<Reached<S>>> {
        let former = self.snapshot.swap(Arc::new(snapshot));
        self.changed.notify_waiters();
        former
    }

    pub(crate) fn counters(&self) -> Counters {
        self.tally
            .read((self.tokens.taken(), self.tokens.refused()))
    }

    /// Why a request would go where it would go now.
    pub(crate) fn explain(&self, routing: &Routing<'_>) -> Explanation {
        let mut explanation = Explanation::in_full();
        let mut context = PickContext::new(self.clock.now(), fastrand::u64(..));
        routing.as_seen().apply_to(&mut context);
        self.load().explain(&context, &mut explanation);
        explanation
    }

    /// Whether endpoints of this freshness are older than they may be.
    pub(crate) fn is_expired(&self, freshness: &Freshness) -> bool {
        let age = freshness.age(self.clock.now());
        matches!((age, self.settings.max_staleness), (Some(age), Some(limit)) if age >= limit)
    }

    /// No more snapshots will come: whoever waits is told, and whoever would.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Waits for a snapshot other than that of `generation`, until `deadline`.
    pub(crate) async fn wait(self: Arc<Self>, generation: u64, deadline: Instant) -> Waited {
        let Some(_place) = self.queue() else {
            return Waited::Crowded;
        };
        let change = {
            let _entered = self.runtime.enter();
            timeout_at(deadline, self.replaced(generation))
        };
        match change.await {
            Ok(true) => Waited::Changed,
            Ok(false) => Waited::Closed,
            Err(_) => Waited::TimedOut,
        }
    }

    /// Wherever it is polled.
    pub(crate) fn sleep(&self, duration: std::time::Duration) -> Sleep {
        let _entered = self.runtime.enter();
        sleep(duration)
    }

    /// Waits for a snapshot other than that of `generation`. Whether there is one: when there never
    /// will be, that is known at once.
    pub(crate) async fn replaced(&self, generation: u64) -> bool {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Subscribe first, look afterwards: so no change falls between the two.
            changed.as_mut().enable();
            if self.load().generation() != generation {
                return true;
            }
            if self.is_closed() {
                return false;
            }
            changed.await;
        }
    }

    /// Tells the driver that an endpoint could not be reached.
    pub(crate) fn report_unreachable(&self, state: &Arc<EndpointState>) {
        let mut reports = self.reports();
        if reports.len() < MAX_REPORTS && !reports.iter().any(|one| Arc::ptr_eq(one, state)) {
            reports.push(Arc::clone(state));
            self.reported.notify_one();
        }
    }

    pub(crate) fn take_unreachable(&self) -> Vec<Arc<EndpointState>> {
        std::mem::take(&mut *self.reports())
    }

    pub(crate) fn set_health(&self, health: Arc<[Health]>) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    pub(crate) fn health(&self) -> Arc<[Health]> {
        Arc::clone(&self.health.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn reports(&self) -> std::sync::MutexGuard<'_, Vec<Arc<EndpointState>>> {
        // A list is whole whoever panicked while holding it.
        self.unreachable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the driver has ended, and its runtime with it, maybe: its timers are not to be asked then.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A place among those who wait, if there is one left.
    fn queue(&self) -> Option<Place<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.waiting);
        (before < self.settings.max_waiting).then_some(place)
    }
}

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S> fmt::Debug for Published<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("service", &self.service)
            .field("snapshot", &**self.load())
            .finish_non_exhaustive()
    }
}
