//! Follows one collection of objects, for ever.
//!
//! It lists, watches from there, resumes where a watch stopped, and lists anew where it must. `kube::runtime::watcher` does the same, but it hides what a client that
//! chooses among Pods has to know or to do:
//! - that a watch works again after a failure (it says so only with the next event, which may be
//!   hours later), and that a bookmark came;
//! - that a watch ended cleanly: it opens the next one at once, thousands of times a second if the
//!   server goes on like that;
//! - an event that cannot be parsed is lost, and no relist follows;
//! - a 410 that comes as the answer, not as an event, is retried with the same version for ever;
//! - a server that does not answer at all is waited for without a limit.

mod list;

use std::{sync::Arc, time::Duration};

use futures::{Stream, future::BoxFuture, stream};
use kube::core::WatchEvent;
use portolan_core::SourceError;
use tokio::{
    sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout},
};

use super::{
    api::{Body, Collection},
    fault::{Errand, Fault, Remedy},
    pace::Pace,
    streaming::Streaming,
};
use crate::object::Object;

/// What an informer has to say.
#[derive(Debug)]
pub(super) enum Update<K> {
    /// These are all objects there are; whatever else was known is gone.
    Replaced(Vec<K>),
    /// This object is new, or replaces its former self.
    Applied(K),
    /// The object of this name is gone, or none of the Service's any more. It may never have been
    /// one, where the server does not select.
    Deleted(K),
    /// Nothing is learnt at present. Said once, until another reason takes its place.
    Failed(SourceError),
    /// It goes on after a failure, and nothing was missed.
    Recovered,
}

/// Follows the objects of one Service in one collection.
pub(super) struct Informer {
    pub(super) collection: Collection,
    pub(super) pace: Pace,
    /// Turns to list, shared by all informers of a cluster: each takes up memory of the API server.
    pub(super) lists: Arc<Semaphore>,
    /// Whether streaming lists are tried; shared by all informers of a cluster, since one refusal
    /// speaks for all.
    pub(super) streaming: Arc<Streaming>,
    /// Told when a watch is found dead: the other watch of the Service most likely is, too.
    pub(super) suspicion: Arc<Notify>,
}

enum Phase {
    /// Nothing is known, or nothing that can be built upon.
    List,
    /// Everything up to this version is believed to be known, and is to be compared with a list.
    Compare { version: String },
    /// Everything up to this version is known, `fresh`ly or from a watch that ended.
    Resume { version: String, fresh: bool },
    /// The watch is open.
    Watch {
        version: String,
        body: Body,
        opened: Instant,
    },
}

/// A turn to list, once it comes.
type Turn = BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>;

struct Following<K> {
    informer: Informer,
    phase: Phase,
    /// The failure that was told, until it is over.
    failure: Option<SourceError>,
    /// When to list without a reason; nothing for never.
    resync: Option<Instant>,
    /// All was learnt once, and whatever is listed is listed anew.
    listed: bool,
    /// The server forgot our version, and that of everybody else most likely.
    expired: bool,
    /// Where streaming did not work out though the server did not refuse it, that holds for here.
    streaming: Streaming,
    retry_after: Duration,
    /// The place in the queue of those who want to list, where it was said how long that takes.
    queued: Option<Turn>,
    /// What to say before anything else.
    pending: Option<Update<K>>,
    line: Vec<u8>,
}

impl Informer {
    /// Everything it learns, for ever. Nothing is asked before it is polled.
    pub(super) fn follow<K: Object>(self) -> impl Stream<Item = Update<K>> + Send {
        let following = Following {
            informer: self,
            phase: Phase::List,
            failure: None,
            resync: None,
            listed: false,
            expired: false,
            streaming: Streaming::default(),
            retry_after: Duration::ZERO,
            queued: None,
            pending: None,
            line: Vec::new(),
        };
        stream::unfold(following, |mut following| async {
            let update = following.next().await;
            Some((update, following))
        })
    }

    fn errand(&self) -> &Errand {
        &self.collection.errand
    }
}

impl<K: Object> Following<K> {
    async fn next(&mut self) -> Update<K> {
        loop {
            if let Some(update) = self.pending.take() {
                return update;
            }
            // What comes next is to list, unless something better is known.
            let result = match std::mem::replace(&mut self.phase, Phase::List) {
                Phase::List => self.list().await,
                Phase::Compare { version } => self.compare(version).await,
                Phase::Resume { version, fresh } => self.resume(version, fresh).await,
                Phase::Watch {
                    version,
                    body,
                    opened,
                } => self.watch(version, body, opened).await,
            };
            match result {
                Ok(Some(update)) => return update,
                Ok(None) => {}
                Err(fault) => {
                    if let Some(failed) = self.fail(fault) {
                        return failed;
                    }
                }
            }
        }
    }

    /// Opens a watch where the last one stopped.
    async fn resume(&mut self, version: String, fresh: bool) -> Result<Option<Update<K>>, Fault> {
        self.phase = again(version.clone());
        if !fresh {
            self.informer.pace.attempt(self.retry_after).await;
        }
        let body = self.informer.collection.watch::<K>(Some(&version)).await?;
        self.informer.pace.opened();
        if !fresh {
            self.informer.collection.counters.reconnects.add(1);
        }
        let opened = Instant::now();
        self.phase = Phase::Watch {
            version,
            body,
            opened,
        };
        self.recovered();
        Ok(None)
    }

    /// Waits for an event of the open watch.
    async fn watch(
        &mut self,
        version: String,
        mut body: Body,
        opened: Instant,
    ) -> Result<Option<Update<K>>, Fault> {
        let idle = self.informer.collection.options.idle_timeout;
        let read = tokio::select! {
            read = timeout(idle, body.next(&mut self.line)) => read,
            () = self.informer.suspicion.notified() => {
                tracing::debug!(asked = %self.informer.errand(), "opening a watch anew, since its sibling was found dead");
                self.phase = again(version);
                return Ok(None);
            }
            () = until(self.resync) => {
                self.phase = Phase::Compare { version };
                return Ok(None);
            }
        };
        match read {
            Ok(Ok(true)) => {}
            Ok(ended) => {
                // A server ends its watches all the time: after `timeoutSeconds`, when it restarts.
                // The next one tells whether there is anything wrong. One that ends as soon as it
                // was opened counts as a failure, so that the next waits longer and longer.
                tracing::debug!(asked = %self.informer.errand(), ?ended, "a watch ended");
                if opened.elapsed() < self.informer.collection.options.rewatch_interval {
                    self.informer.pace.failed();
                } else {
                    self.informer.pace.succeeded();
                }
                self.phase = again(version);
                return Ok(None);
            }
            Err(_) => {
                tracing::warn!(asked = %self.informer.errand(), silent_for = ?idle, "a watch is dead, opening it anew");
                self.informer.suspicion.notify_waiters();
                self.phase = again(version);
                return Ok(None);
            }
        }
        // Whatever is wrong with this event, what was known before it still holds; where it is the
        // event itself that was lost, the remedy is to list.
        let event = match parse::<K>(&self.line, self.informer.errand()) {
            Ok(WatchEvent::Error(status)) => Err(self.informer.errand().status(&status)),
            parsed => parsed,
        };
        let event = event.inspect_err(|_| self.phase = again(version.clone()))?;
        self.informer.pace.succeeded();
        let (update, seen) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let seen = object.meta().resource_version.clone();
                // A server that does not select sends what others would send as `DELETED`: an
                // object that was one of the Service's and is no more.
                let update = if self.informer.collection.is_wanted(&object) {
                    Update::Applied(object)
                } else {
                    Update::Deleted(object)
                };
                (Some(update), seen)
            }
            WatchEvent::Deleted(object) => {
                let seen = object.meta().resource_version.clone();
                (Some(Update::Deleted(object)), seen)
            }
            WatchEvent::Bookmark(bookmark) => (None, bookmark.metadata.resource_version),
            WatchEvent::Error(_) => (None, String::new()),
        };
        if goes_back(&version, &seen) {
            // The versions of one watch only grow (KEP-5504). An event from the past would bring
            // back what is gone.
            let fault = self
                .informer
                .errand()
                .corrupt(&format!("version {seen} after {version}"), None);
            return Err(fault);
        }
        let version = if seen.is_empty() { version } else { seen };
        self.phase = Phase::Watch {
            version,
            body,
            opened,
        };
        Ok(update)
    }

    /// The watch works: if it did not before, that is said.
    fn recovered(&mut self) {
        self.retry_after = Duration::ZERO;
        if self.failure.take().is_some() {
            tracing::info!(asked = %self.informer.errand(), "the API server answers again");
            self.pending = Some(Update::Recovered);
        }
    }

    /// Notes a fault, and says it unless it was said already.
    fn fail(&mut self, fault: Fault) -> Option<Update<K>> {
        let Fault {
            error,
            remedy,
            retry_after,
        } = fault;
        self.retry_after = retry_after;
        self.informer.pace.failed();
        match remedy {
            Remedy::Retry => {}
            Remedy::Relist | Remedy::AskOtherwise => self.phase = Phase::List,
            Remedy::Expired => {
                // This is how the API works, and no failure: the list will tell.
                tracing::debug!("{error}");
                self.expired = true;
                self.phase = Phase::List;
                return None;
            }
        }
        self.informer.collection.counters.failures.add(1);
        let told = self.failure.as_ref();
        if told.is_some_and(|told| {
            told.kind() == error.kind() && told.to_string() == error.to_string()
        }) {
            return None;
        }
        tracing::warn!(kind = ?error.kind(), "{error}");
        self.failure = Some(error.clone());
        Some(Update::Failed(error))
    }
}

/// To open the watch anew where it stopped.
fn again(version: String) -> Phase {
    Phase::Resume {
        version,
        fresh: false,
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn parse<K: Object>(line: &[u8], errand: &Errand) -> Result<WatchEvent<K>, Fault> {
    serde_json::from_slice(line)
        .map_err(|error| errand.corrupt("an event that cannot be parsed", Some(error)))
}

fn goes_back(known: &str, seen: &str) -> bool {
    match (known.parse::<u64>(), seen.parse::<u64>()) {
        (Ok(known), Ok(seen)) => seen < known,
        _ => false,
    }
}
