//! In a Pod, and credentials that are replaced while they are in use. Against a server that is
//! there: the client, its connections and its token are the real ones.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use portolan_core::{Resolution, Source as _, SourceErrorKind};
use portolan_test::{ApiEndpoint, TestCluster};
use tokio::time::timeout;

use super::*;

/// Of nobody: the test's server speaks HTTP. A Pod has one all the same, and it must be readable.
const CA: &str = "\
-----BEGIN CERTIFICATE-----
MIIBeDCCAR+gAwIBAgIUF1FDPW450rR/UPL62514OqGrItwwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbm9ib2R5MCAXDTI2MTEyNTAxNTgxNVoYDzIxMjYxMTAxMDE1
ODE1WjARMQ8wDQYDVQQDDAZub2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AARpq2nqOxGQfGqEixpaLptc6SvjnmkuSnvra5wqvf7nAV+c1q15K9T4ccdoHZ1v
takMjM8+fZLknAKSjg0sCd/+o1MwUTAdBgNVHQ4EFgQUVTDPjWMfYjAkby/R3KY7
g/naW4cwHwYDVR0jBBgwFoAUVTDPjWMfYjAkby/R3KY7g/naW4cwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAxxpOBFPpi/I6gaZ+lrwXtsyuvKpLV
ZkWr4H58yNRuKAIgQOk1C23GX9lEiBM3DTLidwDnGiYAVPhUJY+S65ZSdfM=
-----END CERTIFICATE-----
";

/// A Pod's folder with this token.
fn pod(server: &str, token: &str) -> (TempDir, ServiceAccount) {
    let folder = TempDir::new().unwrap();
    for (name, text) in [("token", token), ("ca.crt", CA), ("namespace", "shop\n")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let service_account = ServiceAccount {
        server: server.to_owned(),
        folder: folder.path().to_owned(),
    };
    (folder, service_account)
}

/// A cluster with the Service `db` in `shop`, and where it is served.
async fn served() -> (TestCluster, ApiEndpoint) {
    let cluster = TestCluster::start().await.unwrap();
    let service = cluster.service("shop", "db").headless().port("http", 8080);
    service.create().await.unwrap();
    let db = cluster.stateful_set("shop", "db", 1).port("http", 8080);
    db.create().await.unwrap().wait_ready(1).await.unwrap();
    let endpoint = cluster.serve().await.unwrap();
    (cluster, endpoint)
}

async fn next(resolutions: &mut (impl Stream<Item = Resolution> + Unpin)) -> Resolution {
    // In real time, since sockets are: this is for a test that fails.
    let next = timeout(Duration::from_secs(20), resolutions.next()).await;
    next.expect("nothing came").expect("the stream ended")
}

async fn until_found(resolutions: &mut (impl Stream<Item = Resolution> + Unpin)) {
    loop {
        match next(resolutions).await {
            Resolution::Present(set) if !set.is_empty() => return,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_pod_finds_its_cluster_and_its_namespace() {
    let (cluster, endpoint) = served().await;
    let (_folder, service_account) = pod(&endpoint.url(), cluster.admin_token().as_str());
    let surroundings = Surroundings {
        service_account: Some(service_account),
        // It comes second to the service account.
        kubeconfig: Some("/nowhere".into()),
        ..Surroundings::default()
    };
    let found = surroundings.origin().read().await.unwrap();
    let source = crate::Cluster::found(found).unwrap();
    assert_eq!(source.namespace(), "shop");
    until_found(&mut source.watch(&"db:http".parse().unwrap())).await;
}

#[tokio::test]
async fn a_service_account_of_which_something_is_missing() {
    for missing in ["ca.crt", "namespace"] {
        let (folder, service_account) = pod("https://10.96.0.1:443", "t");
        fs::remove_file(folder.path().join(missing)).unwrap();
        let surroundings = Surroundings {
            service_account: Some(service_account),
            ..Surroundings::default()
        };
        let error = refused(surroundings).await;
        assert!(matches!(error, Error::ServiceAccount { .. }), "{error:?}");
    }
}

#[test]
fn the_url_of_the_api_server_as_a_pod_is_told() {
    assert_eq!(server("10.96.0.1", Some("6443")), "https://10.96.0.1:6443");
    assert_eq!(server("fd00::1", Some("443")), "https://[fd00::1]:443");
    assert_eq!(server("api.example", None), "https://api.example:443");
}

/// The credentials of a watch that is running are replaced, by `replace`, and then they expire.
async fn survives(cluster: &TestCluster, source: &crate::Cluster, replace: impl FnOnce(&str)) {
    let mut resolutions = source.watch(&"db.shop:http".parse().unwrap());
    until_found(&mut resolutions).await;
    // As `kubelet` does it: the new token is there before the old one is worth nothing.
    replace(cluster.rotate(cluster.admin_token()).as_str());
    cluster.expire(cluster.admin_token());
    cluster.faults().end_watches();
    loop {
        if let Resolution::Failed(error) = next(&mut resolutions).await {
            assert_eq!(error.kind(), SourceErrorKind::Unauthenticated);
            break;
        }
    }
    until_found(&mut resolutions).await;
}

#[tokio::test]
async fn a_pods_token_is_replaced() {
    let (cluster, endpoint) = served().await;
    let (folder, service_account) = pod(&endpoint.url(), cluster.admin_token().as_str());
    let origin = Origin::ServiceAccount(service_account);
    let source = crate::Cluster::found(origin.read().await.unwrap()).unwrap();
    let file = folder.path().join("token");
    survives(&cluster, &source, |token| fs::write(file, token).unwrap()).await;
}

#[tokio::test]
async fn a_token_file_is_replaced() {
    let (cluster, endpoint) = served().await;
    let folder = TempDir::new().unwrap();
    let (token, config) = (folder.path().join("token"), folder.path().join("config"));
    fs::write(&token, cluster.admin_token().as_str()).unwrap();
    fs::write(&config, endpoint.kubeconfig_with_token_file(&token)).unwrap();
    let source = crate::Cluster::from_kubeconfig(&config, None)
        .await
        .unwrap();
    survives(&cluster, &source, |new| fs::write(&token, new).unwrap()).await;
}

#[tokio::test]
async fn a_token_within_the_kubeconfig_is_replaced() {
    let (cluster, endpoint) = served().await;
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("config");
    let old = endpoint.kubeconfig();
    fs::write(&config, &old).unwrap();
    let source = crate::Cluster::from_kubeconfig(&config, None)
        .await
        .unwrap();
    let former = cluster.admin_token().as_str();
    survives(&cluster, &source, |new| {
        fs::write(&config, old.replace(former, new)).unwrap();
    })
    .await;
}

/// Whoever switches to another cluster with `kubectl config use-context` does not mean the programs
/// that are running.
#[tokio::test]
async fn another_cluster_does_not_take_the_place_of_this_one() {
    let (cluster, endpoint) = served().await;
    let (other, elsewhere) = served().await;
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("config");
    fs::write(&config, endpoint.kubeconfig()).unwrap();
    let source = crate::Cluster::from_kubeconfig(&config, None)
        .await
        .unwrap();
    let mut resolutions = source.watch(&"db.shop:http".parse().unwrap());
    until_found(&mut resolutions).await;
    other.requests().reset();
    fs::write(&config, elsewhere.kubeconfig()).unwrap();
    cluster.expire(cluster.admin_token());
    cluster.faults().end_watches();
    while !matches!(next(&mut resolutions).await, Resolution::Failed(_)) {}
    // It fails on, for as long as it takes to be asked twice more.
    let asked = cluster.requests().total();
    let again = async {
        while cluster.requests().total() < asked + 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), again).await.unwrap();
    assert_eq!(other.requests().total(), 0);
}

/// With the certificate authority of its folder, which must be one.
#[tokio::test]
async fn a_pods_client_is_made_for_tls_too() {
    let (folder, service_account) = pod("https://127.0.0.1:1", "t");
    let found = Origin::ServiceAccount(service_account.clone()).read().await;
    found.unwrap().client().unwrap();
    fs::write(folder.path().join("ca.crt"), "no certificate").unwrap();
    let found = Origin::ServiceAccount(service_account).read().await;
    let error = found.unwrap().client().err().unwrap();
    assert!(matches!(error, Error::Client { .. }), "{error:?}");
}
