//! The cluster, the Service and the DNS of these tests.

use std::{
    collections::HashMap,
    num::NonZeroU16,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use portolan_core::{
    Endpoint, EndpointSet, HostResolver, Placement, Reach, Resolution, ServiceRef, SourceError,
};
use portolan_kube::kube;
use portolan_test::{NewService, TestCluster};
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};

pub(crate) type Resolutions = Pin<Box<dyn Stream<Item = Resolution> + Send>>;

/// A DNS whose answers the test gives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    answers: Arc<Mutex<HashMap<String, watch::Sender<Option<Resolution>>>>>,
    pub(crate) suspected: Arc<Mutex<Vec<String>>>,
}

impl Names {
    pub(crate) fn answer(&self, host: &str, addresses: &[&str]) {
        let endpoint =
            |address: &&str| Endpoint::new(Placement::new(*address), address.parse().unwrap());
        self.say(
            host,
            Resolution::Present(addresses.iter().map(endpoint).collect()),
        );
    }

    pub(crate) fn say(&self, host: &str, resolution: Resolution) {
        self.of(host).send_replace(Some(resolution));
    }

    /// How many ask for it now.
    pub(crate) fn asking(&self, host: &str) -> usize {
        self.of(host).receiver_count()
    }

    pub(crate) fn of(&self, host: &str) -> watch::Sender<Option<Resolution>> {
        let mut names = self.answers.lock().unwrap();
        names
            .entry(host.to_owned())
            .or_insert_with(|| watch::channel(None).0)
            .clone()
    }
}

impl HostResolver for Names {
    fn follow(&self, host: &str, _: NonZeroU16) -> Resolutions {
        let mut answers = self.of(host).subscribe();
        answers.mark_changed();
        Box::pin(stream::unfold(answers, |mut answers| async {
            loop {
                answers.changed().await.ok()?;
                let answer = answers.borrow_and_update().clone();
                if let Some(answer) = answer {
                    return Some((answer, answers));
                }
            }
        }))
    }

    fn suspect_host(&self, host: &str) {
        self.suspected.lock().unwrap().push(host.to_owned());
    }
}

pub(crate) async fn start() -> TestCluster {
    TestCluster::start().await.unwrap()
}

pub(crate) fn orders(cluster: &TestCluster) -> NewService {
    cluster.service("shop", "orders").port_to("http", 80, 8080)
}

pub(crate) fn reached_by(reach: Option<Reach>) -> ServiceRef {
    let service: ServiceRef = "orders.shop:http".parse().unwrap();
    match reach {
        Some(reach) => service.with_reach(reach),
        None => service,
    }
}

pub(crate) async fn next(resolutions: &mut Resolutions) -> Resolution {
    let patience = Duration::from_secs(300);
    timeout(patience, resolutions.next())
        .await
        .expect("nothing came")
        .expect("the stream ended")
}

/// The first set of which this holds; whatever else comes is passed over.
pub(crate) async fn until(
    resolutions: &mut Resolutions,
    holds: impl Fn(&EndpointSet) -> bool,
) -> EndpointSet {
    loop {
        if let Resolution::Present(set) = next(resolutions).await
            && holds(&set)
        {
            return set;
        }
    }
}

pub(crate) async fn until_at(
    resolutions: &mut Resolutions,
    reach: Reach,
    addresses: &[&str],
) -> EndpointSet {
    let mut wanted = addresses.to_vec();
    wanted.sort_unstable();
    until(resolutions, |set| {
        let mut found: Vec<_> = set.iter().map(|one| one.address().to_string()).collect();
        found.sort_unstable();
        found == wanted && set.reach() == reach
    })
    .await
}

pub(crate) async fn until_failed(resolutions: &mut Resolutions) -> SourceError {
    loop {
        if let Resolution::Failed(error) = next(resolutions).await {
            return error;
        }
    }
}

/// A slice of the Service that somebody else wrote.
pub(crate) async fn write_slice(cluster: &TestCluster, name: &str, manager: &str, address: &str) {
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "name": name, "labels": {
            "kubernetes.io/service-name": "orders", "endpointslice.kubernetes.io/managed-by": manager,
        } },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
        "endpoints": [{ "addresses": [address] }],
    });
    let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
    let slices: Api<EndpointSlice> = Api::namespaced(cluster.client(), "shop");
    slices.create(&PostParams::default(), &slice).await.unwrap();
}

pub(crate) async fn patch_node(cluster: &TestCluster, name: &str, patch: Value) {
    let nodes: Api<Node> = Api::all(cluster.client());
    let params = PatchParams::default();
    nodes
        .patch_status(name, &params, &Patch::Strategic(patch))
        .await
        .unwrap();
}

pub(crate) fn readiness(status: &str) -> Value {
    json!({ "status": { "conditions": [{ "type": "Ready", "status": status }] } })
}

pub(crate) async fn internal_addresses(cluster: &TestCluster) -> Vec<String> {
    let nodes: Api<Node> = Api::all(cluster.client());
    let nodes = nodes.list(&Default::default()).await.unwrap();
    let addresses = nodes.items.iter().flat_map(|node| {
        node.status
            .iter()
            .flat_map(|status| status.addresses.iter().flatten())
    });
    addresses
        .filter(|one| one.type_ == "InternalIP")
        .map(|one| one.address.clone())
        .collect()
}

pub(crate) async fn spec(cluster: &TestCluster) -> Value {
    let services: Api<Service> = Api::namespaced(cluster.client(), "shop");
    let service = services.get("orders").await.unwrap();
    serde_json::to_value(service.spec.unwrap()).unwrap()
}
