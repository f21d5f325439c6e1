//! How a cluster differs from the default one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::api::ApiServer;
use crate::api::access::{Access, User};
use crate::api::defaults::Defaults;
use crate::api::services::ServiceRange;
use crate::api::watch::WatchConfig;
use crate::clock::Clock;
use crate::controllers::Controllers;
use crate::error::Error;
use crate::faults::Faults;
use crate::kind::Kind;
use crate::kubelet::{Kubelet, KubeletConfig, NodeSpec, PodNetwork};
use crate::programs::{Images, Program, echo};
use crate::proxy::Proxy;
use crate::requests::Requests;
use crate::store::Store;

use super::{TestCluster, internal_client};

/// Describes a [`TestCluster`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use portolan_test::TestCluster;
///
/// let cluster = TestCluster::builder()
///     .zones(&["a", "b"])
///     .history(100)
///     .bookmark_interval(Duration::from_secs(5))
///     .streaming_lists(false)
///     .start()
///     .await?;
/// # drop(cluster);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing starts until `start` is called"]
pub struct TestClusterBuilder {
    nodes: Vec<NodeSpec>,
    grace_period: Duration,
    restart_backoff: Duration,
    bookmark_interval: Duration,
    history: usize,
    streaming_lists: bool,
    gone_as_status: bool,
    endpoints_per_slice: usize,
    controller_delay: Duration,
    seed: Option<u64>,
    images: Images,
    network: Option<PodNetwork>,
    kubelet: bool,
    kube_proxy: bool,
}

impl Default for TestClusterBuilder {
    fn default() -> Self {
        let images = Images::default();
        images.register("echo", echo());
        Self {
            nodes: nodes(&["zone-a", "zone-b", "zone-c"]),
            grace_period: Duration::from_secs(30),
            restart_backoff: Duration::from_secs(1),
            bookmark_interval: Duration::from_secs(60),
            history: 10_000,
            streaming_lists: true,
            gone_as_status: false,
            endpoints_per_slice: 100,
            controller_delay: Duration::ZERO,
            seed: None,
            images,
            network: None,
            kubelet: true,
            kube_proxy: false,
        }
    }
}

/// One node in each zone: `node-0`, `node-1` …
fn nodes(zones: &[&str]) -> Vec<NodeSpec> {
    let zones = zones.iter().enumerate();
    zones
        .map(|(number, zone)| NodeSpec::new(format!("node-{number}"), *zone))
        .collect()
}

impl TestClusterBuilder {
    /// One node (`node-0`, `node-1` …) in each of these zones; a zone may come twice. Default:
    /// `zone-a`, `zone-b`, `zone-c`.
    pub fn zones(mut self, zones: &[&str]) -> Self {
        self.nodes = nodes(zones);
        self
    }

    /// The grace period of Pods that name none, in whole seconds. Default: 30 s, as in Kubernetes.
    pub fn grace_period(mut self, grace: Duration) -> Self {
        self.grace_period = grace;
        self
    }

    /// How long a killed container waits before it is started again. Default: 1 s.
    pub fn restart_backoff(mut self, backoff: Duration) -> Self {
        self.restart_backoff = backoff;
        self
    }

    /// How often watches get a bookmark. Default: 60 s, as in Kubernetes.
    pub fn bookmark_interval(mut self, interval: Duration) -> Self {
        self.bookmark_interval = interval;
        self
    }

    /// How many events of each kind are remembered before a resume gets `410 Gone`. Default:
    /// 10,000.
    pub fn history(mut self, events: usize) -> Self {
        self.history = events;
        self
    }

    /// Whether the server has streaming lists (`sendInitialEvents`). Default: yes, as Kubernetes
    /// since 1.34; without, they are refused.
    pub fn streaming_lists(mut self, on: bool) -> Self {
        self.streaming_lists = on;
        self
    }

    /// Whether a watch from too old a version is refused by HTTP 410 instead of an ERROR event in a
    /// stream with HTTP 200. Default: no, as Kubernetes with its watch cache.
    pub fn gone_as_status(mut self, on: bool) -> Self {
        self.gone_as_status = on;
        self
    }

    /// How many endpoints a slice holds at most. Default: 100, as in Kubernetes.
    pub fn endpoints_per_slice(mut self, limit: usize) -> Self {
        self.endpoints_per_slice = limit;
        self
    }

    /// How long the controllers sleep on every change: the lag of a busy control plane. Default:
    /// none.
    pub fn controller_delay(mut self, delay: Duration) -> Self {
        self.controller_delay = delay;
        self
    }

    /// The seed of generated names and UIDs. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The program of an image.
    pub fn image(self, name: &str, program: impl Program) -> Self {
        self.images.register(name, program);
        self
    }

    /// Where Pods get their addresses. Default: [`PodNetwork::loopback`].
    pub fn pod_network(mut self, network: PodNetwork) -> Self {
        self.network = Some(network);
        self
    }

    /// No kubelet: Pods stay Pending unless the test writes their status.
    pub fn without_kubelet(mut self) -> Self {
        self.kubelet = false;
        self
    }

    /// Plays kube-proxy: Services get virtual IPs on loopback, and whoever connects to one of them, to a node
    /// port, or to a load balancer's address on loopback, is connected to a Pod that is ready. Default: no, as
    /// it takes a socket for each of them.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use portolan_test::TestCluster;
    ///
    /// let cluster = TestCluster::builder().kube_proxy().start().await?;
    /// let service = cluster.service("shop", "db").port("http", 8080).load_balancer().create().await?;
    /// service.set_ingress(&[&cluster.spare_address()?.to_string()]).await?;
    /// # Ok(()) }
    /// ```
    pub fn kube_proxy(mut self) -> Self {
        self.kube_proxy = true;
        self
    }

    /// Starts the cluster.
    ///
    /// # Errors
    /// Only from the machine's lack of something.
    pub async fn start(self) -> Result<TestCluster, Error> {
        let random = self
            .seed
            .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let store = Arc::new(Store::new(Clock::start(), self.history, random));
        let defaults = Defaults {
            grace_seconds: self.grace_period.as_secs(),
            services: if self.kube_proxy {
                ServiceRange::loopback()
            } else {
                ServiceRange::FICTITIOUS
            },
        };
        for name in ["default", "kube-system"] {
            let mut namespace = json!({"metadata": {"name": name}});
            defaults.fill_in(Kind::Namespace, &mut namespace);
            if let Err(error) = store.create(Kind::Namespace, "", namespace) {
                tracing::warn!(%error, name, "cannot make a namespace");
            }
        }
        let api = Arc::new(ApiServer {
            store: Arc::clone(&store),
            access: Access::default(),
            faults: Faults::new(Arc::clone(&store)),
            requests: Requests::default(),
            defaults,
            watches: WatchConfig {
                bookmark_interval: self.bookmark_interval,
                streaming_lists: self.streaming_lists,
                gone_as_status: self.gone_as_status,
            },
        });
        let controllers = Controllers {
            store,
            defaults,
            endpoints_per_slice: self.endpoints_per_slice,
            delay: self.controller_delay,
        };
        let mut tasks = JoinSet::new();
        if self.kube_proxy {
            tasks.spawn(Proxy::new(Arc::clone(&controllers.store)).run());
        }
        tasks.spawn(controllers.run());
        let client = internal_client(&api);
        let network = self.network.unwrap_or_else(PodNetwork::loopback);
        let spare = network.clone();
        let config = KubeletConfig {
            nodes: self.nodes,
            restart_backoff: self.restart_backoff,
            ..KubeletConfig::default()
        };
        let images = self.images.clone();
        // Its nodes are made even if nobody runs Pods on them.
        let kubelet = Kubelet::start_with(client, network, images, config).await?;
        Ok(TestCluster {
            admin: api.access.sign_in(Arc::new(User::admin("admin"))),
            api,
            images: self.images,
            network: spare,
            held: std::sync::Mutex::default(),
            kubelet: self.kubelet.then_some(kubelet),
            tasks: tasks.into(),
        })
    }
}
