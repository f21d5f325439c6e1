//! The balancer as a tower layer, round a client for one endpoint that knows nothing of it: here, a
//! protocol of one line each way.
//!
//! ```sh
//! cargo run --example tower_layer
//! ```
#![allow(clippy::print_stdout, reason = "it is there to be looked at")]

use std::{io, net::SocketAddr};

use portolan::{Cluster, Endpoint};
use portolan_test::{PodContext, TestCluster, programs};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kubernetes = three_oracles().await?;

    // In a Pod this is `Cluster::infer().await?`.
    let cluster = Cluster::from(kubernetes.client());
    let oracle = ServiceBuilder::new()
        .layer(cluster.service("oracle.shop:ask")?.layer()?)
        .service(|endpoint: &Endpoint| {
            let address = endpoint.address();
            service_fn(move |question: String| ask(address, question))
        });
    for question in ["will it rain?", "will it pour?", "will it hold?"] {
        println!(
            "{question} {}",
            oracle.clone().oneshot(question.to_owned()).await?
        );
    }
    Ok(())
}

/// The client for one endpoint.
async fn ask(address: SocketAddr, question: String) -> io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    connection
        .write_all(format!("{question}\n").as_bytes())
        .await?;
    let mut answer = String::new();
    BufReader::new(connection).read_line(&mut answer).await?;
    Ok(answer.trim_end().to_owned())
}

async fn three_oracles() -> Result<TestCluster, portolan_test::Error> {
    let program = programs::tcp(|pod: PodContext, connection| async move {
        let mut connection = BufReader::new(connection);
        let mut question = String::new();
        // Whoever hangs up early gets no answer.
        if connection.read_line(&mut question).await.is_ok() {
            let answer = format!("perhaps, says {}\n", pod.name());
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    let cluster = TestCluster::builder()
        .image("oracle", program)
        .start()
        .await?;
    let service = cluster
        .service("shop", "oracle")
        .port("ask", 7000)
        .create()
        .await?;
    let pods = cluster.deployment("shop", "oracle", 3).image("oracle");
    pods.port("ask", 7000).create().await?;
    service.wait_endpoints(3).await?;
    Ok(cluster)
}
