//! StatefulSets and Deployments.

use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::{Value, json};

use crate::client;
use crate::error::Error;
use crate::json;
use crate::kind::Kind;

use super::Workloads;
use super::wait::Wait;

/// A StatefulSet or Deployment to be made. Its Pods have the label `app` with its name, and run
/// the image `echo` unless another is given.
#[derive(Clone, Debug)]
#[must_use = "nothing is made until `create` is called"]
pub struct NewWorkload {
    workloads: Workloads,
    kind: Kind,
    namespace: String,
    name: String,
    image: String,
    ports: Vec<Value>,
    pre_stop: Option<Duration>,
    /// The whole object but for the container.
    object: Value,
}

impl NewWorkload {
    pub(super) fn new(
        workloads: Workloads,
        kind: Kind,
        namespace: &str,
        name: &str,
        replicas: u32,
    ) -> Self {
        let labels = json!({"app": name});
        let mut object = json!({
            "apiVersion": kind.resource().api_version(),
            "kind": kind.resource().kind,
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {}},
            },
        });
        if kind == Kind::StatefulSet {
            json::set(&mut object, &["spec", "serviceName"], name);
        }
        Self {
            workloads,
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            image: "echo".to_owned(),
            ports: Vec::new(),
            pre_stop: None,
            object,
        }
    }

    /// The image, which names the program that runs.
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.image = image.into();
        self
    }

    /// A container port.
    pub fn port(mut self, name: &str, number: u16) -> Self {
        self.ports
            .push(json!({"name": name, "containerPort": number}));
        self
    }

    /// A label of the Pods.
    pub fn label(self, key: &str, value: &str) -> Self {
        self.with(&["spec", "template", "metadata", "labels", key], value)
    }

    /// An annotation of the Pods; see [`kubelet`](crate::Kubelet) for those with an effect.
    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.with(&["spec", "template", "metadata", "annotations", key], value)
    }

    /// How long a Pod has between SIGTERM and its death, in whole seconds. Default: the cluster's.
    pub fn grace_period(self, grace: Duration) -> Self {
        let field = ["spec", "template", "spec", "terminationGracePeriodSeconds"];
        self.with(&field, grace.as_secs())
    }

    /// A pre-stop hook that sleeps, in whole seconds: the Pod goes on serving for so long after its
    /// deletion, as real Pods do, so that every client hears of it before SIGTERM comes.
    pub fn pre_stop(mut self, sleep: Duration) -> Self {
        self.pre_stop = Some(sleep);
        self
    }

    /// All Pods at once instead of one after the other (StatefulSet only).
    pub fn parallel(self) -> Self {
        self.with(&["spec", "podManagementPolicy"], "Parallel")
    }

    /// The governing Service (StatefulSet only). Default: the one of the same name.
    pub fn service_name(self, name: &str) -> Self {
        self.with(&["spec", "serviceName"], name)
    }

    /// Sets any field of the object.
    pub fn with(mut self, path: &[&str], value: impl Into<Value>) -> Self {
        json::set(&mut self.object, path, value);
        self
    }

    /// Makes it, and its namespace if need be.
    ///
    /// # Errors
    /// What the API says.
    pub async fn create(self) -> Result<Workload, Error> {
        let mut object = self.object;
        let mut container = json!({"name": "main", "image": self.image, "ports": self.ports});
        if let Some(sleep) = self.pre_stop {
            let hook = ["lifecycle", "preStop", "sleep", "seconds"];
            json::set(&mut container, &hook, sleep.as_secs());
        }
        json::set(
            &mut object,
            &["spec", "template", "spec", "containers"],
            json!([container]),
        );
        self.workloads.namespace(&self.namespace).await?;
        self.workloads.create(self.kind, object).await?;
        Ok(Workload {
            workloads: self.workloads,
            kind: self.kind,
            namespace: self.namespace,
            name: self.name,
        })
    }
}

/// A StatefulSet or Deployment that was made.
#[derive(Clone, Debug)]
pub struct Workload {
    workloads: Workloads,
    kind: Kind,
    namespace: String,
    name: String,
}

impl Workload {
    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks for another number of Pods.
    ///
    /// # Errors
    /// What the API says.
    pub async fn scale(&self, replicas: u32) -> Result<(), Error> {
        self.patch(json!({"spec": {"replicas": replicas}})).await
    }

    /// Starts a rolling restart, as `kubectl rollout restart` does.
    ///
    /// # Errors
    /// What the API says.
    pub async fn roll(&self) -> Result<(), Error> {
        // Unlike kubectl's, not a time: two rolls within a second are two rolls.
        let stamp = format!("{:016x}", fastrand::u64(..));
        self.patch(json!({"spec": {"template": {"metadata": {"annotations": {
            "kubectl.kubernetes.io/restartedAt": stamp,
        }}}}}))
        .await
    }

    /// Changes any part by a merge patch (RFC 7396).
    ///
    /// # Errors
    /// What the API says.
    pub async fn patch(&self, patch: Value) -> Result<(), Error> {
        client::api(&self.workloads.client, self.kind, &self.namespace)
            .patch(&self.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map(drop)
            .map_err(Error::api(format!("patch {self}")))
    }

    /// Deletes it; its Pods follow.
    ///
    /// # Errors
    /// What the API says.
    pub async fn delete(&self) -> Result<(), Error> {
        client::api(&self.workloads.client, self.kind, &self.namespace)
            .delete(&self.name, &DeleteParams::background())
            .await
            .map(drop)
            .map_err(Error::api(format!("delete {self}")))
    }

    /// Waits until there are exactly `replicas` Pods, all of the newest revision and ready.
    ///
    /// # Errors
    /// [`Error::Timeout`], with the last status seen.
    pub async fn wait_ready(&self, replicas: u32) -> Result<(), Error> {
        let wait = Wait {
            client: &self.workloads.client,
            kind: self.kind,
            namespace: &self.namespace,
            selection: watcher::Config::default().fields(&format!("metadata.name={}", self.name)),
            limit: self.workloads.patience,
            what: format!("{replicas} ready Pods of {self}"),
        };
        wait.until(|objects| {
            let object = objects.get(&self.name).ok_or("it does not exist")?;
            check_ready(object, i64::from(replicas))
        })
        .await
    }
}

fn check_ready(workload: &Value, replicas: i64) -> Result<(), String> {
    let number = |field| json::integer(workload, &format!("/status/{field}")).unwrap_or(0);
    // Below the partition, Pods stay at the old revision.
    let partition = "/spec/updateStrategy/rollingUpdate/partition";
    let partition = json::integer(workload, partition).unwrap_or(0);
    let generation = json::integer(workload, "/metadata/generation").unwrap_or(0);
    let there = number("observedGeneration") >= generation
        && number("replicas") == replicas
        && number("readyReplicas") == replicas
        && number("updatedReplicas") >= replicas - partition;
    if there {
        return Ok(());
    }
    let status = workload.get("status").unwrap_or(&Value::Null);
    Err(format!("generation {generation}, status {status}"))
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
