//! Every type of Service, and a Service that becomes another type, against `portolan-test`.

#![cfg(test)]

mod names;
mod nodes;
mod stage;

use std::time::Duration;

use futures::StreamExt as _;
use portolan_core::{
    EndpointSet, InternalTraffic, Reach, Resolution, Source as _, SourceErrorKind,
};
use portolan_kube::{Cluster, Vantage};
use portolan_test::{User, Verb};
use serde_json::json;
use tokio::time::timeout;

use stage::*;

#[tokio::test(start_paused = true)]
async fn a_service_becomes_everything_that_it_can_be() {
    let cluster = start().await;
    let service = orders(&cluster).without_selector().create().await.unwrap();
    write_slice(&cluster, "a", "me", "10.0.0.1").await;
    let names = Names::default();
    names.answer("db.example.com", &["192.0.2.1:80", "192.0.2.2:80"]);
    let source = Cluster::from(cluster.client()).with_host_resolver(names.clone());
    let mut inside = source.watch(&reached_by(None));
    let mut outside = source
        .clone()
        .with_vantage(Vantage::Outside)
        .watch(&reached_by(None));
    until_at(&mut inside, Reach::Pods, &["10.0.0.1:8080"]).await;
    until_at(&mut outside, Reach::Pods, &["10.0.0.1:8080"]).await;

    let alias = json!({ "spec": { "type": "ExternalName", "externalName": "db.example.com" } });
    service.patch(alias).await.unwrap();
    let addresses = ["192.0.2.1:80", "192.0.2.2:80"];
    let set = until_at(&mut inside, Reach::ExternalName, &addresses).await;
    assert_eq!(set[0].host(), Some("db.example.com"));
    until_at(&mut outside, Reach::ExternalName, &addresses).await;
    assert_eq!(names.asking("db.example.com"), 1, "once, for both");
    names.answer("db.example.com", &["192.0.2.3:80"]);
    until_at(&mut inside, Reach::ExternalName, &["192.0.2.3:80"]).await;

    let headless =
        json!({ "spec": { "type": "ClusterIP", "clusterIP": "None", "externalName": null } });
    service.patch(headless).await.unwrap();
    until_at(&mut inside, Reach::Pods, &["10.0.0.1:8080"]).await;
    until_at(&mut outside, Reach::Pods, &["10.0.0.1:8080"]).await;
    assert_eq!(
        names.asking("db.example.com"),
        0,
        "nobody is asked for nothing"
    );

    service.delete().await.unwrap();
    let service = orders(&cluster)
        .without_selector()
        .load_balancer()
        .create()
        .await
        .unwrap();
    until_at(&mut inside, Reach::Pods, &["10.0.0.1:8080"]).await;
    let error = until_failed(&mut outside).await;
    assert_eq!(error.kind(), SourceErrorKind::Pending, "{error}");
    service.set_ingress(&["192.0.2.9"]).await.unwrap();
    until_at(&mut outside, Reach::LoadBalancer, &["192.0.2.9:80"]).await;
    service.set_ingress(&["lb.example.com"]).await.unwrap();
    names.answer("lb.example.com", &["192.0.2.8:80"]);
    until_at(&mut outside, Reach::LoadBalancer, &["192.0.2.8:80"]).await;
    service.set_ingress(&[]).await.unwrap();
    until_at(&mut outside, Reach::LoadBalancer, &[]).await;

    service
        .patch(json!({ "spec": { "type": "NodePort" } }))
        .await
        .unwrap();
    let port = spec(&cluster).await["ports"][0]["nodePort"].clone();
    let nodes: Vec<String> = internal_addresses(&cluster)
        .await
        .iter()
        .map(|ip| format!("{ip}:{port}"))
        .collect();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    assert_eq!(nodes.len(), 3);
    until_at(&mut outside, Reach::Nodes, &nodes).await;
}

#[tokio::test(start_paused = true)]
async fn slices_count_by_their_label_whoever_wrote_them() {
    let cluster = start().await;
    orders(&cluster)
        .headless()
        .without_selector()
        .create()
        .await
        .unwrap();
    let mut resolutions = Cluster::from(cluster.client()).watch(&reached_by(None));
    until_at(&mut resolutions, Reach::Pods, &[]).await;
    write_slice(&cluster, "by-hand", "somebody", "10.0.0.1").await;
    write_slice(
        &cluster,
        "mirrored",
        "endpointslicemirroring-controller.k8s.io",
        "10.0.0.2",
    )
    .await;
    until_at(
        &mut resolutions,
        Reach::Pods,
        &["10.0.0.1:8080", "10.0.0.2:8080"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_virtual_ip_needs_no_slices() {
    let cluster = start().await;
    orders(&cluster)
        .with(&["spec", "internalTrafficPolicy"], "Local")
        .create()
        .await
        .unwrap();
    cluster.requests().reset();
    let source = Cluster::from(cluster.client());
    let mut resolutions = source.watch(&reached_by(Some(Reach::VirtualIp)));
    let address = spec(&cluster).await["clusterIP"]
        .as_str()
        .unwrap()
        .to_owned();
    let set = until_at(
        &mut resolutions,
        Reach::VirtualIp,
        &[&format!("{address}:80")],
    )
    .await;
    assert_eq!(set[0].placement().as_str(), "orders.shop");
    assert_eq!(set.internal_traffic(), InternalTraffic::Cluster);
    assert_eq!(cluster.requests().count(Verb::List, "endpointslices"), 0);
    // Who wants the Pods of the same Service hears of them, and of the policy.
    let mut pods = source.watch(&reached_by(None));
    let set = until_at(&mut pods, Reach::Pods, &[]).await;
    assert_eq!(set.internal_traffic(), InternalTraffic::Local);
    assert_eq!(
        cluster.requests().count(Verb::List, "services"),
        1,
        "one list and watch for both"
    );
}

#[tokio::test(start_paused = true)]
async fn a_selector_that_changes_is_followed() {
    let cluster = start().await;
    let service = orders(&cluster).create().await.unwrap();
    for name in ["orders", "others"] {
        cluster
            .stateful_set("shop", name, 1)
            .port("http", 8080)
            .create()
            .await
            .unwrap();
    }
    let mut resolutions = Cluster::from(cluster.client()).watch(&reached_by(None));
    let pod =
        |name: &'static str| move |set: &EndpointSet| set.len() == 1 && set[0].pod() == Some(name);
    until(&mut resolutions, pod("orders-0")).await;
    service
        .patch(json!({ "spec": { "selector": { "app": "others" } } }))
        .await
        .unwrap();
    until(&mut resolutions, pod("others-0")).await;
}

#[tokio::test(start_paused = true)]
async fn who_needs_no_slices_needs_no_permission_for_them() {
    let cluster = start().await;
    let service = orders(&cluster).create().await.unwrap();
    let rules =
        json!([{ "apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"] }]);
    let token = cluster.sign_in(User::new("reader").rules_in("shop", &rules).unwrap());
    let source = Cluster::from(cluster.client_as(&token));
    let mut virtual_ip = source.watch(&reached_by(Some(Reach::VirtualIp)));
    let set = until(&mut virtual_ip, |set| set.len() == 1).await;
    // The same task fails for who wants the Pods, and that is nobody else's business.
    let mut pods = source.watch(&reached_by(None));
    assert_eq!(
        until_failed(&mut pods).await.kind(),
        SourceErrorKind::Forbidden
    );
    let ports = json!([{ "name": "http", "port": 81 }]);
    service
        .patch(json!({ "spec": { "ports": ports } }))
        .await
        .unwrap();
    assert!(matches!(next(&mut virtual_ip).await, Resolution::Present(now) if !now.is_same(&set)));
    let quiet = timeout(Duration::from_secs(60), virtual_ip.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}
