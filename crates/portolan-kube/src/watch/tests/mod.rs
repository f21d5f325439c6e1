//! The watch against an API server whose every answer is scripted, under paused time.

mod counting;
mod dead;
mod failures;
mod listing;
mod observing;
mod server;
mod sharing;
mod streaming;

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt as _};
use portolan_core::{EndpointSet, Resolution, ServiceRef, Source as _, SourceError};
use serde_json::{Value, json};
use tokio::time::timeout;

use self::server::{Server, Stage};
use crate::Cluster;

pub(super) type Resolutions = Pin<Box<dyn Stream<Item = Resolution> + Send>>;

pub(super) fn orders() -> ServiceRef {
    "orders:http".parse().unwrap()
}

pub(super) fn follow(cluster: &Cluster) -> Resolutions {
    cluster.watch(&orders())
}

pub(super) async fn next(resolutions: &mut Resolutions) -> Resolution {
    // Time is paused: this is not how long it takes, but how far the clock may go on.
    let patience = Duration::from_secs(3_600);
    timeout(patience, resolutions.next())
        .await
        .expect("nothing came")
        .expect("the stream ended")
}

pub(super) async fn next_set(resolutions: &mut Resolutions) -> EndpointSet {
    match next(resolutions).await {
        Resolution::Present(set) => set,
        other => panic!("{other:?}"),
    }
}

/// The placements of the next set.
pub(super) async fn next_names(resolutions: &mut Resolutions) -> Vec<String> {
    let set = next_set(resolutions).await;
    set.iter()
        .map(|endpoint| endpoint.placement().to_string())
        .collect()
}

pub(super) async fn next_error(resolutions: &mut Resolutions) -> SourceError {
    match next(resolutions).await {
        Resolution::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

/// That nothing comes for so long.
pub(super) async fn silence(resolutions: &mut Resolutions, patience: Duration) {
    if let Ok(resolution) = timeout(patience, resolutions.next()).await {
        panic!("{resolution:?}");
    }
}

/// A Service with the port `http`.
pub(super) fn service(version: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "orders", "namespace": "shop", "resourceVersion": version.to_string() },
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.7",
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }],
        },
    })
}

/// A slice of the Service with one ready endpoint for each of these Pods.
pub(super) fn slice(name: &str, version: u64, pods: &[&str]) -> Value {
    let endpoint = |pod: &&str| {
        let number = pod.bytes().fold(0, u8::wrapping_add);
        json!({
            "addresses": [format!("10.0.0.{number}")],
            "targetRef": { "kind": "Pod", "name": pod, "uid": format!("u-{pod}") },
        })
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": name, "namespace": "shop", "resourceVersion": version.to_string(),
            "labels": { "kubernetes.io/service-name": "orders" },
        },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
        "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

/// A server and a cluster that talks to it; the Service is there and stays as it is.
fn cluster_with_service() -> (Stage, Cluster) {
    let (server, client) = Server::start();
    (server.with_service(service(1)), Cluster::from(client))
}
