//! Labels of Pods on endpoints, against `portolan-test`.

#![cfg(test)]

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use portolan_core::{EndpointSet, Resolution, ServiceRef, Source as _, SourceErrorKind};
use portolan_kube::{Cluster, kube};
use portolan_test::{TestCluster, User};
use serde_json::{Value, json};
use tokio::time::timeout;

const LABEL: &str = "spilo-role";

type Resolutions = Pin<Box<dyn Stream<Item = Resolution> + Send>>;

async fn database(labels: &[&str]) -> (TestCluster, Resolutions) {
    let cluster = TestCluster::start().await.unwrap();
    cluster
        .service("shop", "db")
        .headless()
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    let pods = cluster.stateful_set("shop", "db", 2).port("http", 8080);
    pods.create().await.unwrap().wait_ready(2).await.unwrap();
    let service: ServiceRef = "db.shop:http".parse().unwrap();
    let labels = labels.iter().copied();
    let discovery = Cluster::from(cluster.client()).with_pod_labels(labels);
    let resolutions = discovery.watch(&service);
    (cluster, resolutions)
}

async fn label(cluster: &TestCluster, pod: &str, value: impl Into<Value>) {
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "shop");
    let value: Value = value.into();
    let patch = Patch::Merge(json!({ "metadata": { "labels": { LABEL: value } } }));
    pods.patch(pod, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// Waits for endpoints such that this holds.
async fn until(resolutions: &mut Resolutions, holds: impl Fn(&EndpointSet) -> bool) -> EndpointSet {
    let found = timeout(Duration::from_secs(10), async {
        while let Some(resolution) = resolutions.next().await {
            match resolution {
                Resolution::Present(endpoints) if holds(&endpoints) => return endpoints,
                _ => {}
            }
        }
        panic!("the source has ended")
    });
    found.await.expect("not in 10 s")
}

fn values(endpoints: &EndpointSet) -> Vec<Option<&str>> {
    endpoints.iter().map(|one| one.label(LABEL)).collect()
}

#[tokio::test]
async fn labels_that_are_asked_for_come_change_and_go() {
    let (cluster, mut resolutions) = database(&[LABEL]).await;
    label(&cluster, "db-0", "master").await;
    let first = until(&mut resolutions, |set| {
        values(set) == [Some("master"), None]
    })
    .await;
    let labels: Vec<_> = first[0].labels().collect();
    assert_eq!(labels, [(LABEL, "master")], "nothing else is kept");
    label(&cluster, "db-1", "replica").await;
    let second = until(&mut resolutions, |set| {
        values(set) == [Some("master"), Some("replica")]
    })
    .await;
    assert!(
        std::ptr::eq(&*first[0], &*second[0]),
        "who did not change is the same"
    );
    label(&cluster, "db-0", Value::Null).await;
    until(&mut resolutions, |set| {
        values(set) == [None, Some("replica")]
    })
    .await;
}

#[tokio::test]
async fn the_first_endpoints_have_their_labels() {
    let (cluster, mut resolutions) = database(&[LABEL, "app"]).await;
    label(&cluster, "db-0", "master").await;
    match resolutions.next().await {
        Some(Resolution::Present(endpoints)) => {
            assert_eq!(values(&endpoints), [Some("master"), None]);
            assert_eq!(endpoints[0].labels().count(), 2, "of both names");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pod_does_not_inherit_the_label_of_one_that_had_its_name() {
    let (cluster, mut resolutions) = database(&[LABEL]).await;
    label(&cluster, "db-0", "master").await;
    let before = until(&mut resolutions, |set| {
        values(set) == [Some("master"), None]
    })
    .await;
    let uid = before[0].uid().cloned();
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "shop");
    pods.delete("db-0", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let check = timeout(Duration::from_secs(10), async {
        while let Some(resolution) = resolutions.next().await {
            let Resolution::Present(endpoints) = resolution else {
                continue;
            };
            for one in endpoints.iter().filter(|one| one.uid() != uid.as_ref()) {
                assert_eq!(one.label(LABEL), None, "{one:?}");
                if one.pod() == Some("db-0") && one.conditions().is_ready() {
                    return;
                }
            }
        }
    });
    check.await.expect("db-0 is back");
}

#[tokio::test]
async fn where_pods_may_not_be_read_it_is_said_and_endpoints_are_there_all_the_same() {
    let (cluster, _) = database(&[LABEL]).await;
    let may_watch = json!([
        { "apiGroups": ["", "discovery.k8s.io"], "resources": ["services", "endpointslices"], "verbs": ["list", "watch"] },
    ]);
    let user = User::new("reader").rules_in("shop", &may_watch).unwrap();
    let token = cluster.sign_in(user);
    let discovery = Cluster::from(cluster.client_as(&token)).with_pod_labels([LABEL]);
    let service: ServiceRef = "db.shop:http".parse().unwrap();
    let mut resolutions = discovery.watch(&service);
    match (resolutions.next().await, resolutions.next().await) {
        (Some(Resolution::Present(endpoints)), Some(Resolution::Failed(error))) => {
            assert_eq!(values(&endpoints), [None, None]);
            assert_eq!(error.kind(), SourceErrorKind::Forbidden);
            assert!(error.to_string().contains("resources: [pods]"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_label_is_refused_before_it_selects_anything_else() {
    for odd in ["", "a,b", "role=primary", "!role", "ä"] {
        let (_cluster, mut resolutions) = database(&[odd]).await;
        match resolutions.next().await {
            Some(Resolution::Failed(error)) => assert_eq!(error.kind(), SourceErrorKind::Invalid),
            other => panic!("{odd}: {other:?}"),
        }
    }
}
