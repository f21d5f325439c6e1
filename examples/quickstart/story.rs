//! What happens to the Pods: a rolling restart, a crash, scaling up and down.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use portolan_test::{PodContext, TestCluster, programs};
use tokio::time::sleep;
use tower::service_fn;

use crate::{Result, follow::Follower, view::View};

/// A cluster in this process with a StatefulSet of three Pods, and what is going to happen to it.
#[derive(Debug)]
pub(crate) struct Story {
    cluster: TestCluster,
    pods: portolan_test::Workload,
}

/// How long nothing happens between two steps, so that each can be seen by itself.
const CALM: Duration = Duration::from_millis(1500);

impl Story {
    pub(crate) const SERVICE: &str = "db.shop:http";
    pub(crate) const STEPS: u64 = 7;

    pub(crate) async fn begin() -> Result<Self> {
        let cluster = TestCluster::builder()
            .image(
                "orders",
                programs::http(|pod: PodContext| service_fn(move |_| answer(pod.clone()))),
            )
            .grace_period(Duration::from_secs(2))
            .start()
            .await?;
        let service = cluster.service("shop", "db").headless().port("http", 8080);
        let service = service.create().await?;
        let pods = cluster.stateful_set("shop", "db", 3).image("orders");
        let pods = pods
            .port("http", 8080)
            // As long as a small service takes to be ready, so that a rolling restart can be watched.
            .annotation("portolan.test/ready-after", "400ms")
            .create()
            .await?;
        service.wait_endpoints(3).await?;
        Ok(Self { cluster, pods })
    }

    pub(crate) fn client(&self) -> kube::Client {
        self.cluster.client()
    }

    /// Lets it happen.
    pub(crate) async fn tell(&self, view: &View, follower: &Follower) -> Result<()> {
        view.step("three Pods, all well");
        sleep(CALM).await;
        view.step("rolling restart: each Pod is replaced, the last first");
        self.pods.roll().await?;
        self.pods.wait_ready(3).await?;
        sleep(CALM).await;
        view.step("db-1 is killed without warning, with requests in flight");
        let killed = self.cluster.pod("shop", "db-1")?;
        follower.expect_gone(killed.address());
        killed.kill();
        sleep(CALM).await;
        view.step("db-1 is started again");
        self.pods.wait_ready(3).await?;
        sleep(CALM).await;
        view.step("scaling from 3 to 6");
        self.pods.scale(6).await?;
        self.pods.wait_ready(6).await?;
        sleep(CALM).await;
        view.step("scaling from 6 to 2");
        self.pods.scale(2).await?;
        self.pods.wait_ready(2).await?;
        view.step("two Pods, all well");
        sleep(CALM).await;
        Ok(())
    }
}

/// What each Pod serves: an answer that takes 2 to 8 ms, and says who gave it.
async fn answer(pod: PodContext) -> Result<Response<Full<Bytes>>, Infallible> {
    sleep(Duration::from_micros(fastrand::u64(2_000..8_000))).await;
    let mut response = Response::new(Full::from("done\n"));
    if let Ok(name) = pod.name().parse() {
        response.headers_mut().insert("x-pod", name);
    }
    Ok(response)
}
