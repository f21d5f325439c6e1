//! Waiting for a state of the cluster, driven by its events.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use serde_json::Value;

use crate::client;
use crate::error::Error;
use crate::kind::Kind;

/// The objects that are watched, by name.
pub(super) type Objects = BTreeMap<String, Value>;

/// What is waited for.
pub(super) struct Wait<'a> {
    pub(super) client: &'a Client,
    pub(super) kind: Kind,
    pub(super) namespace: &'a str,
    pub(super) selection: watcher::Config,
    pub(super) limit: Duration,
    /// In words, for the error.
    pub(super) what: String,
}

impl Wait<'_> {
    /// Waits until `check` is content with the objects; it says otherwise what it misses.
    pub(super) async fn until(
        self,
        check: impl Fn(&Objects) -> Result<(), String>,
    ) -> Result<(), Error> {
        let mut seen = "nothing yet".to_owned();
        match tokio::time::timeout(self.limit, self.follow(&mut seen, check)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Error::Timeout {
                what: self.what,
                limit: self.limit,
                seen,
            }),
        }
    }

    async fn follow(&self, seen: &mut String, check: impl Fn(&Objects) -> Result<(), String>) {
        let objects = client::api(self.client, self.kind, self.namespace);
        let mut events = watcher::watcher(objects, self.selection.clone())
            .default_backoff()
            .boxed();
        let mut known = Objects::new();
        let mut complete = false;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => {
                    known.clear();
                    complete = false;
                }
                Ok(Event::InitDone) => complete = true,
                Ok(Event::InitApply(object) | Event::Apply(object)) => {
                    let name = object.metadata.name.clone().unwrap_or_default();
                    known.insert(name, client::to_json(&object));
                }
                Ok(Event::Delete(object)) => {
                    known.remove(&object.metadata.name.unwrap_or_default());
                }
                Err(error) => *seen = error.to_string(),
            }
            if complete {
                match check(&known) {
                    Ok(()) => return,
                    Err(missing) => *seen = missing,
                }
            }
        }
    }
}
