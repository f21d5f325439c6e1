//! No service at all: choose a Pod, talk to it as you like, say how it went.
//!
//! ```sh
//! cargo run --example any_protocol
//! ```
#![allow(clippy::print_stdout, reason = "it is there to be looked at")]

use portolan::Cluster;
use portolan_test::{PodContext, TestCluster, programs};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kubernetes = three_caches().await?;

    // In a Pod this is `Cluster::infer().await?`.
    let cluster = Cluster::from(kubernetes.client());
    let caches = cluster.service("cache.shop:cache")?.nodes()?;
    for key in ["user:17", "user:18", "user:19"] {
        let mut lease = caches.pick(key).await?;
        let Ok(mut connection) = TcpStream::connect(lease.address()).await else {
            // It is left out of the choice until it can be connected to.
            caches.unreachable(lease);
            continue;
        };
        let mut greeting = String::new();
        match connection.read_to_string(&mut greeting).await {
            Ok(_) => lease.succeed(),
            Err(_) => lease.fail(),
        }
        println!(
            "{key}: {greeting} ({:?} at {})",
            lease.pod(),
            lease.address()
        );
    }
    Ok(())
}

async fn three_caches() -> Result<TestCluster, portolan_test::Error> {
    let program = programs::tcp(|pod: PodContext, mut connection| async move {
        // Whoever hangs up early gets no greeting.
        let _ = connection.write_all(pod.name().as_bytes()).await;
    });
    let cluster = TestCluster::builder()
        .image("cache", program)
        .start()
        .await?;
    let service = cluster
        .service("shop", "cache")
        .headless()
        .port("cache", 6379)
        .create()
        .await?;
    let pods = cluster.stateful_set("shop", "cache", 3).image("cache");
    pods.port("cache", 6379).create().await?;
    service.wait_endpoints(3).await?;
    Ok(cluster)
}
