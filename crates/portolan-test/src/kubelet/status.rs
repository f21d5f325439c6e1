//! What the kubelet tells about a Pod.

use serde_json::{Value, json};

use crate::json;

/// The state of a Pod's containers, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodState {
    pub(super) phase: &'static str,
    pub(super) ready: bool,
    pub(super) restarts: u32,
    /// Why the containers are not running; `None` while they do.
    pub(super) waiting: Option<(&'static str, String)>,
}

impl PodState {
    /// The containers run, or have just been started.
    pub(super) fn running(ready: bool, restarts: u32) -> Self {
        Self {
            phase: "Running",
            ready,
            restarts,
            waiting: None,
        }
    }

    /// The containers wait to be started.
    pub(super) fn waiting(
        phase: &'static str,
        restarts: u32,
        why: &'static str,
        message: String,
    ) -> Self {
        Self {
            phase,
            ready: false,
            restarts,
            waiting: Some((why, message)),
        }
    }

    /// All is over.
    pub(super) fn completed(restarts: u32) -> Self {
        Self {
            phase: "Succeeded",
            ready: false,
            restarts,
            waiting: None,
        }
    }

    /// The `status` of the Pod; times of conditions that have not changed are kept from `before`.
    pub(super) fn to_json(&self, before: &Value, ips: &[String], now: &str) -> Value {
        let ready = if self.ready { "True" } else { "False" };
        let conditions: Vec<Value> = [
            ("PodScheduled", "True"),
            ("Initialized", "True"),
            ("ContainersReady", ready),
            ("Ready", ready),
        ]
        .into_iter()
        .map(|(kind, status)| {
            let old = json::items(before, "/status/conditions").iter();
            let since = old
                .filter(|old| {
                    json::text(old, "/type") == kind && json::text(old, "/status") == status
                })
                .map(|old| json::text(old, "/lastTransitionTime"))
                .find(|since| !since.is_empty())
                .unwrap_or(now);
            let mut condition = json!({
                "type": kind, "status": status, "lastTransitionTime": since,
            });
            if self.phase == "Succeeded" && status == "False" {
                json::set(&mut condition, &["reason"], "PodCompleted");
            } else if status == "False" {
                json::set(&mut condition, &["reason"], "ContainersNotReady");
            }
            condition
        })
        .collect();
        let mut status = json!({
            "phase": self.phase,
            "conditions": conditions,
            "containerStatuses": self.containers(before, now),
        });
        if let Some(first) = ips.first() {
            json::set(&mut status, &["podIP"], first.as_str());
            let all: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
            json::set(&mut status, &["podIPs"], all);
            let start = match json::text(before, "/status/startTime") {
                "" => now,
                earlier => earlier,
            };
            json::set(&mut status, &["startTime"], start);
        }
        status
    }

    fn containers(&self, pod: &Value, now: &str) -> Vec<Value> {
        let state = match (&self.waiting, self.phase) {
            (Some((reason, message)), _) => {
                json!({"waiting": {"reason": reason, "message": message}})
            }
            (None, "Succeeded") => {
                json!({"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": now}})
            }
            (None, _) => json!({"running": {"startedAt": now}}),
        };
        let containers = json::items(pod, "/spec/containers").iter();
        containers
            .map(|container| {
                json!({
                    "name": json::text(container, "/name"),
                    "image": json::text(container, "/image"),
                    "imageID": "",
                    "ready": self.ready,
                    "started": self.waiting.is_none(),
                    "restartCount": self.restarts,
                    "state": state,
                })
            })
            .collect()
    }
}
