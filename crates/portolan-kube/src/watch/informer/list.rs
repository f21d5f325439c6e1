//! Learning everything: by a list, or by a watch that begins with all there is (KEP-3157).
//!
//! Both say what is true now: no list is asked for at `resourceVersion=0`, which any cache may answer with
//! a past that was left behind already. What is asked for depends on how much there may be:
//!
//! - A Service, its slices, one object by its name: a selector keeps them few, and one plain list without a
//!   limit has them all. It takes half the time of a stream of the same objects, each of which the server
//!   sends for itself. Since Kubernetes 1.31 such a list comes from the API server's cache, once that has
//!   caught up with etcd (KEP-2340); with a limit it came from etcd until 1.33. Before 1.31 it came from etcd
//!   with or without one, and all of the namespace was read to select from, as page by page.
//! - Nodes, the Pods of a namespace: there may be very many, so they stream where the server can, which spares
//!   it the whole list in its memory, and come by pages where it cannot.

use std::{collections::BTreeMap, sync::Arc};

use kube::core::WatchEvent;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};

use super::{Following, Phase, Update, again, parse};
use crate::{
    object::Object,
    watch::{
        body::ReadError,
        fault::{Fault, Remedy},
    },
};

/// The mark on the bookmark that ends the initial events of a streaming list (KEP-3157).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

impl<K: Object> Following<K> {
    /// Waits for a turn to list. A long wait is said, once, and goes on the next time this is called.
    async fn turn(&mut self) -> Result<Option<OwnedSemaphorePermit>, Update<K>> {
        let mut turn = match self.queued.take() {
            Some(queued) => queued,
            None => {
                self.informer.pace.attempt(self.retry_after).await;
                if std::mem::take(&mut self.expired) {
                    self.informer.pace.jitter().await;
                }
                Box::pin(Arc::clone(&self.informer.lists).acquire_owned())
            }
        };
        // Whoever failed before has said so, and who waits now is no better off.
        if self.failure.is_none() {
            let patience = self.informer.collection.options.request_timeout;
            match timeout(patience, &mut turn).await {
                Ok(turn) => return Ok(turn.ok()),
                Err(_) => {
                    let error = self.informer.errand().queued(patience);
                    tracing::warn!("{error}");
                    self.queued = Some(turn);
                    self.failure = Some(error.clone());
                    return Err(Update::Failed(error));
                }
            }
        }
        // Nobody closes the semaphore.
        Ok(turn.await.ok())
    }

    /// Learns everything.
    pub(super) async fn list(&mut self) -> Result<Option<Update<K>>, Fault> {
        let _turn = match self.turn().await {
            Ok(turn) => turn,
            Err(waiting) => return Ok(Some(waiting)),
        };
        let streams = !self.informer.collection.is_narrow::<K>()
            && self.streaming.is_tried()
            && self.informer.streaming.is_tried();
        let objects = if streams {
            match self.list_by_watch().await? {
                Some(objects) => objects,
                None => {
                    self.streaming.put_off();
                    return Ok(None);
                }
            }
        } else {
            let (objects, version) = self.informer.collection.list().await?;
            self.phase = Phase::Resume {
                version,
                fresh: true,
            };
            objects
        };
        if std::mem::replace(&mut self.listed, true) {
            self.informer.collection.counters.relists.add(1);
        }
        self.plan_resync();
        self.recovered();
        // A full list says more than a recovery.
        self.pending = None;
        Ok(Some(Update::Replaced(objects)))
    }

    /// Learns everything although nothing is wrong. If that fails, the watch goes on.
    pub(super) async fn compare(&mut self, version: String) -> Result<Option<Update<K>>, Fault> {
        tracing::debug!(asked = %self.informer.errand(), "listing anew, since it is time");
        let listed = self.list().await;
        match &listed {
            // It does not stream, so the pages are next; or its turn is still to come.
            Ok(None | Some(Update::Failed(_))) => self.phase = Phase::Compare { version },
            Ok(Some(_)) => {}
            Err(_) => {
                self.plan_resync();
                self.phase = again(version);
            }
        }
        listed
    }

    fn plan_resync(&mut self) {
        let interval = self.informer.collection.options.resync;
        let pace = &mut self.informer.pace;
        self.resync =
            interval.and_then(|interval| Instant::now().checked_add(pace.moment_within(interval)));
    }

    /// Learns everything from a watch that begins with all there is. Nothing if the server does not do
    /// that.
    async fn list_by_watch(&mut self) -> Result<Option<Vec<K>>, Fault> {
        let informer = &self.informer;
        let opened = Instant::now();
        let mut body = match informer.collection.watch::<K>(None).await {
            Ok(body) => body,
            Err(fault) if fault.remedy == Remedy::AskOtherwise => {
                tracing::debug!(error = %fault.error, "no streaming lists here, listing by pages");
                informer.streaming.put_off();
                return Ok(None);
            }
            Err(fault) => return Err(fault),
        };
        let mut objects: BTreeMap<String, K> = BTreeMap::new();
        let mut begun = false;
        loop {
            // A server that is too old to know the parameter opens a common watch, and then says
            // nothing more; something before the server may cut off what it takes too long.
            let patience = informer.collection.options.request_timeout;
            match timeout(patience, body.next(&mut self.line)).await {
                Ok(Ok(true)) => begun = true,
                Ok(Err(ReadError::TooLong(limit))) => {
                    return Err(informer.errand().unread(ReadError::TooLong(limit)));
                }
                Ok(ended) => {
                    tracing::debug!(asked = %informer.errand(), ?ended, "the initial events were cut off, listing by pages");
                    return Ok(None);
                }
                Err(_) => {
                    tracing::debug!(asked = %informer.errand(), "the initial events do not end, listing by pages");
                    if !begun {
                        // Not a word is no matter of what was asked for: the others need not wait as
                        // long to find that out, each in its turn.
                        informer.streaming.put_off();
                    }
                    return Ok(None);
                }
            }
            match parse::<K>(&self.line, informer.errand())? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    if informer.collection.is_wanted(&object) {
                        objects.insert(object.meta().name.clone(), object);
                        informer.collection.limit(objects.len())?;
                    } else {
                        objects.remove(&object.meta().name);
                    }
                }
                // Between the first and the last initial event an object may change, or go.
                WatchEvent::Deleted(object) => {
                    objects.remove(&object.meta().name);
                }
                WatchEvent::Bookmark(bookmark) => {
                    if bookmark
                        .metadata
                        .annotations
                        .contains_key(INITIAL_EVENTS_END)
                    {
                        let version = bookmark.metadata.resource_version;
                        if version.is_empty() {
                            return Err(informer
                                .errand()
                                .corrupt("a list without a version", None));
                        }
                        self.phase = Phase::Watch {
                            version,
                            body,
                            opened,
                        };
                        self.informer.pace.opened();
                        return Ok(Some(objects.into_values().collect()));
                    }
                }
                WatchEvent::Error(status) => return Err(informer.errand().status(&status)),
            }
        }
    }
}
