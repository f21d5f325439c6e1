//! When to write.

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use portolan_core::EndpointSet;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};

use super::store::Store;

/// Keeps what is on disk as it should be: one write at a time, on a background thread, and not too often.
#[derive(Debug)]
pub(super) struct Keeper {
    store: Arc<Store>,
    write_every: Duration,
    /// What should be on disk, where that is known: a list, or no file at all.
    wanted: Option<Option<EndpointSet>>,
    due: Due,
    writing: Option<JoinHandle<io::Result<()>>>,
    /// Since when what is wanted has been getting old; nothing while it is good now.
    good_until: Option<SystemTime>,
    /// There is to be no write before.
    not_before: Instant,
}

/// Why there should be a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// What is on disk is something else.
    Changed,
    /// It is the same, but seems older than it is.
    Refresh(Instant),
    Not,
}

/// How long what is on disk may seem older than it is.
const REFRESH: Duration = Duration::from_secs(300);

/// How long to wait after a write that failed: a full disk is not emptied by more attempts.
const RETRY: Duration = Duration::from_secs(60);

impl Keeper {
    pub(super) fn new(store: Arc<Store>, write_every: Duration) -> Self {
        Self {
            store,
            write_every,
            wanted: None,
            due: Due::Not,
            writing: None,
            good_until: None,
            not_before: Instant::now(),
        }
    }

    /// These are the endpoints now; `None` where there are none.
    pub(super) fn keep(&mut self, endpoints: Option<EndpointSet>) {
        self.good_until = None;
        let wanted = Some(endpoints);
        let seems_older = self.due == Due::Not && matches!(wanted, Some(Some(_)));
        if self.wanted != wanted || seems_older {
            self.wanted = wanted;
            self.due = Due::Changed;
        }
    }

    /// What is known is getting old.
    ///
    /// A change that is not on disk yet is still written, with the age that it has by then.
    pub(super) fn pause(&mut self) {
        self.good_until.get_or_insert_with(SystemTime::now);
        if let Due::Refresh(_) = self.due {
            self.due = Due::Not;
        }
    }

    /// Writes when it is due, for as long as it is polled.
    ///
    /// # Cancel safety
    /// A dropped future forgets nothing: a write that has begun goes on, and the next call waits for it.
    pub(super) async fn work(&mut self) {
        loop {
            if let Some(writing) = &mut self.writing {
                let result = writing.await;
                self.writing = None;
                self.written(result.unwrap_or_else(|error| Err(io::Error::other(error))));
            }
            match self.due {
                Due::Changed => sleep_until(self.not_before).await,
                Due::Refresh(at) => sleep_until(at.max(self.not_before)).await,
                Due::Not => std::future::pending().await,
            }
            self.begin();
        }
    }

    fn begin(&mut self) {
        let (store, wanted) = (Arc::clone(&self.store), self.wanted.clone().flatten());
        let now = Instant::now();
        self.due = match (&wanted, self.good_until) {
            (Some(_), None) => Due::Refresh(now + REFRESH),
            _ => Due::Not,
        };
        self.not_before = later(now, self.write_every);
        let good_at = self.good_until.unwrap_or_else(SystemTime::now);
        self.writing = Some(spawn_blocking(move || match wanted {
            Some(endpoints) => store.write(&endpoints, good_at),
            None => store.remove(),
        }));
    }

    fn written(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            let path = self.store.path().display();
            tracing::warn!(%path, %error, "the endpoints cannot be kept");
            self.due = Due::Changed;
            self.not_before = self.not_before.max(Instant::now() + RETRY);
        }
    }
}

/// A day later, where the clock cannot say how much.
fn later(now: Instant, by: Duration) -> Instant {
    let day = Duration::from_secs(86_400);
    now.checked_add(by).unwrap_or(now + day)
}
