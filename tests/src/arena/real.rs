//! The real control plane, which all scenarios of a run share: each has a namespace of its own.

use std::{
    net::{Ipv6Addr, SocketAddr},
    sync::LazyLock,
    time::Duration,
};

use futures::{FutureExt, future::LocalBoxFuture};
use http::{Request, header::CONTENT_TYPE};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use portolan_test::{
    Images, Kubelet, KubeletConfig, NodeSpec, PodHandle, PodNetwork, Workloads, programs,
};
use serde_json::Value;
use tokio::{
    runtime::Runtime,
    sync::{Mutex, OnceCell},
};

use super::{Backend, eventually};
use crate::{
    access::{Account, Document},
    failure::{Failure, Result},
    key_value,
    real::{RealCluster, RealOptions},
};

/// Where Pods get their addresses: `cargo xtask real` makes the range local.
const POD_NETWORK: &str = "10.244.0.0/16";
/// And their second addresses, where the machine has IPv6.
const POD_NETWORK_V6: &str = "fd00:10:244::/64";
/// An address of that range that no Pod has.
const PROBE_V6: (Ipv6Addr, u16) = (Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 1, 0, 0, 1), 0);

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
    dual_stack: bool,
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
        images.register(key_value::IMAGE, key_value::program());
        let mut config = KubeletConfig::default();
        config.patience = Some(Duration::from_secs(5));
        config.nodes = ["a", "b", "c"]
            .map(|zone| NodeSpec::new(format!("node-{zone}"), format!("zone-{zone}")))
            .into();
        let mut network = PodNetwork::range(POD_NETWORK)?;
        let dual_stack = std::net::TcpListener::bind(PROBE_V6).is_ok();
        if dual_stack {
            network = network.with_ipv6(POD_NETWORK_V6)?;
        }
        let kubelet = Kubelet::start_with(cluster.client(), network, images, config).await?;
        Ok(Self {
            client: cluster.client(),
            kubeconfig: cluster.kubeconfig(),
            cluster: Mutex::new(cluster),
            kubelet,
            dual_stack,
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
        cluster.resume_dns().ok();
        cluster.start_api().await?;
        drop(cluster);
        Ok(real)
    }
}

impl Backend for Real {
    fn client(&self) -> Client {
        self.shared.client.clone()
    }

    fn workloads(&self) -> Workloads {
        Workloads::new(self.client())
    }

    fn kubeconfig(&self) -> String {
        self.shared.kubeconfig.clone()
    }

    fn pod(&self, namespace: &str, name: &str) -> Result<PodHandle> {
        Ok(self.shared.kubelet.pod(namespace, name)?)
    }

    fn pods(&self) -> Vec<PodHandle> {
        self.shared.kubelet.pods()
    }

    fn is_dual_stack(&self) -> bool {
        self.shared.dual_stack
    }

    fn stop_api(&self) -> LocalBoxFuture<'_, Result> {
        async { Ok(self.shared.cluster.lock().await.stop_api().await?) }.boxed_local()
    }

    fn start_api(&self) -> LocalBoxFuture<'_, Result> {
        async { Ok(self.shared.cluster.lock().await.start_api().await?) }.boxed_local()
    }

    fn pause_api(&self) -> LocalBoxFuture<'_, Result> {
        async { Ok(self.shared.cluster.lock().await.pause_api()?) }.boxed_local()
    }

    fn resume_api(&self) -> LocalBoxFuture<'_, Result> {
        async { Ok(self.shared.cluster.lock().await.resume_api()?) }.boxed_local()
    }

    fn forget_history(&self) -> LocalBoxFuture<'_, Result> {
        // What it has not in its cache of events when it starts, it does not know.
        async {
            self.stop_api().await?;
            self.start_api().await
        }
        .boxed_local()
    }

    fn nameserver(&self) -> LocalBoxFuture<'_, Result<SocketAddr>> {
        async { Ok(self.shared.cluster.lock().await.start_dns().await?) }.boxed_local()
    }

    fn has_pods_on_loopback(&self) -> bool {
        false
    }

    fn stop_dns(&self) -> LocalBoxFuture<'_, Result> {
        async { Ok(self.shared.cluster.lock().await.stop_dns().await?) }.boxed_local()
    }

    fn pause_dns(&self) -> LocalBoxFuture<'_, Result> {
        async { Ok(self.shared.cluster.lock().await.pause_dns()?) }.boxed_local()
    }

    fn resume_dns(&self) -> LocalBoxFuture<'_, Result> {
        async { Ok(self.shared.cluster.lock().await.resume_dns()?) }.boxed_local()
    }

    fn open_watches<'a>(
        &'a self,
        namespace: &'a str,
        resource: &'a str,
    ) -> LocalBoxFuture<'a, Result<usize>> {
        async move {
            let request = Request::get("/metrics").body(Vec::new())?;
            let metrics = self.shared.client.request_text(request).await?;
            let _ = namespace;
            Ok(narrow_watches(&metrics, resource))
        }
        .boxed_local()
    }

    fn new_account<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> LocalBoxFuture<'a, Result<Account>> {
        async move {
            self.create_account(namespace, name).await?;
            let token = self.token(namespace, name).await?;
            Ok(Account::new(namespace, name, &token))
        }
        .boxed_local()
    }

    fn revoke<'a>(&'a self, account: &'a Account) -> LocalBoxFuture<'a, Result> {
        async {
            // A token dies with its account, and with no less.
            let params = DeleteParams::default();
            self.accounts(account.namespace())
                .delete(account.name(), &params)
                .await?;
            let cluster = self.shared.cluster.lock().await;
            let client = cluster.client_with_token(&account.token()).await?;
            drop(cluster);
            eventually(
                "the token is refused",
                Duration::from_secs(20),
                async || match client.apiserver_version().await {
                    Err(kube::Error::Api(status)) if status.code == 401 => Ok(()),
                    other => Err(Failure::new(format_args!(
                        "it is still accepted: {other:?}"
                    ))),
                },
            )
            .await
        }
        .boxed_local()
    }

    fn renew<'a>(&'a self, account: &'a Account) -> LocalBoxFuture<'a, Result> {
        async {
            self.create_account(account.namespace(), account.name())
                .await?;
            let token = self.token(account.namespace(), account.name()).await?;
            account.set_token(&token);
            Ok(())
        }
        .boxed_local()
    }

    fn grant<'a>(&'a self, manifest: &'a [Document]) -> LocalBoxFuture<'a, Result> {
        async move {
            for document in manifest {
                // As it is written: the API server understands YAML.
                let request = Request::post(path(document)?)
                    .header(CONTENT_TYPE, "application/yaml")
                    .body(document.text.clone().into_bytes())?;
                self.shared.client.request::<Value>(request).await?;
            }
            Ok(())
        }
        .boxed_local()
    }
}

impl Real {
    fn accounts(&self, namespace: &str) -> Api<ServiceAccount> {
        Api::namespaced(self.shared.client.clone(), namespace)
    }

    async fn create_account(&self, namespace: &str, name: &str) -> Result {
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(name.to_owned());
        self.accounts(namespace)
            .create(&PostParams::default(), &account)
            .await?;
        Ok(())
    }

    async fn token(&self, namespace: &str, name: &str) -> Result<String> {
        let cluster = self.shared.cluster.lock().await;
        Ok(cluster.service_account_token(namespace, name).await?)
    }
}

/// Where a document of a manifest is created.
fn path(document: &Document) -> Result<String> {
    let group = document.at("/apiVersion");
    let plural = format!("{}s", document.at("/kind").to_lowercase());
    match document.at("/metadata/namespace") {
        "" => Ok(format!("/apis/{group}/{plural}")),
        namespace => Ok(format!("/apis/{group}/namespaces/{namespace}/{plural}")),
    }
}

/// How many watches of `resource` are open that are confined to a namespace or to one object, of the
/// API server's own account. The control plane's are not, so these are the scenarios'.
fn narrow_watches(metrics: &str, resource: &str) -> usize {
    let gauges = metrics.lines().filter_map(|line| {
        line.strip_prefix("apiserver_longrunning_requests{")?
            .split_once("} ")
    });
    let of_resource = format!("resource=\"{resource}\"");
    gauges
        .filter(|(labels, _)| labels.contains("verb=\"WATCH\"") && labels.contains(&of_resource))
        .filter(|(labels, _)| !labels.contains("scope=\"cluster\""))
        .filter_map(|(_, count)| count.parse::<usize>().ok())
        .sum()
}
