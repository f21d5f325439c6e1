//! The stage for the snippets of the guides (`docs/`), each of which is a test.

use std::{net::SocketAddr, num::NonZeroU16, pin::Pin};

use futures::{Stream, StreamExt, stream};
use portolan::{Endpoint, HostResolver, Placement, Resolution};
use portolan_test::TestCluster;

use crate::failure::{Failure, Result};

/// Tells a snippet on a cluster of its own, in which the Services of the guide are there and every address of
/// theirs leads to a Pod.
///
/// # Panics
/// If the snippet fails, as a test does.
pub fn run(
    name: &str,
    snippet: impl AsyncFnOnce(portolan::Cluster, portolan_kube::Cluster) -> Result,
) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let told = match runtime.enable_all().build() {
        Ok(runtime) => runtime.block_on(tell(snippet)),
        Err(error) => Err(Failure::new(error)),
    };
    assert!(told.is_ok(), "{name}: {told:?}");
}

async fn tell(
    snippet: impl AsyncFnOnce(portolan::Cluster, portolan_kube::Cluster) -> Result,
) -> Result {
    let cluster = TestCluster::builder().kube_proxy().start().await?;
    let orders = |name: &str| {
        cluster
            .service("shop", name)
            .selecting("orders")
            .port("http", 8080)
    };
    orders("orders").create().await?;
    orders("orders-node-port").node_port().create().await?;
    let balanced = orders("orders-load-balancer")
        .load_balancer()
        .create()
        .await?;
    let address = cluster.spare_address()?;
    balanced.set_ingress(&[&address.to_string()]).await?;
    cluster.service("shop", "db").headless().create().await?;
    cluster
        .service("shop", "billing")
        .external_name("billing.example.com")
        .create()
        .await?;
    for name in ["orders", "db"] {
        let pods = cluster
            .stateful_set("shop", name, 2)
            .port("http", 8080)
            .create()
            .await?;
        pods.wait_ready(2).await?;
    }
    let source = portolan_kube::Cluster::from(cluster.client());
    snippet(source.clone().into(), source).await
}

/// Somebody who knows that `billing.example.com` is where the Pods of `orders` are.
///
/// # Errors
/// If they are nowhere.
pub async fn resolver(source: &portolan_kube::Cluster) -> Result<impl HostResolver + use<>> {
    let orders = portolan::Cluster::from(source.clone());
    let lease = orders
        .service("orders.shop:http")?
        .nodes()?
        .pick("")
        .await?;
    Ok(Known(lease.address()))
}

#[derive(Debug)]
struct Known(SocketAddr);

impl HostResolver for Known {
    fn follow(&self, _: &str, port: NonZeroU16) -> Pin<Box<dyn Stream<Item = Resolution> + Send>> {
        let address = SocketAddr::new(self.0.ip(), port.get());
        let endpoint = Endpoint::new(Placement::new(address.to_string()), address);
        let known = Resolution::Present([endpoint].into_iter().collect());
        Box::pin(stream::iter([known]).chain(stream::pending()))
    }
}

/// Tells a snippet on a cluster of its own, in which `db.shop` has a primary `db-0` and two replicas, by the label of
/// CloudNativePG and by a Lease `db`.
///
/// # Panics
/// If the snippet fails, as a test does.
pub fn run_primary_replica(
    name: &str,
    snippet: impl AsyncFnOnce(portolan_kube::Cluster, TestCluster) -> Result,
) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let told = match runtime.enable_all().build() {
        Ok(runtime) => runtime.block_on(tell_primary_replica(snippet)),
        Err(error) => Err(Failure::new(error)),
    };
    assert!(told.is_ok(), "{name}: {told:?}");
}

async fn tell_primary_replica(
    snippet: impl AsyncFnOnce(portolan_kube::Cluster, TestCluster) -> Result,
) -> Result {
    let cluster = TestCluster::start().await?;
    cluster.service("shop", "db").headless().create().await?;
    let pods = cluster
        .stateful_set("shop", "db", 3)
        .port("http", 8080)
        .create()
        .await?;
    pods.wait_ready(3).await?;
    let api: kube::Api<k8s_openapi::api::core::v1::Pod> =
        kube::Api::namespaced(cluster.client(), "shop");
    for (pod, role) in [
        ("db-0", "primary"),
        ("db-1", "replica"),
        ("db-2", "replica"),
    ] {
        let labels =
            serde_json::json!({ "metadata": { "labels": { "cnpg.io/instanceRole": role } } });
        let patch = kube::api::Patch::Merge(labels);
        api.patch(pod, &kube::api::PatchParams::default(), &patch)
            .await?;
    }
    let lease = serde_json::json!({
        "metadata": { "name": "db" },
        "spec": { "holderIdentity": "db-0", "leaseTransitions": 1, "leaseDurationSeconds": 60 },
    });
    let leases: kube::Api<k8s_openapi::api::coordination::v1::Lease> =
        kube::Api::namespaced(cluster.client(), "shop");
    leases
        .create(
            &kube::api::PostParams::default(),
            &serde_json::from_value(lease)?,
        )
        .await?;
    snippet(portolan_kube::Cluster::from(cluster.client()), cluster).await
}

/// The guides themselves, for their snippets to be compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/reach.md")]
mod reach {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/hashing.md")]
mod hashing {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/sharding.md")]
mod sharding {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/primary-replica.md")]
mod primary_replica {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/policies-from-configuration.md")]
mod policies_from_configuration {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/resilience.md")]
mod resilience {}
