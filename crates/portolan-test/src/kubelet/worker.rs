//! The life of one Pod, from its node to its grave.

use std::sync::Arc;
use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client;
use crate::json;
use crate::kind::Kind;

use super::Shared;
use super::sandbox::{Failure, Running, Sandbox};
use super::status::PodState;

/// The annotation that makes the readiness probe fail.
const READY: &str = "portolan.test/ready";
/// The annotation that makes the readiness probe fail for a while.
const READY_AFTER: &str = "portolan.test/ready-after";
/// The pause between two attempts to tell the API something.
const RETRY: Duration = Duration::from_millis(250);

/// Looks after one Pod.
pub(super) struct Worker {
    shared: Arc<Shared>,
    latest: watch::Receiver<Arc<Value>>,
    namespace: String,
    name: String,
    uid: String,
    told: Option<PodState>,
}

/// How a run of the containers ended.
enum End {
    /// The Pod is being deleted.
    Deleted,
    /// A container ended by itself or was killed.
    Crashed,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, latest: watch::Receiver<Arc<Value>>) -> Self {
        let pod = Arc::clone(&latest.borrow());
        let text = |pointer| json::text(&pod, pointer).to_owned();
        Self {
            shared,
            latest,
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            told: None,
        }
    }

    /// The whole life of the Pod.
    pub(super) async fn run(mut self) {
        if !is_deleted(&self.pod()) {
            self.live().await;
        }
        self.deleted().await;
        self.bury().await;
    }

    /// From binding to the end of the last container. Returns early if the Pod cannot run.
    async fn live(&mut self) {
        let bound = json::text(&self.pod(), "/spec/nodeName").to_owned();
        let Some(assignment) = self.shared.nodes.assign(&bound) else {
            tracing::warn!(pod = self.name, "there is no node for this Pod");
            return;
        };
        if bound.is_empty() {
            self.bind(&assignment.node).await;
        }
        // The sandbox wants the Pod as it is with its node.
        let scheduled =
            |pod: &Arc<Value>| is_deleted(pod) || !json::text(pod, "/spec/nodeName").is_empty();
        let vanished = self.latest.wait_for(scheduled).await.is_err();
        if vanished || is_deleted(&self.pod()) {
            return;
        }
        if matches!(
            json::text(&self.pod(), "/status/phase"),
            "Succeeded" | "Failed"
        ) {
            return;
        }
        let sandbox = match Sandbox::new(&self.shared, &self.pod()) {
            Ok(sandbox) => sandbox,
            Err(failure) => return self.give_up(failure).await,
        };
        let mut restarts = 0;
        loop {
            let running = match sandbox.start(restarts) {
                Ok(running) => running,
                Err(error) => return self.give_up(Failure::Network(error)).await,
            };
            match self.attend(&sandbox, running, restarts).await {
                End::Deleted => break,
                End::Crashed => sandbox.stop(),
            }
            restarts += 1;
            let message = "back-off restarting failed container".to_owned();
            let crashed = PodState::waiting("Running", restarts, "CrashLoopBackOff", message);
            self.tell(Some(&sandbox), crashed).await;
            tokio::select! {
                () = tokio::time::sleep(self.shared.restart_backoff) => {}
                () = self.deleted() => break,
            }
        }
        sandbox.stop();
        self.tell(Some(&sandbox), PodState::completed(restarts))
            .await;
    }

    /// Watches over running containers and keeps the status true.
    async fn attend(&mut self, sandbox: &Sandbox, mut running: Running, restarts: u32) -> End {
        let delay = json::annotation(&self.pod(), READY_AFTER).and_then(parse_duration);
        let probe_passes_at = Instant::now() + delay.unwrap_or_default();
        let mut probe = sandbox.handle.probe.subscribe();
        let mut kills = sandbox.handle.kills.subscribe();
        loop {
            let pod = self.latest.borrow_and_update().clone();
            if is_deleted(&pod) {
                self.terminate(&pod, running, &mut kills).await;
                return End::Deleted;
            }
            let early = Instant::now() < probe_passes_at;
            let ready = !early
                && *probe.borrow_and_update()
                && json::annotation(&pod, READY) != Some("false")
                && running.ready.borrow_and_update().iter().all(|ready| *ready);
            self.tell(Some(sandbox), PodState::running(ready, restarts))
                .await;
            tokio::select! {
                _ = self.latest.changed() => {}
                _ = probe.changed() => {}
                _ = running.ready.changed() => {}
                () = tokio::time::sleep_until(probe_passes_at), if early => {}
                _ = kills.changed() => return End::Crashed,
                Some(_) = running.tasks.join_next() => return End::Crashed,
            }
        }
    }

    /// The pre-stop hook, SIGTERM, and the wait until the programs are done, all within the grace
    /// period.
    async fn terminate(&self, pod: &Value, mut running: Running, kills: &mut watch::Receiver<u64>) {
        let grace = seconds(pod, "/metadata/deletionGracePeriodSeconds").unwrap_or_default();
        let pause = json::items(pod, "/spec/containers")
            .iter()
            .filter_map(|container| seconds(container, "/lifecycle/preStop/sleep/seconds"))
            .max();
        let orderly = async {
            tokio::time::sleep(pause.unwrap_or_default()).await;
            running.terminating.send_replace(true);
            while running.tasks.join_next().await.is_some() {}
        };
        tokio::select! {
            () = orderly => {}
            () = tokio::time::sleep(grace) => {
                tracing::debug!(pod = self.name, "killed at the end of its grace period");
            }
            _ = kills.changed() => {}
        }
    }

    /// Tells why the Pod does not run; then it only waits for its end.
    async fn give_up(&mut self, failure: Failure) {
        let (why, message) = match failure {
            Failure::Image(image) => ("ErrImagePull", format!("no program for image {image:?}")),
            Failure::Network(error) => ("RunContainerError", error.to_string()),
        };
        tracing::warn!(pod = self.name, why, message, "cannot run this Pod");
        self.tell(None, PodState::waiting("Pending", 0, why, message))
            .await;
    }

    /// Waits until the Pod is being deleted.
    async fn deleted(&mut self) {
        if self.latest.wait_for(|pod| is_deleted(pod)).await.is_err() {
            // The kubelet is gone, and this task with it.
            futures::future::pending().await
        }
    }

    async fn bind(&self, node: &str) {
        let (namespace, name) = (&self.namespace, &self.name);
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/binding");
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": self.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        self.persist("bind", || {
            let request = http::Request::post(&path)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(binding.to_string().into_bytes());
            async {
                let request = request.map_err(kube::Error::HttpError)?;
                self.shared.client.request::<Value>(request).await
            }
        })
        .await;
    }

    /// Patches the status, if there is something new.
    async fn tell(&mut self, sandbox: Option<&Sandbox>, state: PodState) {
        if self.told.as_ref() == Some(&state) {
            return;
        }
        let ips = sandbox.map(Sandbox::ips).unwrap_or_default();
        let now = self.shared.clock.stamp();
        let status = state.to_json(&self.pod(), &ips, &now);
        // With the UID, it cannot hit a successor of the same name.
        let patch = Patch::Merge(json!({"metadata": {"uid": self.uid}, "status": status}));
        let pods = client::api(&self.shared.client, Kind::Pod, &self.namespace);
        let params = PatchParams::default();
        self.persist("patch", || pods.patch_status(&self.name, &params, &patch))
            .await;
        self.told = Some(state);
    }

    /// Ends the graceful deletion.
    async fn bury(&self) {
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: Some(self.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let pods = client::api(&self.shared.client, Kind::Pod, &self.namespace);
        self.persist("delete", || pods.delete(&self.name, &params))
            .await;
    }

    /// Repeats a request until the API takes it, or says that the Pod is gone.
    async fn persist<T, F>(&self, action: &str, request: impl Fn() -> F)
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        loop {
            match request().await {
                Ok(_) => return,
                Err(error) if client::is_gone(&error) => return,
                Err(error) => {
                    tracing::warn!(pod = self.name, action, %error, "the kubelet tries again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn pod(&self) -> Arc<Value> {
        Arc::clone(&self.latest.borrow())
    }
}

fn is_deleted(pod: &Value) -> bool {
    !json::text(pod, "/metadata/deletionTimestamp").is_empty()
}

fn seconds(value: &Value, pointer: &str) -> Option<Duration> {
    let seconds = u64::try_from(json::integer(value, pointer)?).ok()?;
    Some(Duration::from_secs(seconds))
}

/// `1500ms` or `2s`.
fn parse_duration(text: &str) -> Option<Duration> {
    if let Some(milliseconds) = text.strip_suffix("ms") {
        return Some(Duration::from_millis(milliseconds.parse().ok()?));
    }
    Some(Duration::from_secs(text.strip_suffix('s')?.parse().ok()?))
}
