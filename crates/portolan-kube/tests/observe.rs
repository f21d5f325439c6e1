//! A ConfigMap and the size of a StatefulSet, against `portolan-test`.

#![cfg(test)]

use std::{fmt::Debug, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Namespace},
    rbac::v1::Role,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use portolan_core::SourceErrorKind;
use portolan_kube::{Cluster, Observations, Observed, kube};
use portolan_test::{TestCluster, User};
use serde_json::json;
use tokio::time::timeout;

/// Waits for what is such; what comes before is passed over.
async fn until<T: Debug>(observations: &mut Observations<T>, such: impl Fn(&Observed<T>) -> bool) {
    let found = async {
        while let Some(observed) = observations.next().await {
            if such(&observed) {
                return;
            }
        }
        panic!("the stream has ended")
    };
    let patience = Duration::from_secs(300);
    timeout(patience, found).await.expect("it did not come");
}

fn is(text: &str) -> impl Fn(&Observed<std::sync::Arc<str>>) -> bool {
    move |observed| matches!(observed, Observed::Present(found) if **found == *text)
}

#[tokio::test(start_paused = true)]
async fn a_config_map_is_followed_through_its_life_and_an_outage() {
    let cluster = TestCluster::start().await.unwrap();
    let namespaces: Api<Namespace> = Api::all(cluster.client());
    let shop = serde_json::from_value(json!({ "metadata": { "name": "shop" } })).unwrap();
    namespaces
        .create(&PostParams::default(), &shop)
        .await
        .unwrap();
    let config_maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "shop");
    let source = Cluster::from(cluster.client()).with_namespace("shop");
    let mut texts = source.config_map("shards", "map");
    until(&mut texts, |observed| matches!(observed, Observed::Absent)).await;

    let made = json!({ "metadata": { "name": "shards" }, "data": { "map": "a..z: 0" } });
    let made = serde_json::from_value(made).unwrap();
    config_maps
        .create(&PostParams::default(), &made)
        .await
        .unwrap();
    until(&mut texts, is("a..z: 0")).await;
    cluster.faults().api_down();
    until(&mut texts, |observed| {
        matches!(observed, Observed::Failed(_))
    })
    .await;
    cluster.faults().api_up();
    until(&mut texts, is("a..z: 0")).await;
    let patch = Patch::Merge(json!({ "data": { "map": "a..z: 1" } }));
    let params = PatchParams::default();
    let patched = config_maps.patch("shards", &params, &patch).await;
    patched.unwrap();
    until(&mut texts, is("a..z: 1")).await;
    let deleted = config_maps.delete("shards", &DeleteParams::default()).await;
    deleted.unwrap();
    until(&mut texts, |observed| matches!(observed, Observed::Absent)).await;
}

#[tokio::test(start_paused = true)]
async fn the_size_of_a_stateful_set_is_followed_with_the_role_for_it_and_no_other() {
    const NAME: &str = "system:serviceaccount:web:front";
    let cluster = TestCluster::start().await.unwrap();
    for name in ["db", "cache"] {
        let pods = cluster.stateful_set("shop", name, 2).port("http", 8080);
        pods.create().await.unwrap();
    }
    let sizes = |user: User, name: &str| {
        let client = cluster.client_as(&cluster.sign_in(user));
        Cluster::from(client)
            .with_namespace("shop")
            .stateful_set_size(name)
    };
    let mut refused = sizes(User::new(NAME), "db");
    let Some(Observed::Failed(error)) = refused.next().await else {
        panic!("it was allowed")
    };
    assert_eq!(error.kind(), SourceErrorKind::Forbidden);
    let text = error.to_string();
    let manifest = text.get(text.find("apiVersion:").unwrap()..).unwrap();
    let role: Role = serde_saphyr::from_str(manifest.split("\n---\n").next().unwrap()).unwrap();
    let allowed = || {
        let namespace = role.metadata.namespace.clone().unwrap();
        let rules = serde_json::to_value(&role).unwrap();
        User::new(NAME).rules_in(namespace, &rules).unwrap()
    };

    let mut followed = sizes(allowed(), "db");
    let is = |replicas| move |observed: &Observed<portolan_kube::StatefulSetSize>| matches!(observed, Observed::Present(size) if size.replicas == replicas);
    until(&mut followed, is(2)).await;
    let stateful_sets: Api<StatefulSet> = Api::namespaced(cluster.client(), "shop");
    let patch = Patch::Merge(json!({ "spec": { "replicas": 3 } }));
    let params = PatchParams::default();
    let scaled = stateful_sets.patch("db", &params, &patch).await;
    scaled.unwrap();
    until(&mut followed, is(3)).await;
    let mut other = sizes(allowed(), "cache");
    let Some(Observed::Failed(error)) = other.next().await else {
        panic!("it was allowed")
    };
    assert_eq!(error.kind(), SourceErrorKind::Forbidden);
}
