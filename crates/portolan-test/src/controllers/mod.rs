//! The controllers: they make the cluster's state follow what is asked for.
//!
//! Each is a function from the store's present state to a few writes, run again for a namespace
//! whenever something in it changes. They work on the store itself, so no fault of the API
//! reaches them. As in a real cluster they are a moment behind the cause, in a task of their own.

mod deployment;
mod endpoint_slice;
mod garbage;
mod ownership;
mod pods;
mod revision;
mod stateful_set;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::api::defaults::Defaults;
use crate::json;
use crate::kind::Kind;
use crate::store::{Change, Deletion, Key, Store};

/// What the controllers work with.
#[derive(Clone, Debug)]
pub(crate) struct Controllers {
    pub(crate) store: Arc<Store>,
    pub(crate) defaults: Defaults,
    /// How many endpoints a slice holds at most.
    pub(crate) endpoints_per_slice: usize,
    /// How long they sleep on every change.
    pub(crate) delay: Duration,
}

/// The kinds whose changes are followed.
const FOLLOWED: [Kind; 7] = [
    Kind::Namespace,
    Kind::Node,
    Kind::Service,
    Kind::Pod,
    Kind::EndpointSlice,
    Kind::StatefulSet,
    Kind::Deployment,
];

/// What changed since the controllers last looked.
#[derive(Debug, Default)]
struct Changes {
    namespaces: BTreeSet<String>,
    everything: bool,
    /// Something is gone that others may belong to.
    garbage: bool,
}

impl Controllers {
    /// Runs for as long as the cluster lives.
    pub(crate) async fn run(self) {
        let mut wake = self.store.changes();
        let mut cursor = 0;
        loop {
            wake.mark_unchanged();
            let changes = self.changes_since(&mut cursor);
            self.reconcile(&changes);
            if wake.changed().await.is_err() {
                return;
            }
            if !self.delay.is_zero() {
                tokio::time::sleep(self.delay).await;
            }
        }
    }

    fn changes_since(&self, cursor: &mut u64) -> Changes {
        let mut changes = Changes::default();
        let newest = self.store.version();
        for kind in FOLLOWED {
            let Ok((events, _)) = self.store.events_after(kind, *cursor) else {
                changes.everything = true;
                changes.garbage = true;
                continue;
            };
            for event in events {
                match kind {
                    Kind::Node => changes.everything = true,
                    Kind::Namespace => changes.garbage = true,
                    _ => {
                        let namespace = json::text(&event.object, "/metadata/namespace");
                        changes.namespaces.insert(namespace.to_owned());
                    }
                }
                changes.garbage |= event.change == Change::Deleted;
            }
        }
        *cursor = newest;
        changes
    }

    fn reconcile(&self, changes: &Changes) {
        let touched = |object: &&Arc<Value>| {
            changes.everything
                || changes
                    .namespaces
                    .contains(json::text(object, "/metadata/namespace"))
        };
        if changes.garbage {
            garbage::collect(self);
        }
        for set in self.store.objects(Kind::StatefulSet).iter().filter(touched) {
            stateful_set::reconcile(self, set);
        }
        for deployment in self.store.objects(Kind::Deployment).iter().filter(touched) {
            deployment::reconcile(self, deployment);
        }
        for service in self.store.objects(Kind::Service).iter().filter(touched) {
            endpoint_slice::reconcile(self, service);
        }
    }

    /// The Pods of `namespace`.
    fn pods_in(&self, namespace: &str) -> Vec<Arc<Value>> {
        let mut pods = self.store.objects(Kind::Pod);
        pods.retain(|pod| json::text(pod, "/metadata/namespace") == namespace);
        pods
    }

    fn create(&self, kind: Kind, mut object: Value) -> Option<Arc<Value>> {
        self.defaults.fill_in(kind, &mut object);
        let namespace = json::text(&object, "/metadata/namespace").to_owned();
        self.store
            .create(kind, &namespace, object)
            .inspect_err(|error| tracing::debug!(%kind, %error, "a controller cannot create"))
            .ok()
    }

    /// Deletes a Pod, with its own grace period.
    fn delete_pod(&self, pod: &Value) {
        let deletion = Deletion {
            grace: crate::api::pod_grace(pod, None),
            uid: Some(json::text(pod, "/metadata/uid").to_owned()),
            version: None,
        };
        // If it is gone by itself, so much the better.
        self.store.delete(Kind::Pod, &Key::of(pod), &deletion).ok();
    }

    /// Replaces the status of a workload.
    fn set_status(&self, kind: Kind, workload: &Value, status: Value) {
        let written = self.store.update(
            kind,
            &Key::of(workload),
            |object| -> Result<(), crate::store::StoreError> {
                json::set(object, &["status"], status);
                Ok(())
            },
        );
        if let Err(error) = written {
            tracing::debug!(%kind, %error, "a controller cannot write a status");
        }
    }
}
