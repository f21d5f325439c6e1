//! Services.

use std::net::IpAddr;

use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::{Value, json};

use crate::client;
use crate::error::Error;
use crate::json;
use crate::kind::Kind;

use super::Workloads;
use super::wait::{Objects, Wait};

/// A Service to be made. It selects the Pods with the label `app` of its own name unless told
/// otherwise.
#[derive(Clone, Debug)]
#[must_use = "nothing is made until `create` is called"]
pub struct NewService {
    workloads: Workloads,
    namespace: String,
    name: String,
    ports: Vec<Value>,
    selector: Option<Value>,
    object: Value,
}

impl NewService {
    pub(super) fn new(workloads: Workloads, namespace: &str, name: &str) -> Self {
        Self {
            workloads,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ports: Vec::new(),
            selector: Some(json!({"app": name})),
            object: json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {},
            }),
        }
    }

    /// Without a virtual address: `clusterIP: None`.
    pub fn headless(self) -> Self {
        self.with(&["spec", "clusterIP"], "None")
    }

    /// Of type NodePort: besides, at a port of each Node.
    pub fn node_port(self) -> Self {
        self.with(&["spec", "type"], "NodePort")
    }

    /// Of type LoadBalancer. It is pending until [`ServiceHandle::set_ingress`] is called.
    pub fn load_balancer(self) -> Self {
        self.with(&["spec", "type"], "LoadBalancer")
    }

    /// Of type ExternalName: another name for `host` in DNS, and nothing else.
    pub fn external_name(self, host: &str) -> Self {
        self.with(&["spec", "type"], "ExternalName")
            .with(&["spec", "externalName"], host)
            .without_selector()
    }

    /// A port whose target has the same number.
    pub fn port(self, name: &str, number: u16) -> Self {
        self.port_to(name, number, number)
    }

    /// A port and its target: a number, or the name of a container port.
    pub fn port_to(mut self, name: &str, number: u16, target: impl Into<Value>) -> Self {
        let target: Value = target.into();
        self.ports
            .push(json!({"name": name, "port": number, "targetPort": target}));
        self
    }

    /// Selects the Pods whose `app` label is `app`.
    pub fn selecting(mut self, app: &str) -> Self {
        self.selector = Some(json!({"app": app}));
        self
    }

    /// Selects nothing: its slices are made by hand.
    pub fn without_selector(mut self) -> Self {
        self.selector = None;
        self
    }

    /// Lists endpoints as ready whatever their Pods say.
    pub fn publish_not_ready(self) -> Self {
        self.with(&["spec", "publishNotReadyAddresses"], true)
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
    pub async fn create(self) -> Result<ServiceHandle, Error> {
        let mut object = self.object;
        if !self.ports.is_empty() {
            json::set(&mut object, &["spec", "ports"], self.ports);
        }
        if let Some(selector) = self.selector {
            json::set(&mut object, &["spec", "selector"], selector);
        }
        self.workloads.namespace(&self.namespace).await?;
        self.workloads.create(Kind::Service, object).await?;
        Ok(ServiceHandle {
            workloads: self.workloads,
            namespace: self.namespace,
            name: self.name,
        })
    }
}

/// A Service that was made.
#[derive(Clone, Debug)]
pub struct ServiceHandle {
    workloads: Workloads,
    namespace: String,
    name: String,
}

impl ServiceHandle {
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

    /// Gives its load balancer these addresses or host names, and takes away those it had.
    ///
    /// # Errors
    /// What the API says.
    pub async fn set_ingress(&self, places: &[&str]) -> Result<(), Error> {
        let ingress = |place: &&str| match place.parse::<IpAddr>() {
            Ok(ip) => json!({"ip": ip, "ipMode": "VIP"}),
            Err(_) => json!({"hostname": place}),
        };
        let ingress: Vec<Value> = places.iter().map(ingress).collect();
        let patch = Patch::Merge(json!({"status": {"loadBalancer": {"ingress": ingress}}}));
        let (namespace, name) = (&self.namespace, &self.name);
        client::api(&self.workloads.client, Kind::Service, namespace)
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .map(drop)
            .map_err(Error::api(format!(
                "patch the status of Service {namespace}/{name}"
            )))
    }

    /// Changes it by a merge patch (RFC 7386), and gives it back as it is then.
    ///
    /// # Errors
    /// What the API says.
    pub async fn patch(&self, patch: Value) -> Result<Value, Error> {
        let (namespace, name) = (&self.namespace, &self.name);
        let patched = client::api(&self.workloads.client, Kind::Service, namespace)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(Error::api(format!("patch Service {namespace}/{name}")))?;
        Ok(client::to_json(&patched))
    }

    /// Deletes it; its slices follow.
    ///
    /// # Errors
    /// What the API says.
    pub async fn delete(&self) -> Result<(), Error> {
        let (namespace, name) = (&self.namespace, &self.name);
        client::api(&self.workloads.client, Kind::Service, namespace)
            .delete(name, &DeleteParams::background())
            .await
            .map(drop)
            .map_err(Error::api(format!("delete Service {namespace}/{name}")))
    }

    /// Waits until the Service's slices list exactly `ready` endpoints that are ready, and no
    /// others.
    ///
    /// # Errors
    /// [`Error::Timeout`], with the endpoints last seen.
    pub async fn wait_endpoints(&self, ready: usize) -> Result<(), Error> {
        let (namespace, name) = (&self.namespace, &self.name);
        let label = format!("kubernetes.io/service-name={name}");
        let wait = Wait {
            client: &self.workloads.client,
            kind: Kind::EndpointSlice,
            namespace,
            selection: watcher::Config::default().labels(&label),
            limit: self.workloads.patience,
            what: format!("{ready} ready endpoints of Service {namespace}/{name}"),
        };
        wait.until(|slices| check_endpoints(slices, ready)).await
    }
}

fn check_endpoints(slices: &Objects, wanted: usize) -> Result<(), String> {
    let endpoints: Vec<&Value> = slices
        .values()
        .flat_map(|slice| json::items(slice, "/endpoints"))
        .collect();
    let ready = endpoints
        .iter()
        .filter(|e| json::flag(e, "/conditions/ready"))
        .count();
    if ready == wanted && endpoints.len() == wanted {
        return Ok(());
    }
    let all: Vec<String> = endpoints
        .iter()
        .map(|endpoint| {
            let pod = json::text(endpoint, "/targetRef/name");
            let conditions = endpoint.get("conditions").unwrap_or(&Value::Null);
            format!("{pod} {conditions}")
        })
        .collect();
    Err(format!("{} slices with [{}]", slices.len(), all.join(", ")))
}
