//! What happens to the Pods of a cluster of our own: a rolling restart, a crash, scaling up and down.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use portolan_test::{PodContext, TestCluster, programs};
use tokio::time::{Instant, sleep, sleep_until};
use tower::service_fn;

use crate::{Result, follow::Follower, view::View};

/// A cluster in this process with a StatefulSet of three Pods, and what is going to happen to it.
#[derive(Debug)]
pub(crate) struct Story {
    cluster: TestCluster,
    pods: portolan_test::Workload,
    duration: Duration,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Calm,
    Roll,
    Kill,
    Restart,
    ScaleUp,
    ScaleDown,
}

impl Step {
    pub(crate) const COUNT: u64 = 6;

    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Calm => "three Pods, all well",
            Self::Roll => "rolling restart, the last Pod first",
            Self::Kill => "db-1 is killed, requests in flight",
            Self::Restart => "db-1 is started again",
            Self::ScaleUp => "scaling from 3 to 6",
            Self::ScaleDown => "scaling from 6 to 2",
        }
    }

    /// The part of the story that is over when it begins.
    fn begins_at(self) -> f64 {
        match self {
            Self::Calm => 0.0,
            Self::Roll => 0.12,
            Self::Kill => 0.44,
            Self::Restart => 0.50,
            Self::ScaleUp => 0.66,
            Self::ScaleDown => 0.88,
        }
    }
}

/// Nothing happens for at least this long between two steps, however slow the machine is.
const CALM: Duration = Duration::from_millis(100);
/// As long as a small service takes to be ready, and a crashed one to be started again, so that it can be
/// watched; less in a short story.
const READY_AFTER: Duration = Duration::from_millis(400);
const RESTART_AFTER: Duration = Duration::from_secs(1);

impl Story {
    pub(crate) const SERVICE: &str = "db.shop:http";
    pub(crate) const NAMESPACE: &str = "shop";
    const DURATION: Duration = Duration::from_secs(12);
    const SHORTEST: Duration = Duration::from_secs(3);

    /// # Errors
    /// Where there is too little time for what is going to happen.
    pub(crate) async fn begin(duration: Option<Duration>) -> Result<Self> {
        let duration = duration.unwrap_or(Self::DURATION);
        if duration < Self::SHORTEST {
            return Err(format!(
                "--duration {}: a rolling restart, a kill and scaling take at least {} seconds",
                duration.as_secs_f64(),
                Self::SHORTEST.as_secs_f64()
            )
            .into());
        }
        let cluster = TestCluster::builder()
            .image(
                "orders",
                programs::http(|_: PodContext| service_fn(|_| answer())),
            )
            .grace_period(Duration::from_secs(2))
            .restart_backoff(RESTART_AFTER.min(duration / 12))
            .start()
            .await?;
        let service = cluster.service(Self::NAMESPACE, "db").headless();
        let service = service.port("http", 8080).create().await?;
        let ready_after = READY_AFTER.min(duration / 30).as_millis();
        let pods = cluster.stateful_set(Self::NAMESPACE, "db", 3);
        let pods = pods
            .image("orders")
            .port("http", 8080)
            .annotation("portolan.test/ready-after", &format!("{ready_after}ms"))
            .create()
            .await?;
        service.wait_endpoints(3).await?;
        Ok(Self {
            cluster,
            pods,
            duration,
        })
    }

    pub(crate) fn client(&self) -> kube::Client {
        self.cluster.client()
    }

    /// Lets it happen.
    pub(crate) async fn tell(&self, view: &View, follower: &Follower) -> Result<()> {
        let start = Instant::now();
        let begin = async |step: Step| {
            sleep_until(start + self.duration.mul_f64(step.begins_at())).await;
            follower.step(step);
            view.step(step);
        };
        begin(Step::Calm).await;
        begin(Step::Roll).await;
        self.pods.roll().await?;
        self.pods.wait_ready(3).await?;
        sleep(CALM).await;
        begin(Step::Kill).await;
        let killed = self.cluster.pod(Self::NAMESPACE, "db-1")?;
        follower.killed(killed.uid());
        killed.kill();
        sleep(CALM).await;
        begin(Step::Restart).await;
        self.pods.wait_ready(3).await?;
        sleep(CALM).await;
        begin(Step::ScaleUp).await;
        self.pods.scale(6).await?;
        self.pods.wait_ready(6).await?;
        sleep(CALM).await;
        begin(Step::ScaleDown).await;
        self.pods.scale(2).await?;
        self.pods.wait_ready(2).await?;
        sleep(CALM).await;
        sleep_until(start + self.duration).await;
        Ok(())
    }
}

/// What each Pod serves: an answer that takes 2 to 8 ms.
async fn answer() -> Result<Response<Full<Bytes>>, Infallible> {
    sleep(Duration::from_micros(fastrand::u64(2_000..8_000))).await;
    Ok(Response::new(Full::from("done\n")))
}
