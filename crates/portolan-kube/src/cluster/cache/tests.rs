//! Who shares with whom.

use std::fs;

use futures::StreamExt as _;
use portolan_core::{Resolution, Source as _};
use portolan_test::{TestCluster, Verb};
use tempfile::TempDir;

use super::*;
use crate::Cluster;

const TWO_CONTEXTS: &str = r#"
current-context: here
contexts:
  - name: here
    context: { cluster: c, user: u, namespace: shop }
  - name: there
    context: { cluster: c, user: u }
clusters:
  - name: c
    cluster: { server: "http://127.0.0.1:1" }
users:
  - name: u
    user: { token: "first" }
"#;

fn share(a: &Cluster, b: &Cluster) -> bool {
    Arc::ptr_eq(a.shared(), b.shared())
}

#[tokio::test]
async fn two_that_find_the_same_cluster_share_one_watch() {
    let cluster = TestCluster::start().await.unwrap();
    let service = cluster.service("shop", "db").headless().port("http", 8080);
    service.create().await.unwrap();
    let endpoint = cluster.serve().await.unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config");
    fs::write(&file, endpoint.kubeconfig()).unwrap();
    let mut streams = Vec::new();
    for namespace in ["shop", "billing"] {
        let source = Cluster::from_kubeconfig(&file, None).await.unwrap();
        let source = source.with_namespace(namespace);
        assert_eq!(
            source.namespace(),
            namespace,
            "what is not shared stays apart"
        );
        let mut stream = source.watch(&"db.shop:http".parse().unwrap());
        while !matches!(stream.next().await, Some(Resolution::Present(_))) {}
        streams.push(stream);
    }
    for resource in ["endpointslices", "services"] {
        assert_eq!(cluster.requests().count(Verb::List, resource), 1);
    }
}

#[tokio::test]
async fn what_differs_in_anything_is_not_shared() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config");
    fs::write(&file, TWO_CONTEXTS).unwrap();
    let open = async |context| Cluster::from_kubeconfig(&file, context).await.unwrap();
    let first = open(None).await;
    assert!(share(&first, &open(None).await));
    assert!(share(&first, &open(Some("here")).await), "by its name");
    assert!(!share(&first, &open(Some("there")).await));
    let impatient = open(None).await.with_watch_options(WatchOptions::default());
    assert!(!share(&first, &impatient));
    fs::write(&file, TWO_CONTEXTS.replace("first", "second")).unwrap();
    assert!(!share(&first, &open(None).await), "another token");
    let client = kube::Client::new(tower::service_fn(refuse), "shop");
    assert!(!share(
        &Cluster::from(client.clone()),
        &Cluster::from(client)
    ));
}

async fn refuse(
    _: http::Request<kube::client::Body>,
) -> Result<http::Response<kube::client::Body>, std::io::Error> {
    Err(std::io::ErrorKind::ConnectionRefused.into())
}

#[test]
fn a_runtime_that_is_shut_down_leaves_nothing_to_share() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config");
    fs::write(&file, TWO_CONTEXTS).unwrap();
    let on_a_runtime = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime
            .block_on(Cluster::from_kubeconfig(&file, None))
            .unwrap()
    };
    assert!(!share(&on_a_runtime(), &on_a_runtime()));
}

#[tokio::test]
async fn nothing_is_kept_once_nobody_uses_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config");
    fs::write(&file, TWO_CONTEXTS).unwrap();
    let cluster = Cluster::from_kubeconfig(&file, None).await.unwrap();
    let weak = Arc::downgrade(cluster.shared());
    drop(cluster);
    assert_eq!(weak.strong_count(), 0);
    Cluster::from_kubeconfig(&file, None).await.unwrap();
    let kept = |known: &Weak<Shared>| known.ptr_eq(&weak);
    let in_use = IN_USE.lock().unwrap();
    assert!(!in_use.iter().any(|(_, known)| kept(known)));
}
