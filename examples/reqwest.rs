//! reqwest over the Pods of a StatefulSet.
//!
//! ```sh
//! cargo run --example reqwest
//! ```
#![allow(clippy::print_stdout, reason = "it is there to be looked at")]

use portolan::Cluster;
use portolan_test::TestCluster;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kubernetes = TestCluster::start().await?;
    let service = kubernetes
        .service("shop", "orders")
        .headless()
        .port("http", 8080);
    let service = service.create().await?;
    kubernetes
        .stateful_set("shop", "orders", 3)
        .port("http", 8080)
        .create()
        .await?;
    service.wait_endpoints(3).await?;

    // In a Pod this is `Cluster::infer().await?`.
    let cluster = Cluster::from(kubernetes.client());
    let orders = cluster
        .service("orders.shop:http")?
        .reqwest()
        .retry_idempotent()
        .build()?;
    for order in 1..=6 {
        let response = orders.get(&format!("/orders/{order}")).send().await?;
        println!("order {order}: {}", response.text().await?);
    }
    Ok(())
}
