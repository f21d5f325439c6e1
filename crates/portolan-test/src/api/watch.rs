//! Watches: a stream of events, with bookmarks, streaming lists and every fault on order.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::faults::{Availability, Condition, Corruption, Faults, WatchedEvent};
use crate::json;
use crate::kind::Kind;
use crate::requests::WatchGuard;
use crate::store::{Change, Event, Store, StoreError};

use super::query::{Query, Selection, VersionMatch};
use super::refusal::Refusal;
use super::route::ResourceRequest;

/// How the server treats watches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WatchConfig {
    pub(crate) bookmark_interval: Duration,
    pub(crate) streaming_lists: bool,
    /// Answer a start from too old a version by HTTP 410 instead of an event in the stream.
    pub(crate) gone_as_status: bool,
}

/// How long a watch lasts that asks for no limit; a real server draws it from 30 to 60 minutes.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45 * 60);

/// Marks the bookmark that ends the initial events of a streaming list (KEP-3157).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// One open watch.
#[derive(Debug)]
struct Watch {
    store: Arc<Store>,
    kind: Kind,
    namespace: String,
    selection: Selection,
    /// Everything up to this version has been told, or waits in `lines`.
    cursor: u64,
    lines: VecDeque<Line>,
    changes: watch::Receiver<u64>,
    disturbance: Option<Disturbance>,
    bookmarks: Option<Duration>,
    next_bookmark: Instant,
    deadline: Instant,
    ended: bool,
    _open: Option<WatchGuard>,
}

/// What faults do to this watch; the cluster's own watches have none.
#[derive(Debug)]
struct Disturbance {
    faults: Faults,
    condition: watch::Receiver<Condition>,
    at_start: Condition,
}

/// A line of the stream and when it is due.
#[derive(Debug)]
struct Line {
    due: Instant,
    bytes: Vec<u8>,
}

/// Opens a watch; `faults` are those that hit the client, if it is not the cluster's own.
pub(crate) fn watch(
    store: &Arc<Store>,
    request: &ResourceRequest,
    config: WatchConfig,
    faults: Option<Faults>,
    open: Option<WatchGuard>,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, Refusal> {
    let query = &request.query;
    check_initial_events(query, request.kind, config)?;
    let now = Instant::now();
    let mut watch = Watch {
        // Subscribe before reading, or a change in between would wake nobody.
        changes: store.changes(),
        store: Arc::clone(store),
        kind: request.kind,
        namespace: request.namespace.clone(),
        selection: query.selection.clone(),
        cursor: 0,
        lines: VecDeque::new(),
        disturbance: faults.map(Disturbance::new),
        bookmarks: query.bookmarks.then_some(config.bookmark_interval),
        next_bookmark: now + config.bookmark_interval,
        deadline: now + query.timeout.unwrap_or(DEFAULT_TIMEOUT),
        ended: false,
        _open: open,
    };
    match watch.begin(query) {
        Err(error @ StoreError::Expired { .. }) if !config.gone_as_status => watch.fail(error),
        Err(error) => return Err(Refusal::from_store(error, &request.kind.resource(), "")),
        Ok(()) => {}
    }
    Ok(futures::stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((line, watch))
    }))
}

/// `sendInitialEvents` has conditions, and a gate.
fn check_initial_events(query: &Query, kind: Kind, config: WatchConfig) -> Result<(), Refusal> {
    let invalid = |field, why| Err(Refusal::invalid(kind.resource().kind, "", field, why));
    match (query.initial_events, query.version_match) {
        (Some(_), _) if !config.streaming_lists => invalid(
            "sendInitialEvents",
            "Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature \
             gate is enabled",
        ),
        (Some(_), Some(VersionMatch::NotOlderThan)) | (None, None) => Ok(()),
        (Some(_), _) => invalid(
            "resourceVersionMatch",
            "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (None, Some(_)) => invalid(
            "resourceVersionMatch",
            "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is \
             provided",
        ),
    }
}

impl Watch {
    /// Places the cursor and queues the initial events.
    fn begin(&mut self, query: &Query) -> Result<(), StoreError> {
        // Unset and 0 ask for the present state as ADDED events first; a version asks for what
        // came after it.
        let from = query.version.filter(|version| *version > 0);
        let initial = query.initial_events.unwrap_or(from.is_none());
        if !initial {
            self.cursor = from.unwrap_or_else(|| self.store.version());
            return self.store.check_watchable(self.kind, self.cursor);
        }
        let listing = self.store.list(self.kind, None)?;
        self.cursor = listing.version;
        if let Some(asked) = from.filter(|asked| *asked > listing.version) {
            let newest = listing.version;
            return Err(StoreError::Future { asked, newest });
        }
        for (_, object) in &listing.objects {
            if self.selects(object) {
                // Faults hit what happens, not what is there already.
                self.queue("ADDED", object, Instant::now());
            }
        }
        if query.initial_events == Some(true) && query.bookmarks {
            let end = json!({INITIAL_EVENTS_END: "true"});
            self.bookmark(Some(end));
        }
        Ok(())
    }

    /// The next line of the stream, when it is due.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            match self.disturbance.as_mut().map(Disturbance::verdict) {
                Some(Verdict::Break) => {
                    self.ended = true;
                    self.lines.clear();
                    self.disturbance = None;
                    let cut = io::Error::new(
                        io::ErrorKind::ConnectionReset,
                        "the watch was cut, on the test's order",
                    );
                    return Some(Err(cut));
                }
                Some(Verdict::End) => return None,
                Some(Verdict::Hold) => {
                    self.disturbed().await;
                    continue;
                }
                Some(Verdict::Go) | None => {}
            }
            if !self.ended {
                self.pull();
            }
            let now = Instant::now();
            match self.lines.front() {
                Some(line) if line.due <= now => {
                    return self.lines.pop_front().map(|l| self.emit(l));
                }
                None if self.ended => return None,
                None if now >= self.deadline => {
                    self.ended = true;
                    self.bookmark(None);
                }
                None if self.bookmarks.is_some() && now >= self.next_bookmark => {
                    self.bookmark(None)
                }
                _ => self.wait().await,
            }
        }
    }

    /// Waits until there may be something to do.
    async fn wait(&mut self) {
        let mut until = self.deadline;
        if self.bookmarks.is_some() {
            until = until.min(self.next_bookmark);
        }
        if let Some(line) = self.lines.front() {
            until = line.due;
        }
        let changes = &mut self.changes;
        let disturbance = &mut self.disturbance;
        tokio::select! {
            _ = changes.changed() => {}
            () = disturbance_changed(disturbance) => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    async fn disturbed(&mut self) {
        disturbance_changed(&mut self.disturbance).await;
    }

    /// Queues what happened since the cursor.
    fn pull(&mut self) {
        self.changes.mark_unchanged();
        match self.store.events_after(self.kind, self.cursor) {
            Ok((events, newest)) => {
                self.cursor = newest;
                for event in &events {
                    self.tell(event);
                }
            }
            Err(error) => self.fail(error),
        }
    }

    /// Queues an event as this watch sees it: an object that stops to match is DELETED for it.
    fn tell(&mut self, event: &Event) {
        let was = event.before.as_ref().filter(|before| self.selects(before));
        let is = event.change != Change::Deleted && self.selects(&event.object);
        match (was, is) {
            (None, true) => self.send("ADDED", &event.object, event.at),
            (Some(_), true) => self.send("MODIFIED", &event.object, event.at),
            (Some(_), false) if event.change == Change::Deleted => {
                self.send("DELETED", &event.object, event.at);
            }
            (Some(before), false) => {
                let mut last = Value::clone(before);
                let version = event.version.to_string();
                json::set(&mut last, &["metadata", "resourceVersion"], version);
                self.send("DELETED", &last, event.at);
            }
            (None, false) => {}
        }
    }

    fn selects(&self, object: &Value) -> bool {
        (self.namespace.is_empty() || json::text(object, "/metadata/namespace") == self.namespace)
            && self.selection.matches(object)
    }

    fn send(&mut self, change: &'static str, object: &Value, at: Instant) {
        let mut due = at;
        let mut copies = 1;
        if let Some(Disturbance { faults, .. }) = &self.disturbance {
            due += faults.event_delay();
            copies = faults.copies(&WatchedEvent {
                change,
                resource: self.kind.resource().plural,
                object,
            });
        }
        for _ in 0..copies {
            self.queue(change, object, due);
        }
    }

    fn bookmark(&mut self, annotations: Option<Value>) {
        let Some(interval) = self.bookmarks else {
            return;
        };
        self.next_bookmark = Instant::now() + interval;
        let resource = self.kind.resource();
        let mut object = json!({
            "kind": resource.kind,
            "apiVersion": resource.api_version(),
            "metadata": {"resourceVersion": self.cursor.to_string()},
        });
        if let Some(annotations) = annotations {
            json::set(&mut object, &["metadata", "annotations"], annotations);
        }
        // Real bookmarks show empty required fields, too.
        match self.kind {
            Kind::EndpointSlice => {
                json::set(&mut object, &["addressType"], "");
                json::set(&mut object, &["endpoints"], Value::Null);
                json::set(&mut object, &["ports"], Value::Null);
            }
            Kind::Pod => json::set(&mut object, &["spec", "containers"], Value::Null),
            _ => {}
        }
        let due = self.lines.back().map_or_else(Instant::now, |line| line.due);
        self.queue("BOOKMARK", &object, due);
    }

    /// Queues the error that ends the stream.
    fn fail(&mut self, error: StoreError) {
        let status = Refusal::from_store(error, &self.kind.resource(), "").to_json();
        self.queue("ERROR", &status, Instant::now());
        self.ended = true;
    }

    fn queue(&mut self, change: &str, object: &Value, due: Instant) {
        // Written by hand, as a copy of the object would only serve to be serialised.
        let mut bytes = format!("{{\"type\":\"{change}\",\"object\":{object}}}").into_bytes();
        bytes.push(b'\n');
        self.lines.push_back(Line { due, bytes });
    }

    fn emit(&mut self, line: Line) -> io::Result<Bytes> {
        let corruption = self
            .disturbance
            .as_ref()
            .and_then(|disturbance| disturbance.faults.take_corruption());
        let Some(corruption) = corruption else {
            return Ok(line.bytes.into());
        };
        let mut bytes = corruption.apply(line.bytes);
        if corruption == Corruption::Truncated {
            self.ended = true;
            self.lines.clear();
        } else if !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        Ok(bytes.into())
    }
}

/// What a disturbed watch does next.
enum Verdict {
    Go,
    Hold,
    Break,
    End,
}

impl Disturbance {
    fn new(faults: Faults) -> Self {
        let mut condition = faults.condition();
        let at_start = *condition.borrow_and_update();
        Self {
            faults,
            condition,
            at_start,
        }
    }

    fn verdict(&mut self) -> Verdict {
        let now = *self.condition.borrow_and_update();
        if now.cuts != self.at_start.cuts || now.availability == Availability::Down {
            Verdict::Break
        } else if now.ends != self.at_start.ends {
            Verdict::End
        } else if now.availability == Availability::Hung {
            Verdict::Hold
        } else {
            Verdict::Go
        }
    }
}

/// Waits for a new order; without faults, for ever.
async fn disturbance_changed(disturbance: &mut Option<Disturbance>) {
    if let Some(disturbance) = disturbance
        && disturbance.condition.changed().await.is_ok()
    {
        return;
    }
    futures::future::pending().await
}
