//! What goes along with each endpoint for as long as it may get requests, besides its service.

use std::sync::Arc;

use portolan_core::{Candidate, EndpointState};
use tokio::{sync::Notify, task::AbortHandle};

use crate::{
    Endpoint,
    health_check::{Checker, Monitor, Record},
    level::{NEVER_GOOD, is_good},
};

/// What is to go along with the endpoints of a balancer, of which `S` are the services.
pub(crate) struct Attendance<S> {
    /// Finds out whether they are well.
    pub(crate) checker: Option<Checker<S>>,
    /// Listens to what they say of themselves.
    pub(crate) listener: Option<Companion<S>>,
}

/// Starts a task that goes along with an endpoint of this state and service.
pub(crate) type Companion<S> = Box<dyn Fn(&Arc<EndpointState>, &S) -> AbortHandle + Send + Sync>;

/// What goes along with one endpoint. Ends when it is dropped.
pub(super) struct Attended {
    record: Option<Arc<Record>>,
    /// The changes of its health when that was last looked at, as with those of reachability.
    seen_changes: u32,
    _tasks: Tasks,
}

/// Those of one service: another service of the same endpoint has others.
struct Tasks {
    _monitor: Option<Monitor>,
    listener: Option<AbortHandle>,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

impl<S: Clone + Send + Sync + 'static> Attendance<S> {
    #[cfg(test)]
    pub(super) fn nobody() -> Self {
        Self {
            checker: None,
            listener: None,
        }
    }

    /// Whether new endpoints get requests before they have been found well.
    pub(super) fn trusts_new(&self) -> bool {
        self.checker.as_ref().is_none_or(Checker::trusts_new)
    }

    /// Begins to attend an endpoint, if anybody does. `changed` is told when it is well or ill otherwise than before;
    /// `trusted` is one that passes for well before it has been asked, whatever was set.
    pub(super) fn begin(
        &self,
        candidate: &Candidate,
        service: &S,
        changed: Arc<Notify>,
        trusted: bool,
    ) -> Option<Box<Attended>> {
        if self.checker.is_none() && self.listener.is_none() {
            return None;
        }
        let checker = self.checker.as_ref();
        let record = checker.map(|checker| checker.record(changed, trusted));
        let level = record.as_ref().map(|record| record.level());
        Some(Box::new(Attended {
            seen_changes: level.map_or(0, |level| level.changes()),
            _tasks: self.tasks(candidate, service, record.as_ref()),
            record,
        }))
    }

    /// Goes on with another service of the same endpoint.
    pub(super) fn go_on(&self, attended: &mut Attended, candidate: &Candidate, service: &S) {
        attended._tasks = self.tasks(candidate, service, attended.record.as_ref());
    }

    /// Whether the health of endpoints is known.
    pub(super) fn knows_health(&self) -> bool {
        self.checker.is_some()
    }

    fn tasks(&self, candidate: &Candidate, service: &S, record: Option<&Arc<Record>>) -> Tasks {
        let Candidate { endpoint, state } = candidate;
        let checked = self.checker.as_ref().zip(record);
        let listener = self.listener.as_ref();
        Tasks {
            _monitor: checked
                .map(|(checker, record)| checker.start(endpoint, service, Arc::clone(record))),
            listener: listener.map(|listen| listen(state, service)),
        }
    }
}

impl Attended {
    /// Whether it was well when it was last looked at, as far as is known.
    pub(super) fn is_well(&self) -> bool {
        is_good(self.seen_changes)
    }

    /// Whether it has not been found well or ill yet, and is not trusted.
    pub(super) fn is_on_trial(&self) -> bool {
        self.seen_changes == NEVER_GOOD
    }

    /// It can be connected to again: if it was ill, it may be well.
    pub(super) fn is_reached(&self) {
        if let Some(record) = &self.record {
            record.hurry();
        }
    }

    pub(super) fn record(&self) -> Option<&Arc<Record>> {
        self.record.as_ref()
    }

    /// Looks how it does, and says so if that has changed.
    pub(super) fn look(&mut self, endpoint: &Endpoint) -> Option<bool> {
        let record = self.record.as_ref()?;
        let changes = record.level().changes();
        if self.seen_changes == changes {
            return None;
        }
        self.seen_changes = changes;
        let healthy = is_good(changes);
        let reason = record.last_failure().filter(|_| !healthy);
        tracing::info!(
            endpoint = %endpoint.placement(), address = %endpoint.address(), healthy,
            reason = reason.as_deref(),
            "endpoint's health changed"
        );
        Some(healthy)
    }
}
