//! Services that are reached by Nodes.

use std::{sync::Arc, time::Duration};

use portolan_core::{Reach, ServiceRef, Source as _, SourceErrorKind};
use portolan_kube::{Cluster, NodeAddresses};
use portolan_test::User;
use serde_json::{Value, json};

use crate::stage::*;

#[tokio::test(start_paused = true)]
async fn nodes_are_watched_once_and_no_longer_than_needed() {
    let cluster = start().await;
    orders(&cluster).node_port().create().await.unwrap();
    cluster
        .service("shop", "others")
        .port("http", 80)
        .node_port()
        .create()
        .await
        .unwrap();
    let source = Cluster::from(cluster.client());
    let others: ServiceRef = "others.shop:http".parse().unwrap();
    let mut first = source.watch(&reached_by(Some(Reach::Nodes)));
    let mut second = source.watch(&others.with_reach(Reach::Nodes));
    let three = until(&mut first, |set| set.len() == 3).await;
    until(&mut second, |set| set.len() == 3).await;
    let names: Vec<_> = three
        .iter()
        .map(|one| (one.placement().as_str(), one.node(), one.zone()))
        .collect();
    assert_eq!(names[1], ("node-1", Some("node-1"), Some("zone-b")));
    assert!(
        three
            .iter()
            .all(|one| one.uid().is_some() && one.pod().is_none())
    );
    assert_eq!(cluster.requests().open_watches("nodes"), 1);

    patch_node(&cluster, "node-1", readiness("Unknown")).await;
    let two = until(&mut first, |set| set.len() == 2).await;
    assert!(Arc::ptr_eq(&two[0], &three[0]), "the others are the same");
    until(&mut second, |set| set.len() == 2).await;
    // What a Node says of itself all the time is no news.
    patch_node(
        &cluster,
        "node-0",
        json!({ "status": { "conditions": [{ "type": "DiskPressure", "status": "False" }] } }),
    )
    .await;
    patch_node(&cluster, "node-1", readiness("True")).await;
    let again = until(&mut first, |set| set.len() == 3).await;
    assert!(Arc::ptr_eq(&again[0], &three[0]));

    drop(first);
    until(&mut second, |set| set.len() == 3).await;
    assert_eq!(cluster.requests().open_watches("nodes"), 1);
    drop(second);
    while cluster.requests().open_watches("nodes") > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // And whoever comes later starts anew.
    let mut third = source.watch(&reached_by(Some(Reach::Nodes)));
    until(&mut third, |set| set.len() == 3).await;
    assert_eq!(cluster.requests().open_watches("nodes"), 1);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_keep_traffic_to_themselves_need_a_ready_pod() {
    let cluster = start().await;
    let local = orders(&cluster)
        .node_port()
        .with(&["spec", "externalTrafficPolicy"], "Local");
    local.create().await.unwrap();
    let source = Cluster::from(cluster.client());
    let mut resolutions = source.watch(&reached_by(Some(Reach::Nodes)));
    until(&mut resolutions, |set| set.is_empty()).await;
    let pods = cluster
        .stateful_set("shop", "orders", 1)
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    let set = until(&mut resolutions, |set| set.len() == 1).await;
    let node = cluster.pod("shop", "orders-0").unwrap().node().to_owned();
    assert_eq!(set[0].node(), Some(&*node));
    pods.scale(3).await.unwrap();
    until(&mut resolutions, |set| set.len() == 3).await;
    pods.scale(0).await.unwrap();
    until(&mut resolutions, |set| set.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn external_addresses_are_used_where_that_is_said() {
    let cluster = start().await;
    orders(&cluster).node_port().create().await.unwrap();
    let addresses =
        json!({ "status": { "addresses": [{ "type": "ExternalIP", "address": "192.0.2.7" }] } });
    patch_node(&cluster, "node-2", addresses).await;
    let source = Cluster::from(cluster.client()).with_node_addresses(NodeAddresses::External);
    let mut resolutions = source.watch(&reached_by(Some(Reach::Nodes)));
    let set = until(&mut resolutions, |set| set.len() == 1).await;
    assert_eq!(set[0].address().ip().to_string(), "192.0.2.7");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_prints_the_role_for_nodes_and_takes_nothing_from_who_needs_none() {
    const NAME: &str = "system:serviceaccount:web:front";
    let cluster = start().await;
    orders(&cluster)
        .node_port()
        .without_selector()
        .create()
        .await
        .unwrap();
    write_slice(&cluster, "a", "me", "10.0.0.1").await;
    let role = |manifest: &str| -> Value {
        serde_saphyr::from_str(manifest.split("\n---\n").next().unwrap()).unwrap()
    };
    let user = || {
        User::new(NAME)
            .rules_in("shop", &role(portolan_kube::ROLE))
            .unwrap()
    };
    let token = cluster.sign_in(user());
    let source = Cluster::from(cluster.client_as(&token));
    let mut pods = source.watch(&reached_by(None));
    let error = until_failed(&mut source.watch(&reached_by(Some(Reach::Nodes)))).await;
    assert_eq!(error.kind(), SourceErrorKind::Forbidden);
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("`{NAME}` may not watch nodes. ")),
        "{text}"
    );
    until_at(&mut pods, Reach::Pods, &["10.0.0.1:8080"]).await;

    let manifest = text.get(text.find("apiVersion:").unwrap()..).unwrap();
    let allowed = user().cluster_rules(&role(manifest)).unwrap();
    let token = cluster.sign_in(allowed);
    let source = Cluster::from(cluster.client_as(&token));
    until(&mut source.watch(&reached_by(Some(Reach::Nodes))), |set| {
        set.len() == 3
    })
    .await;
}
