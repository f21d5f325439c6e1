//! The scenarios on a real control plane: `cargo xtask real`.

#![cfg(test)]

use k8s_openapi::api::{
    core::v1::{Namespace, Service, ServiceAccount},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use portolan_scenarios::real::{Identity, RealCluster, RealOptions};
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_stored_outlives_the_api_server_and_rbac_guards_it() {
    let mut cluster = RealCluster::start(RealOptions::default()).await.unwrap();
    let client = cluster.client();
    let version = client.apiserver_version().await.unwrap();
    assert!(version.git_version.starts_with("v1."), "{version:?}");

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
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "shop");
    let slice = json!({
        "metadata": { "name": "db-1", "labels": { "kubernetes.io/service-name": "db" } },
        "addressType": "IPv4",
        "ports": [{ "name": "client", "port": 5432 }],
        "endpoints": [{ "addresses": ["10.244.1.1"], "conditions": { "ready": true } }],
    });
    create(&slices, slice).await;
    assert_eq!(addresses(&slices).await.unwrap(), ["10.244.1.1"]);

    cluster.stop_api().await.unwrap();
    addresses(&slices)
        .await
        .expect_err("the API server is gone");
    cluster.start_api().await.unwrap();
    assert_eq!(addresses(&slices).await.unwrap(), ["10.244.1.1"]);

    let accounts = Api::<ServiceAccount>::namespaced(client, "shop");
    create(&accounts, json!({ "metadata": { "name": "visitor" } })).await;
    let visitor = Identity::service_account("shop", "visitor");
    let visitor = cluster.client_as(visitor).await.unwrap();
    let refusal = addresses(&Api::namespaced(visitor, "shop"))
        .await
        .unwrap_err();
    assert_status(&refusal, 403, "system:serviceaccount:shop:visitor");
    let stranger = cluster
        .client_as(Identity::token("not-a-token"))
        .await
        .unwrap();
    let refusal = addresses(&Api::namespaced(stranger, "shop"))
        .await
        .unwrap_err();
    assert_status(&refusal, 401, "Unauthorized");
}

async fn create<K>(api: &Api<K>, object: Value)
where
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

async fn addresses(slices: &Api<EndpointSlice>) -> kube::Result<Vec<String>> {
    let slices = slices.list(&ListParams::default()).await?;
    let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints);
    Ok(endpoints
        .flatten()
        .flat_map(|endpoint| endpoint.addresses)
        .collect())
}

fn assert_status(error: &kube::Error, code: u16, message: &str) {
    let kube::Error::Api(status) = error else {
        panic!("{error:?}")
    };
    assert_eq!(status.code, code, "{status:?}");
    assert!(status.message.contains(message), "{status:?}");
}
