//! How workloads start, roll, scale and end, with a kubelet, under paused time.

use std::time::Duration;

use crate::support::{Lines, call, get, name};
use portolan_test::{TestCluster, Workload};
use serde_json::json;
use tokio::time::Instant;

const PODS: &str = "/api/v1/namespaces/shop/pods";

/// What happens to Pods, in words: `db-0 new`, `db-0 ready`, `db-0 terminating`, `db-0 gone`.
struct Story {
    watch: Lines,
    ready: std::collections::HashSet<String>,
    terminating: std::collections::HashSet<String>,
}

impl Story {
    async fn of(cluster: &TestCluster) -> Self {
        cluster.namespace("shop").await.unwrap();
        let list = get(&cluster.client(), PODS).await;
        let names =
            |list: &serde_json::Value| list["items"].as_array().unwrap().iter().map(name).collect();
        let version = list["metadata"]["resourceVersion"].as_str().unwrap();
        let path = format!("{PODS}?watch=1&resourceVersion={version}");
        Self {
            watch: Lines::open(&cluster.client(), &path).await,
            ready: names(&list),
            terminating: Default::default(),
        }
    }

    async fn next(&mut self) -> String {
        loop {
            let (change, pod) = self.watch.next().await.unwrap();
            let name = name(&pod);
            let ready = pod["status"]["conditions"]
                .as_array()
                .is_some_and(|conditions| {
                    conditions
                        .iter()
                        .any(|c| c["type"] == "Ready" && c["status"] == "True")
                });
            let terminating = pod["metadata"]["deletionTimestamp"].is_string();
            match change.as_str() {
                "ADDED" => return format!("{name} new"),
                "DELETED" => {
                    self.ready.remove(&name);
                    self.terminating.remove(&name);
                    return format!("{name} gone");
                }
                _ if terminating && self.terminating.insert(name.clone()) => {
                    return format!("{name} terminating");
                }
                _ if ready && !terminating && self.ready.insert(name.clone()) => {
                    return format!("{name} ready");
                }
                _ => {}
            }
        }
    }

    async fn expect(&mut self, story: &[&str]) {
        for expected in story {
            assert_eq!(self.next().await, *expected);
        }
    }
}

async fn three(cluster: &TestCluster) -> Workload {
    let db = cluster.stateful_set("shop", "db", 3).port("http", 8080);
    let db = db.create().await.unwrap();
    db.wait_ready(3).await.unwrap();
    db
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_starts_one_after_the_other() {
    let cluster = TestCluster::start().await.unwrap();
    let mut story = Story::of(&cluster).await;
    let start = Instant::now();
    let db = cluster.stateful_set("shop", "db", 3).port("http", 8080);
    let db = db
        .annotation("portolan.test/ready-after", "5s")
        .create()
        .await
        .unwrap();
    story
        .expect(&[
            "db-0 new",
            "db-0 ready",
            "db-1 new",
            "db-1 ready",
            "db-2 new",
            "db-2 ready",
        ])
        .await;
    db.wait_ready(3).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 15);
    let pod = get(&cluster.client(), &format!("{PODS}/db-1")).await;
    assert_eq!(pod["spec"]["hostname"], "db-1");
    assert_eq!(pod["spec"]["subdomain"], "db");
    let labels = &pod["metadata"]["labels"];
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "1");
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "db-1");
    assert!(
        labels["controller-revision-hash"]
            .as_str()
            .unwrap()
            .starts_with("db-")
    );
    assert_eq!(
        pod["status"]["podIP"],
        cluster.pod("shop", "db-1").unwrap().ip().to_string()
    );
    let nodes: std::collections::HashSet<_> = cluster
        .pods()
        .iter()
        .map(|pod| pod.node().to_owned())
        .collect();
    assert_eq!(nodes.len(), 3, "spread over the nodes");
}

#[tokio::test(start_paused = true)]
async fn a_parallel_one_starts_at_once() {
    let cluster = TestCluster::start().await.unwrap();
    let start = Instant::now();
    let db = cluster
        .stateful_set("shop", "db", 3)
        .port("http", 8080)
        .parallel();
    let db = db
        .annotation("portolan.test/ready-after", "5s")
        .create()
        .await
        .unwrap();
    db.wait_ready(3).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 5);
    let mut story = Story::of(&cluster).await;
    db.scale(1).await.unwrap();
    story
        .expect(&["db-2 terminating", "db-1 terminating"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_roll_goes_from_the_highest_down_and_waits_for_readiness() {
    let cluster = TestCluster::start().await.unwrap();
    let db = three(&cluster).await;
    let mut story = Story::of(&cluster).await;
    db.roll().await.unwrap();
    for name in ["db-2", "db-1", "db-0"] {
        for step in ["terminating", "gone", "new", "ready"] {
            story.expect(&[format!("{name} {step}").as_str()]).await;
        }
    }
    db.wait_ready(3).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_roll_stops_at_a_pod_that_does_not_become_ready() {
    let cluster = TestCluster::start().await.unwrap();
    let db = three(&cluster).await;
    let mut story = Story::of(&cluster).await;
    let broken = json!({"spec": {"template": {"metadata": {"annotations": {
        "portolan.test/ready": "false",
    }}}}});
    db.patch(broken).await.unwrap();
    story
        .expect(&["db-2 terminating", "db-2 gone", "db-2 new"])
        .await;
    let later = tokio::time::timeout(Duration::from_secs(600), story.next()).await;
    assert!(later.is_err(), "{later:?}");
}

#[tokio::test(start_paused = true)]
async fn scaling_down_goes_from_the_highest_and_up_from_the_lowest() {
    let cluster = TestCluster::start().await.unwrap();
    let db = three(&cluster).await;
    let mut story = Story::of(&cluster).await;
    db.scale(1).await.unwrap();
    story
        .expect(&[
            "db-2 terminating",
            "db-2 gone",
            "db-1 terminating",
            "db-1 gone",
        ])
        .await;
    db.scale(2).await.unwrap();
    story.expect(&["db-1 new", "db-1 ready"]).await;
    db.scale(0).await.unwrap();
    story
        .expect(&[
            "db-1 terminating",
            "db-1 gone",
            "db-0 terminating",
            "db-0 gone",
        ])
        .await;
    db.wait_ready(0).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn ordinals_may_start_elsewhere_and_a_partition_holds_back() {
    let cluster = TestCluster::start().await.unwrap();
    let db = cluster
        .stateful_set("shop", "db", 3)
        .port("http", 8080)
        .with(&["spec", "ordinals", "start"], 5)
        .with(&["spec", "updateStrategy", "rollingUpdate", "partition"], 2);
    let db = db.create().await.unwrap();
    db.wait_ready(3).await.unwrap();
    let mut story = Story::of(&cluster).await;
    db.roll().await.unwrap();
    story
        .expect(&["db-7 terminating", "db-7 gone", "db-7 new", "db-7 ready"])
        .await;
    db.wait_ready(3).await.unwrap();
    let revision = async |name: &str| {
        let pod = get(&cluster.client(), &format!("{PODS}/{name}")).await;
        pod["metadata"]["labels"]["controller-revision-hash"].clone()
    };
    assert_eq!(revision("db-5").await, revision("db-6").await);
    assert_ne!(revision("db-6").await, revision("db-7").await);

    // One that is made anew below the partition is of the old revision.
    let before = revision("db-5").await;
    call(&cluster.client(), "DELETE", &format!("{PODS}/db-5"), None).await;
    story
        .expect(&["db-5 terminating", "db-5 gone", "db-5 new", "db-5 ready"])
        .await;
    assert_eq!(revision("db-5").await, before);
}

#[tokio::test(start_paused = true)]
async fn the_grace_period_ends_in_death() {
    let stubborn = portolan_test::programs::tcp(|_, stream| async move {
        let _held = stream;
        std::future::pending().await
    });
    let cluster = TestCluster::builder()
        .image("stubborn", stubborn)
        .start()
        .await
        .unwrap();
    let db = cluster
        .stateful_set("shop", "db", 1)
        .image("stubborn")
        .port("tcp", 8080);
    let db = db
        .grace_period(Duration::from_secs(7))
        .create()
        .await
        .unwrap();
    db.wait_ready(1).await.unwrap();
    let address = cluster.pod("shop", "db-0").unwrap().address();
    let open = tokio::net::TcpStream::connect(address).await.unwrap();
    let pod = cluster.pod("shop", "db-0").unwrap();
    while pod.connections() == 0 {
        tokio::task::yield_now().await;
    }
    let mut story = Story::of(&cluster).await;
    let start = Instant::now();
    db.scale(0).await.unwrap();
    story.expect(&["db-0 terminating"]).await;
    assert_eq!(start.elapsed().as_secs(), 0);
    story.expect(&["db-0 gone"]).await;
    assert_eq!(start.elapsed().as_secs(), 7, "the open connection held it");
    drop(open);
}

#[tokio::test(start_paused = true)]
async fn a_pre_stop_hook_delays_sigterm() {
    let cluster = TestCluster::start().await.unwrap();
    let hook = json!([{
        "name": "main", "image": "echo", "ports": [{"containerPort": 8080}],
        "lifecycle": {"preStop": {"sleep": {"seconds": 4}}},
    }]);
    let db = cluster
        .stateful_set("shop", "db", 1)
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    db.patch(json!({"spec": {"template": {"spec": {"containers": hook}}}}))
        .await
        .unwrap();
    db.wait_ready(1).await.unwrap();
    let mut story = Story::of(&cluster).await;
    let start = Instant::now();
    db.scale(0).await.unwrap();
    story.expect(&["db-0 terminating", "db-0 gone"]).await;
    assert_eq!(start.elapsed().as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_never_has_too_few_or_too_many() {
    let cluster = TestCluster::start().await.unwrap();
    let web = cluster.deployment("shop", "web", 4).port("http", 8080);
    let web = web.annotation("portolan.test/ready-after", "3s");
    let web = web
        .with(&["spec", "strategy", "rollingUpdate", "maxSurge"], 1)
        .with(&["spec", "strategy", "rollingUpdate", "maxUnavailable"], 1);
    let web = web.create().await.unwrap();
    web.wait_ready(4).await.unwrap();
    let before: Vec<_> = cluster
        .pods()
        .iter()
        .map(|pod| pod.name().to_owned())
        .collect();
    assert!(
        before.iter().all(|name| name.starts_with("web-")),
        "{before:?}"
    );

    let mut story = Story::of(&cluster).await;
    web.roll().await.unwrap();
    let (mut there, mut ready, mut new) = (4, 4, 0);
    while new < 4 || there > 4 || ready < 4 {
        let step = story.next().await;
        match step.rsplit_once(' ').unwrap().1 {
            "new" => there += 1,
            "ready" => (ready, new) = (ready + 1, new + 1),
            "terminating" => (there, ready) = (there - 1, ready - 1),
            _ => {}
        }
        assert!(
            there <= 5 && ready >= 3,
            "{step}: {there} there, {ready} ready"
        );
    }
    web.wait_ready(4).await.unwrap();
    assert!(
        cluster
            .pods()
            .iter()
            .all(|pod| !before.contains(&pod.name().to_owned()))
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_workload_takes_its_pods_with_it() {
    let cluster = TestCluster::start().await.unwrap();
    let db = three(&cluster).await;
    let mut story = Story::of(&cluster).await;
    db.delete().await.unwrap();
    let mut gone = Vec::new();
    while gone.len() < 3 {
        let step = story.next().await;
        gone.extend(step.strip_suffix(" gone").map(str::to_owned));
    }
    assert!(cluster.pods().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_image_and_a_wait_in_vain_say_so() {
    let cluster = TestCluster::start().await.unwrap();
    let workloads = cluster.workloads().patience(Duration::from_secs(5));
    let db = workloads
        .stateful_set("shop", "db", 1)
        .image("nonesuch")
        .port("http", 8080);
    let db = db.create().await.unwrap();
    let error = db.wait_ready(1).await.unwrap_err().to_string();
    assert!(
        error.contains("1 ready Pods of StatefulSet shop/db"),
        "{error}"
    );
    let pod = get(&cluster.client(), &format!("{PODS}/db-0")).await;
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["reason"], "ErrImagePull");
    let error = cluster.pod("shop", "db-0").unwrap_err().to_string();
    assert!(error.contains("shop/db-0 does not run"), "{error}");
}
