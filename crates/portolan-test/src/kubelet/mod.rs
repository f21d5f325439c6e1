//! The kubelet (and scheduler): binds Pods to nodes and runs their containers.
//!
//! It works through a `kube::Client` alone, so it serves a real API server as well as the embedded
//! one. A Pod gets an address of its own from a [`PodNetwork`], its containers run as
//! [programs](crate::programs) on real TCP ports, its status tells the truth, and on deletion it
//! gets SIGTERM, its grace period, and an end.
//!
//! Annotations of a Pod direct it:
//! - `portolan.test/ready: "false"`: the readiness probe fails for as long as it stands there;
//! - `portolan.test/ready-after: "1500ms"` (or `s`): the probe fails that long after a start;
//! - `portolan.test/ip: "127.9.9.9"`: the Pod gets this address, even if another one had it.

mod network;
mod node;
mod sandbox;
mod status;
mod worker;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::client;
use crate::clock::Clock;
use crate::error::Error;
use crate::json;
use crate::kind::Kind;
use crate::pod::PodHandle;
use crate::programs::Images;

pub(crate) use self::network::PodAddress;
pub use self::network::PodNetwork;
pub use self::node::NodeSpec;
pub(crate) use self::node::ZONE_LABEL;

use self::node::Nodes;
use self::worker::Worker;

/// How a [`Kubelet`] works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KubeletConfig {
    /// Nodes to make if they are missing. Default: none; Pods go to the nodes there are.
    pub nodes: Vec<NodeSpec>,
    /// How long a killed container waits before it is started again. Default: 1 s.
    pub restart_backoff: Duration,
    /// After how long without a word its watch of the Pods is made anew, with a list. Default: never. A real API server that
    /// was killed and started again may leave a watch without an answer for ever, and kube's watcher waits for it.
    pub patience: Option<Duration>,
}

impl Default for KubeletConfig {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            restart_backoff: Duration::from_secs(1),
            patience: None,
        }
    }
}

/// Runs the Pods of a cluster. Dropping it kills them all.
#[derive(Debug)]
pub struct Kubelet {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// What the workers share.
struct Shared {
    client: Client,
    network: PodNetwork,
    images: Images,
    nodes: Arc<Nodes>,
    clock: Clock,
    restart_backoff: Duration,
    pods: Mutex<HashMap<(String, String), PodHandle>>,
}

impl Kubelet {
    /// Starts to run the Pods of the cluster behind `client`, on the nodes that it has.
    ///
    /// # Errors
    /// If the API refuses to list Nodes.
    pub async fn start(client: Client, network: PodNetwork, images: Images) -> Result<Self, Error> {
        Self::start_with(client, network, images, KubeletConfig::default()).await
    }

    /// Starts with a configuration.
    ///
    /// # Errors
    /// If the API refuses to list or create Nodes.
    pub async fn start_with(
        client: Client,
        network: PodNetwork,
        images: Images,
        config: KubeletConfig,
    ) -> Result<Self, Error> {
        let nodes = Nodes::prepare(&client, &network, &config.nodes).await?;
        let shared = Arc::new(Shared {
            client,
            network,
            images,
            nodes: Arc::new(nodes),
            clock: Clock::start(),
            restart_backoff: config.restart_backoff,
            pods: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(Arc::clone(&shared), config.patience));
        Ok(Self {
            shared,
            _tasks: tasks,
        })
    }

    /// The running Pod of that name.
    ///
    /// # Errors
    /// [`Error::NoSuchPod`] if its containers do not run here (yet, or any more).
    pub fn pod(&self, namespace: &str, name: &str) -> Result<PodHandle, Error> {
        let pods = self.shared.pods();
        let key = (namespace.to_owned(), name.to_owned());
        pods.get(&key).cloned().ok_or_else(|| {
            let mut running: Vec<_> = pods.keys().map(|(ns, pod)| format!("{ns}/{pod}")).collect();
            running.sort();
            Error::NoSuchPod {
                namespace: key.0,
                name: key.1,
                running,
            }
        })
    }

    /// All running Pods, by namespace and name.
    #[must_use]
    pub fn pods(&self) -> Vec<PodHandle> {
        let pods = self.shared.pods();
        let mut pods: Vec<_> = pods.values().cloned().collect();
        pods.sort_by(|a, b| (a.namespace(), a.name()).cmp(&(b.namespace(), b.name())));
        pods
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("network", &self.network)
            .field("pods", &self.pods().len())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn pods(&self) -> MutexGuard<'_, HashMap<(String, String), PodHandle>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, handle: PodHandle) {
        let key = (handle.namespace().to_owned(), handle.name().to_owned());
        self.pods().insert(key, handle);
    }

    fn withdraw(&self, handle: &PodHandle) {
        let key = (handle.namespace().to_owned(), handle.name().to_owned());
        let mut pods = self.pods();
        // A successor of the same name may be there already.
        if pods
            .get(&key)
            .is_some_and(|other| other.uid() == handle.uid())
        {
            pods.remove(&key);
        }
    }
}

/// Follows the Pods and keeps a worker for each, by UID.
async fn follow(shared: Arc<Shared>, patience: Option<Duration>) {
    let watch = || {
        let pods = client::api(&shared.client, Kind::Pod, "");
        watcher::watcher(pods, watcher::Config::default())
            .default_backoff()
            .boxed()
    };
    let mut events = watch();
    let mut workers = Workers::default();
    let mut listed = HashSet::new();
    loop {
        let next = match patience {
            Some(patience) => tokio::time::timeout(patience, events.next()).await,
            None => Ok(events.next().await),
        };
        let Ok(next) = next else {
            events = watch();
            continue;
        };
        let Some(event) = next else {
            return;
        };
        match event {
            Ok(Event::Apply(pod)) => {
                workers.update(&shared, client::to_json(&pod));
            }
            Ok(Event::Delete(pod)) => workers.remove(&pod.metadata.uid.unwrap_or_default()),
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(pod)) => {
                listed.insert(workers.update(&shared, client::to_json(&pod)));
            }
            Ok(Event::InitDone) => workers.retain(&listed),
            Err(error) => tracing::warn!(%error, "the kubelet cannot follow the Pods"),
        }
    }
}

/// The workers by the UID of their Pod.
#[derive(Default)]
struct Workers {
    by_uid: HashMap<String, (watch::Sender<Arc<Value>>, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl Workers {
    /// Tells the Pod's worker of its new state, and gives the UID.
    fn update(&mut self, shared: &Arc<Shared>, pod: Value) -> String {
        while self.tasks.try_join_next().is_some() {}
        let uid = json::text(&pod, "/metadata/uid").to_owned();
        let pod = Arc::new(pod);
        if let Some((latest, _)) = self.by_uid.get(&uid) {
            latest.send_replace(pod);
            return uid;
        }
        let (latest, follow) = watch::channel(pod);
        let task = self
            .tasks
            .spawn(Worker::new(Arc::clone(shared), follow).run());
        self.by_uid.insert(uid.clone(), (latest, task));
        uid
    }

    fn remove(&mut self, uid: &str) {
        if let Some((_, task)) = self.by_uid.remove(uid) {
            task.abort();
        }
    }

    fn retain(&mut self, listed: &HashSet<String>) {
        self.by_uid.retain(|uid, (_, task)| {
            let kept = listed.contains(uid);
            if !kept {
                task.abort();
            }
            kept
        });
    }
}
