//! The holder of a Lease, told to a leadership for as long as somebody wants it.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures::StreamExt as _;
use portolan_core::{
    Placement, SourceError,
    policy::{Announced, Leadership},
};
use tokio::{
    runtime::Handle,
    sync::Notify,
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use super::{follow, informer::Update};
use crate::{
    cluster::Shared,
    lease::{Said, Tenure, WireLease},
    object::Scope,
};

/// The watch of a Lease: [`Cluster::watch_lease`](crate::Cluster::watch_lease). It ends when this is dropped; the
/// leadership then stays as it is.
#[derive(Debug)]
#[must_use = "the watch ends when this is dropped"]
pub struct LeaseWatch {
    task: AbortHandle,
    failure: Arc<Mutex<Option<SourceError>>>,
}

impl LeaseWatch {
    /// Why nothing is heard of the Lease at present, and what to do about it; `None` where all is well.
    #[must_use]
    pub fn failure(&self) -> Option<SourceError> {
        let failure = self.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for LeaseWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn watch_lease(
    runtime: &Handle,
    shared: Arc<Shared>,
    namespace: String,
    name: String,
    leadership: Leadership,
) -> LeaseWatch {
    let failure = Arc::default();
    let follower = Follower {
        name: name.clone(),
        lease: format!("{name}.{namespace}"),
        tenure: Tenure::default(),
        leadership,
        failure: Arc::clone(&failure),
        origin: Instant::now(),
    };
    let task = runtime.spawn(follower.run(shared, Scope::Named { namespace, name }));
    LeaseWatch {
        task: task.abort_handle(),
        failure,
    }
}

struct Follower {
    name: String,
    /// With its namespace, for logs.
    lease: String,
    tenure: Tenure,
    leadership: Leadership,
    failure: Arc<Mutex<Option<SourceError>>>,
    origin: Instant,
}

impl Follower {
    async fn run(mut self, shared: Arc<Shared>, scope: Scope) {
        let suspicion = Arc::new(Notify::new());
        let mut updates = pin!(follow::informer::<WireLease>(&shared, scope, &suspicion, 1));
        loop {
            let until = self.tenure.until().map(|until| self.origin + until);
            tokio::select! {
                biased;
                Some(update) = updates.next() => self.take_up(update),
                () = sleep_until(until.unwrap_or(self.origin)), if until.is_some() => {
                    let said = self.tenure.expire(self.origin.elapsed());
                    if said.is_some() {
                        tracing::warn!(lease = self.lease, "nobody renews the Lease: there is no primary");
                    }
                    self.tell(said);
                }
            }
        }
    }

    fn take_up(&mut self, update: Update<WireLease>) {
        let now = self.origin.elapsed();
        let said = match update {
            Update::Replaced(listed) => match listed.into_iter().next() {
                Some(lease) => self.tenure.see(lease.into(), now),
                None => self.tenure.gone(),
            },
            Update::Applied(lease) => self.tenure.see(lease.into(), now),
            Update::Deleted(lease) if lease.metadata.name != self.name => return,
            Update::Deleted(_) => self.tenure.gone(),
            Update::Failed(error) => {
                tracing::warn!(lease = self.lease, %error, "the Lease cannot be watched");
                self.note(Some(error));
                return;
            }
            Update::Recovered => None,
        };
        self.note(None);
        self.tell(said);
    }

    fn tell(&self, said: Option<Said>) {
        let announced = match said {
            Some(Said::Holds(holder, epoch)) => {
                self.leadership.announce(Placement::new(holder), epoch)
            }
            Some(Said::Vacant(epoch)) => self.leadership.vacate(epoch),
            None => return,
        };
        match announced {
            Announced::Outdated => tracing::warn!(
                lease = self.lease,
                "a higher epoch is known than that of the Lease, which is not believed"
            ),
            Announced::Conflict => tracing::warn!(
                lease = self.lease,
                "the Lease has changed hands within one epoch (`leaseTransitions`): there is no primary"
            ),
            announced => tracing::debug!(lease = self.lease, ?announced, "the Lease has changed"),
        }
    }

    fn note(&self, failure: Option<SourceError>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}
