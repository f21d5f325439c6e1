//! The rules of the Kubernetes API, held against the cluster under paused time.

mod lists;
mod objects;
mod watches;

use portolan_test::TestCluster;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn cluster() -> TestCluster {
    TestCluster::builder()
        .without_kubelet()
        .start()
        .await
        .unwrap()
}
