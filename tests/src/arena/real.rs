//! The real control plane, which all scenarios of a run share: each has a namespace of its own.

use std::{
    collections::HashSet,
    sync::{LazyLock, PoisonError},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use http::Request;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
};
use portolan_test::{Images, Kubelet, KubeletConfig, NodeSpec, PodHandle, PodNetwork, Workloads, programs};
use tokio::{
    runtime::Runtime,
    sync::{Mutex, OnceCell},
};

use super::{Backend, eventually};
use crate::{
    access::{Account, Document},
    failure::{Failure, Result},
    real::{RealCluster, RealOptions},
};

/// Where Pods get their addresses: `cargo xtask real` makes the range local.
const POD_NETWORK: &str = "10.244.0.0/16";

/// The runtime of everything that outlives a scenario. The operating system ends what runs on it, and
/// the processes of the cluster with it (see `cargo xtask real`).
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build()
});

static SHARED: OnceCell<Shared> = OnceCell::const_new();

/// The cluster, and who plays the kubelet in it.
struct Shared {
    /// The lock is for stopping and starting the API server.
    cluster: Mutex<RealCluster>,
    client: Client,
    kubeconfig: String,
    kubelet: Kubelet,
}

/// A scenario's hold on the cluster. When it goes, the API server runs, whatever came of the scenario.
pub(super) struct Real {
    shared: &'static Shared,
}

pub(super) fn block_on<T>(story: impl Future<Output = Result<T>>) -> Result<T> {
    match &*RUNTIME {
        Ok(runtime) => runtime.block_on(story),
        Err(error) => Err(Failure::new(error)),
    }
}

impl Shared {
    async fn start() -> Result<Self> {
        let cluster = RealCluster::start(RealOptions::default()).await?;
        let images = Images::default();
        images.register("echo", programs::echo());
        let mut config = KubeletConfig::default();
        config.nodes = ["a", "b", "c"]
            .map(|zone| NodeSpec::new(format!("node-{zone}"), format!("zone-{zone}")))
            .into();
        let network = PodNetwork::range(POD_NETWORK)?;
        let kubelet = Kubelet::start_with(cluster.client(), network, images, config).await?;
        Ok(Self {
            client: cluster.client(),
            kubeconfig: cluster.kubeconfig(),
            cluster: Mutex::new(cluster),
            kubelet,
        })
    }
}

impl Real {
    pub(super) async fn share() -> Result<Self> {
        let shared = SHARED.get_or_try_init(Shared::start).await?;
        let real = Self { shared };
        // A scenario that failed may have left it stopped or paused.
        let mut cluster = shared.cluster.lock().await;
        cluster.resume_api().ok();
        cluster.start_api().await?;
        drop(cluster);
        Ok(real)
    }
}
