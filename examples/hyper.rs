//! HTTP requests to the Pods of a StatefulSet.
//!
//! ```sh
//! cargo run --example hyper
//! ```
#![allow(clippy::print_stdout, reason = "it is there to be looked at")]

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use portolan::{Cluster, Wait};
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
        .wait(Wait::UpTo(Duration::from_secs(2)))
        .http()
        .http2()
        .retry_idempotent()
        .build()?;
    for order in 1..=6 {
        let request = Request::get(format!("/orders/{order}")).body(Empty::<Bytes>::new())?;
        let response = orders.send(request).await?;
        let pod = response.headers().get("x-pod").cloned();
        let body = response.into_body().collect().await?.to_bytes();
        println!("order {order}: {} bytes from {pod:?}", body.len());
    }
    Ok(())
}
