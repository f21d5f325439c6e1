//! Setting the stage in few words: namespaces, workloads, Services.
//!
//! Everything goes through a `kube::Client`, so the same lines set up a real cluster.

mod service;
mod wait;
mod workload;

use std::time::Duration;

use kube::Client;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::client;
use crate::error::Error;
use crate::json;
use crate::kind::Kind;

pub use self::service::{NewService, ServiceHandle};
pub use self::workload::{NewWorkload, Workload};

/// Makes workloads and Services through a client.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use portolan_test::{TestCluster, Workloads};
///
/// let cluster = TestCluster::start().await?;
/// let workloads = Workloads::new(cluster.client()); // any client, of any cluster
/// let service = workloads.service("shop", "db").headless().port("http", 8080).create().await?;
/// let db = workloads.stateful_set("shop", "db", 3).port("http", 8080).create().await?;
/// db.wait_ready(3).await?;
/// db.scale(1).await?;
/// service.wait_endpoints(1).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Workloads {
    client: Client,
    patience: Duration,
}

impl Workloads {
    /// Works through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            patience: Duration::from_secs(60),
        }
    }

    /// How long waits last before they fail. Default: 60 s of tokio's time.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// A StatefulSet to be made.
    pub fn stateful_set(&self, namespace: &str, name: &str, replicas: u32) -> NewWorkload {
        NewWorkload::new(self.clone(), Kind::StatefulSet, namespace, name, replicas)
    }

    /// A Deployment to be made.
    pub fn deployment(&self, namespace: &str, name: &str, replicas: u32) -> NewWorkload {
        NewWorkload::new(self.clone(), Kind::Deployment, namespace, name, replicas)
    }

    /// A Service to be made.
    pub fn service(&self, namespace: &str, name: &str) -> NewService {
        NewService::new(self.clone(), namespace, name)
    }

    /// Makes a namespace, unless it is there.
    ///
    /// # Errors
    /// What the API says.
    pub async fn namespace(&self, name: &str) -> Result<(), Error> {
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
        });
        match self.create(Kind::Namespace, object).await {
            Err(Error::Api { source, .. }) if client::is_there_already(&source) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Creates an object, and gives it back as the server made it.
    async fn create(&self, kind: Kind, object: Value) -> Result<Value, Error> {
        let namespace = json::text(&object, "/metadata/namespace").to_owned();
        let name = json::text(&object, "/metadata/name").to_owned();
        let action = || Error::api(format!("create {kind} {namespace}/{name}"));
        let object = client::from_json(object).map_err(action())?;
        let created = client::api(&self.client, kind, &namespace)
            .create(&PostParams::default(), &object)
            .await
            .map_err(action())?;
        Ok(client::to_json(&created))
    }
}

impl std::fmt::Debug for Workloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workloads")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
