//! The whole of it, in plain lines, on a cluster that a kubeconfig leads to and on the one of its own.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use portolan_test::{PodContext, TestCluster, User, programs};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    sync::watch,
    time::timeout,
};

use crate::{Result, arguments::Arguments, output::Output, run};

/// What was printed so far.
#[derive(Clone)]
struct Printed(Arc<watch::Sender<String>>);

impl Printed {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(String::new())))
    }

    fn text(&self) -> String {
        self.0.borrow().clone()
    }

    async fn until(&self, what: &str) {
        let mut printed = self.0.subscribe();
        let seen = printed.wait_for(|text| text.contains(what));
        if timeout(Duration::from_secs(20), seen).await.is_err() {
            panic!("`{what}` was not printed in {}", self.text());
        }
    }
}

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .send_modify(|text| text.push_str(&String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn quickstart(arguments: &[&str], printed: &Printed) -> Result<()> {
    let program = ["quickstart"].iter().chain(arguments);
    let arguments = Arguments::try_parse_from(program)?;
    run(&arguments, &Output::plain(printed.clone())).await
}

/// A Service `orders` of the namespace `shop`, whose Pods are as plain as can be: HTTP/1.1 and nothing
/// else, without a word of who they are.
struct Shop {
    cluster: TestCluster,
    pods: portolan_test::Workload,
    files: TempDir,
}

impl Shop {
    async fn open() -> Result<Self> {
        let plain = programs::tcp(|_: PodContext, stream| async move {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                if line.starts_with("PRI ") {
                    return; // HTTP/2, which it has not heard of.
                }
                if line == "\r\n" {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
                line.clear();
            }
        });
        let cluster = TestCluster::builder()
            .image("plain", plain)
            .grace_period(Duration::from_secs(1));
        let cluster = cluster.start().await?;
        let service = cluster.service("shop", "orders").port_to("http", 80, 8080);
        let service = service.create().await?;
        let pods = cluster.stateful_set("shop", "orders", 3).image("plain");
        let pods = pods.port("http", 8080).create().await?;
        service.wait_endpoints(3).await?;
        Ok(Self {
            cluster,
            pods,
            files: TempDir::new()?,
        })
    }

    fn file(&self, text: &str) -> Result<PathBuf> {
        let file = self.files.path().join("kubeconfig");
        std::fs::write(&file, text)?;
        Ok(file)
    }

    async fn kubeconfig(&self) -> Result<PathBuf> {
        self.file(&self.cluster.serve().await?.kubeconfig())
    }
}

/// The sum of a column of the summary's rows for Pods.
fn sum(text: &str, pods: &str, column: usize) -> u64 {
    let rows = text.lines().filter(|line| line.starts_with(pods));
    let cells = rows.filter_map(|row| row.split_whitespace().nth(column));
    cells.filter_map(|cell| cell.parse::<u64>().ok()).sum()
}

/// What a run without success says.
async fn complaint(arguments: &[&str]) -> String {
    let printed = Printed::new();
    match quickstart(arguments, &printed).await {
        Ok(()) => panic!("{arguments:?} succeeded: {}", printed.text()),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_service_of_a_real_cluster_is_balanced_and_followed() -> Result<()> {
    let (shop, printed) = (Shop::open().await?, Printed::new());
    let kubeconfig = shop.kubeconfig().await?.display().to_string();
    let arguments = [
        "--kubeconfig",
        &kubeconfig,
        "--service",
        "orders.shop:http",
        "--duration",
        "2",
        "--rate",
        "300",
    ];
    let scaling = async {
        printed.until(" requests (+").await; // The first of the lines that come once a second.
        shop.pods.scale(4).await?;
        printed.until("+ orders-3 (").await;
        shop.pods.scale(3).await?;
        printed.until("- orders-3 (").await;
        Result::<()>::Ok(())
    };
    let (ran, scaled) = tokio::join!(quickstart(&arguments, &printed), scaling);
    let text = printed.text();
    scaled?;
    ran.map_err(|error| format!("{error}: {text}"))?;
    assert!(text.contains("200 OK (HTTP/1.1)"), "{text}");
    for pod in ["orders-0 ", "orders-1 ", "orders-2 "] {
        let row = text.lines().rfind(|line| line.starts_with(pod));
        let sent = row.and_then(|row| row.split_whitespace().nth(1)?.parse().ok());
        // A third of about 600.
        assert!(sent.is_some_and(|sent: u32| sent > 50), "{pod}: {text}");
    }
    for expected in [
        "were 200 OK",
        "failures  0",
        "Pods that came     1",
        "Pods that left     1",
    ] {
        assert!(text.contains(expected), "no `{expected}` in {text}");
    }
    assert!(!text.contains("not yet"), "{text}");
    Ok(())
}

#[tokio::test]
async fn the_whole_story_fits_into_the_time_it_is_given() -> Result<()> {
    let printed = Printed::new();
    quickstart(&["--duration", "3", "--rate", "300"], &printed).await?;
    let text = printed.text();
    for expected in [
        "rolling restart, the last Pod first",
        "db-1 is killed",
        "db-1 is started again",
        "scaling from 3 to 6",
        "scaling from 6 to 2",
        "db-5 ",
        "failures  0",
        "rolling restart    6 ",
        "kill               1 ",
        "started again      1 ",
        "scale up           3 ",
        "scale down         4 ",
    ] {
        assert!(text.contains(expected), "no `{expected}` in {text}");
    }
    assert!(!text.contains("not yet"), "{text}");
    // The Pod that was killed comes back with what it had, which counts once.
    let (sent, failed) = (sum(&text, "db-", 1), sum(&text, "db-", 3));
    assert_eq!(sent - failed, sum(&text, "requests  ", 1), "{text}");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_how_to_do_it() -> Result<()> {
    let short = complaint(&["--duration", "1"]).await;
    assert!(short.contains("at least 3 seconds"), "{short}");

    let nowhere = [
        "--kubeconfig",
        "/nonexistent/kubeconfig",
        "--service",
        "orders.shop",
    ];
    let nowhere = complaint(&nowhere).await;
    assert!(nowhere.contains("no kubeconfig at"), "{nowhere}");

    let shop = Shop::open().await?;
    let kubeconfig = shop.kubeconfig().await?.display().to_string();
    let of =
        async |service: &str| complaint(&["--kubeconfig", &kubeconfig, "--service", service]).await;
    let unknown = of("payments.shop:http").await;
    assert!(
        unknown.contains("no Service `payments.shop:http`"),
        "{unknown}"
    );
    let unnamed = of("orders.shop:grpc").await;
    assert!(
        unnamed.contains("grpc") && unnamed.contains("http"),
        "{unnamed}"
    );

    let service = [
        "--service",
        "orders.shop:http",
        "--kubeconfig",
        &kubeconfig,
        "--http2",
    ];
    let refused = complaint(&service).await;
    assert!(refused.contains("--http2 and --tls"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn who_may_not_watch_is_told_which_role_to_apply() -> Result<()> {
    let shop = Shop::open().await?;
    let token = shop
        .cluster
        .sign_in(User::new("nobody").rules_in("shop", &json!([]))?);
    let kubeconfig = shop.cluster.serve().await?.kubeconfig_for(&token);
    let kubeconfig = shop.file(&kubeconfig)?.display().to_string();
    let error = complaint(&["--kubeconfig", &kubeconfig, "--service", "orders.shop"]).await;
    for expected in ["services", "kind: Role", "list"] {
        assert!(error.contains(expected), "no `{expected}` in {error}");
    }
    Ok(())
}
