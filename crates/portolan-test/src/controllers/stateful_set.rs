//! The StatefulSet controller: stable names, in order.
//!
//! The order of its steps is that of Kubernetes: first fill the set from the lowest ordinal up,
//! then scale down from the highest, then update from the highest down, one Pod at a time, and only
//! while all others are well. `OrderedReady` waits in each of the first two for the Pod before;
//! `Parallel` does not. (`minReadySeconds` and `maxUnavailable` are not followed.)

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::json;
use crate::kind::Kind;

use super::pods::{self, is_over, is_ready, is_terminating};
use super::{Controllers, ownership, revision};

/// The label that tells a Pod's revision.
const REVISION_LABEL: &str = "controller-revision-hash";

/// A set as it is asked for, and the Pods that it has.
struct Set<'a> {
    controllers: &'a Controllers,
    object: &'a Value,
    name: &'a str,
    /// The ordinals that are to be.
    wanted: std::ops::Range<i64>,
    in_order: bool,
    current_revision: String,
    update_revision: String,
    pods: BTreeMap<i64, Arc<Value>>,
}

pub(super) fn reconcile(controllers: &Controllers, object: &Value) {
    if is_terminating(object) {
        return;
    }
    let mut set = Set::new(controllers, object);
    set.step();
    set.pods = set.find_pods();
    set.report();
}

impl<'a> Set<'a> {
    fn new(controllers: &'a Controllers, object: &'a Value) -> Self {
        let start = json::integer(object, "/spec/ordinals/start").unwrap_or(0);
        let replicas = json::integer(object, "/spec/replicas").unwrap_or(1);
        let update_revision = revision::ensure(controllers, object);
        let current_revision = match json::text(object, "/status/currentRevision") {
            "" => update_revision.clone(),
            current => current.to_owned(),
        };
        let mut set = Self {
            controllers,
            object,
            name: json::text(object, "/metadata/name"),
            wanted: start..start.saturating_add(replicas.max(0)),
            in_order: json::text(object, "/spec/podManagementPolicy") != "Parallel",
            current_revision,
            update_revision,
            pods: BTreeMap::new(),
        };
        set.pods = set.find_pods();
        set
    }

    fn find_pods(&self) -> BTreeMap<i64, Arc<Value>> {
        let namespace = json::text(self.object, "/metadata/namespace");
        let mut pods = self.controllers.pods_in(namespace);
        pods.retain(|pod| ownership::owns(self.object, pod));
        pods.into_iter()
            .filter_map(|pod| Some((self.ordinal(json::text(&pod, "/metadata/name"))?, pod)))
            .collect()
    }

    fn ordinal(&self, pod_name: &str) -> Option<i64> {
        pod_name
            .strip_prefix(self.name)?
            .strip_prefix('-')?
            .parse()
            .ok()
    }

    /// Does what can be done now.
    fn step(&self) {
        if self.fill() && self.scale_down() {
            self.update();
        }
    }

    /// Makes the Pods that are missing. False if something is to be awaited first.
    fn fill(&self) -> bool {
        for ordinal in self.wanted.clone() {
            match self.pods.get(&ordinal) {
                None => {
                    self.create(ordinal);
                    if self.in_order {
                        return false;
                    }
                }
                Some(pod) if is_over(pod) && !is_terminating(pod) => {
                    self.controllers.delete_pod(pod);
                    return false;
                }
                Some(pod) if self.in_order && (is_terminating(pod) || !is_ready(pod)) => {
                    return false;
                }
                Some(_) => {}
            }
        }
        true
    }

    /// Takes away the Pods that are too many. False if something is to be awaited first.
    fn scale_down(&self) -> bool {
        let condemned = self.pods.iter().rev();
        let condemned = condemned.filter(|(ordinal, _)| !self.wanted.contains(ordinal));
        for (_, pod) in condemned {
            if !is_terminating(pod) {
                self.controllers.delete_pod(pod);
            }
            if self.in_order {
                return false;
            }
        }
        true
    }

    /// Replaces Pods of another revision, one at a time.
    fn update(&self) {
        if json::text(self.object, "/spec/updateStrategy/type") == "OnDelete" {
            return;
        }
        let first = self.wanted.start.saturating_add(self.partition());
        for ordinal in self
            .wanted
            .clone()
            .rev()
            .take_while(|ordinal| *ordinal >= first)
        {
            let Some(pod) = self.pods.get(&ordinal) else {
                return;
            };
            if !is_terminating(pod) && self.revision_of(pod) != self.update_revision {
                return self.controllers.delete_pod(pod);
            }
            if is_terminating(pod) || !is_ready(pod) {
                return;
            }
        }
    }

    fn partition(&self) -> i64 {
        json::integer(self.object, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0)
    }

    fn revision_of<'p>(&self, pod: &'p Value) -> &'p str {
        json::label(pod, REVISION_LABEL).unwrap_or_default()
    }

    fn create(&self, ordinal: i64) {
        // Below the partition, Pods keep to the revision that is being replaced.
        let old = ordinal < self.wanted.start.saturating_add(self.partition());
        let wanted = if old {
            &self.current_revision
        } else {
            &self.update_revision
        };
        let template = revision::template(self.controllers, self.object, wanted);
        let template = template
            .or_else(|| self.object.pointer("/spec/template").cloned())
            .unwrap_or_default();
        let name = format!("{}-{ordinal}", self.name);
        let mut pod = pods::from_template(self.object, &template, &name);
        let labels = [
            ("statefulset.kubernetes.io/pod-name", name.clone()),
            ("apps.kubernetes.io/pod-index", ordinal.to_string()),
            (REVISION_LABEL, wanted.clone()),
        ];
        for (label, value) in labels {
            json::set(&mut pod, &["metadata", "labels", label], value);
        }
        json::set(&mut pod, &["spec", "hostname"], name);
        let subdomain = json::text(self.object, "/spec/serviceName");
        json::set(&mut pod, &["spec", "subdomain"], subdomain);
        self.controllers.create(Kind::Pod, pod);
    }

    /// Writes the status.
    fn report(&self) {
        let replicas = self.wanted.end - self.wanted.start;
        let count =
            |holds: &dyn Fn(&Value) -> bool| self.pods.values().filter(|pod| holds(pod)).count();
        let ready = count(&|pod| is_ready(pod));
        let of = |revision: &str| {
            count(&|pod| !is_terminating(pod) && self.revision_of(pod) == revision)
        };
        let (mut current, updated) = (of(&self.current_revision), of(&self.update_revision));
        let mut current_revision = self.current_revision.as_str();
        let complete = |number: usize| i64::try_from(number) == Ok(replicas);
        if complete(updated) && complete(ready) && complete(self.pods.len()) {
            current_revision = &self.update_revision;
            current = updated;
        }
        let status = json!({
            "observedGeneration": json::integer(self.object, "/metadata/generation"),
            "replicas": self.pods.len(),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentReplicas": current,
            "updatedReplicas": updated,
            "currentRevision": current_revision,
            "updateRevision": self.update_revision,
            "collisionCount": 0,
        });
        self.controllers
            .set_status(Kind::StatefulSet, self.object, status);
    }
}
