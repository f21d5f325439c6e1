//! The scenarios on a real control plane: `cargo xtask real`.

#![cfg(test)]

use std::{fmt::Debug, time::Duration};

use k8s_openapi::api::{
    core::v1::{Namespace, Service, ServiceAccount},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use portolan_scenarios::real::{Identity, RealCluster, RealOptions};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;

#[tokio::test]
async fn what_is_stored_outlives_the_api_server() {
    let mut cluster = shop().await;
    assert_eq!(addresses(cluster.client()).await.unwrap(), ["10.244.1.1"]);

    cluster.stop_api().await.unwrap();
    addresses(cluster.client())
        .await
        .expect_err("the API server is gone");

    cluster.start_api().await.unwrap();
    assert_eq!(addresses(cluster.client()).await.unwrap(), ["10.244.1.1"]);
}

#[tokio::test]
async fn a_paused_api_server_says_nothing_and_then_goes_on() {
    let cluster = shop().await;
    cluster.pause_api().unwrap();
    let silence = timeout(Duration::from_millis(300), addresses(cluster.client())).await;
    silence.expect_err("nobody answers, and nobody refuses");

    cluster.resume_api().unwrap();
    assert_eq!(addresses(cluster.client()).await.unwrap(), ["10.244.1.1"]);
}

#[tokio::test]
async fn who_was_granted_nothing_is_refused() {
    let cluster = shop().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client(), "shop");
    create(&accounts, json!({ "metadata": { "name": "visitor" } })).await;

    for (identity, code, reason) in [
        (
            Identity::service_account("shop", "visitor"),
            403,
            "system:serviceaccount:shop:visitor",
        ),
        (
            Identity::user("jane"),
            403,
            r#"User "jane" cannot list resource "endpointslices""#,
        ),
        (Identity::token("worth-nothing"), 401, "Unauthorized"),
    ] {
        let client = cluster.client_as(identity).await.unwrap();
        match addresses(client).await.unwrap_err() {
            kube::Error::Api(status) => {
                assert_eq!(status.code, code, "{status:?}");
                assert!(status.message.contains(reason), "{status:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A cluster with a headless Service of one endpoint, in a slice written by hand.
async fn shop() -> RealCluster {
    let cluster = RealCluster::start(RealOptions::default()).await.unwrap();
    let client = cluster.client();
    create(
        &Api::<Namespace>::all(client.clone()),
        json!({ "metadata": { "name": "shop" } }),
    )
    .await;
    let service = json!({
        "metadata": { "name": "db" },
        "spec": { "clusterIP": "None", "ports": [{ "name": "client", "port": 5432 }] },
    });
    create(&Api::<Service>::namespaced(client.clone(), "shop"), service).await;
    let slice = json!({
        "metadata": { "name": "db-1", "labels": { "kubernetes.io/service-name": "db" } },
        "addressType": "IPv4",
        "ports": [{ "name": "client", "port": 5432 }],
        "endpoints": [{ "addresses": ["10.244.1.1"], "conditions": { "ready": true } }],
    });
    create(&Api::<EndpointSlice>::namespaced(client, "shop"), slice).await;
    cluster
}

async fn create<K>(api: &Api<K>, object: Value)
where
    K: Clone + Debug + Serialize + DeserializeOwned,
{
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

async fn addresses(client: Client) -> kube::Result<Vec<String>> {
    let slices: Api<EndpointSlice> = Api::namespaced(client, "shop");
    let slices = slices.list(&ListParams::default()).await?;
    let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints);
    Ok(endpoints
        .flatten()
        .flat_map(|endpoint| endpoint.addresses)
        .collect())
}
