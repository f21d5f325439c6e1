//! What is found out, and by whom, of what is allowed.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::PostParams};
use portolan_test::{TestCluster, User};
use serde_json::{Value, json};

use super::*;

fn given(node: Option<&str>, zone: Option<&str>, pod: Option<&str>) -> Surroundings {
    Surroundings {
        node: node.map(Into::into),
        zone: zone.map(Into::into),
        pod: pod.map(Into::into),
    }
}

fn told(location: &Location) -> (Option<&str>, Option<&str>) {
    (location.node(), location.zone())
}

/// A cluster with a Pod `me` on `node-1`, which is in `zone-b`.
async fn cluster(labels: Value) -> TestCluster {
    let cluster = TestCluster::builder()
        .without_kubelet()
        .start()
        .await
        .unwrap();
    let pod = json!({
        "metadata": { "name": "me", "namespace": "default", "labels": labels },
        "spec": { "nodeName": "node-1", "containers": [{ "name": "main", "image": "echo" }] },
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "default");
    pods.create(&PostParams::default(), &pod).await.unwrap();
    cluster.requests().reset();
    cluster
}

#[tokio::test(start_paused = true)]
async fn the_environment_is_enough() {
    let cluster = cluster(json!({})).await;
    let source = Cluster::from(cluster.client());
    let here = source
        .locate_in(given(Some("n"), Some("z"), Some("me")))
        .await;
    assert_eq!(told(&here), (Some("n"), Some("z")));
    assert_eq!(cluster.requests().total(), 0, "nobody is asked");
}

#[tokio::test(start_paused = true)]
async fn the_pod_leads_to_the_node_and_the_node_to_the_zone() {
    let cluster = cluster(json!({})).await;
    let source = Cluster::from(cluster.client());
    let here = source.locate_in(given(None, None, Some("me"))).await;
    assert_eq!(told(&here), (Some("node-1"), Some("zone-b")));
    let here = source.locate_in(given(Some("node-2"), None, None)).await;
    assert_eq!(told(&here), (Some("node-2"), Some("zone-c")));
}

#[tokio::test(start_paused = true)]
async fn the_pods_own_label_saves_a_question() {
    let cluster = cluster(json!({ "topology.kubernetes.io/zone": "zone-of-the-pod" })).await;
    let source = Cluster::from(cluster.client());
    let here = source.locate_in(given(None, None, Some("me"))).await;
    assert_eq!(told(&here), (Some("node-1"), Some("zone-of-the-pod")));
    assert_eq!(cluster.requests().total(), 1);
    let here = source.locate_in(given(None, Some("z"), Some("me"))).await;
    assert_eq!(
        told(&here),
        (Some("node-1"), Some("z")),
        "who is told believes it"
    );
    let here = source.locate_in(given(Some("n"), None, Some("me"))).await;
    assert_eq!(
        told(&here),
        (Some("n"), Some("zone-of-the-pod")),
        "the Pod is asked before the Node"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_allowed_or_not_there_stays_unknown() {
    let cluster = cluster(json!({})).await;
    let source = Cluster::from(cluster.client());
    assert_eq!(
        told(&source.locate_in(given(None, None, Some("nobody"))).await),
        (None, None)
    );
    assert_eq!(
        told(&source.locate_in(given(None, None, Some("../x y"))).await),
        (None, None)
    );
    assert_eq!(
        told(&source.locate_in(given(Some("gone"), None, None)).await),
        (Some("gone"), None)
    );
    let nobody = cluster.sign_in(User::new("nobody"));
    let source = Cluster::from(cluster.client_as(&nobody));
    let here = source
        .locate_in(given(Some("node-1"), None, Some("me")))
        .await;
    assert_eq!(told(&here), (Some("node-1"), None));
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_hangs_is_not_waited_for() {
    let cluster = cluster(json!({})).await;
    let source = Cluster::from(cluster.client());
    cluster.faults().hang_api();
    let start = tokio::time::Instant::now();
    let here = source.locate_in(given(Some("node-1"), None, None)).await;
    assert_eq!(told(&here), (Some("node-1"), None));
    assert_eq!(start.elapsed(), PATIENCE);
}
