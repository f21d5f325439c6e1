//! A program from a function over bare connections.

use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::task::JoinSet;

use crate::pod::{PodContext, PodListener, PodStream};

use super::Program;

/// A program that runs `handle` for each connection, on all its ports.
///
/// It is ready at once. On SIGTERM it stops accepting and waits for the connections to end.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use portolan_test::{TestCluster, programs};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// let cluster = TestCluster::start().await?;
/// cluster.images().register("greeter", programs::tcp(|pod, mut stream| async move {
///     stream.write_all(pod.name().as_bytes()).await.ok();
/// }));
/// cluster.stateful_set("shop", "hello", 1).image("greeter").port("tcp", 9000).create().await?.wait_ready(1).await?;
/// let mut stream = tokio::net::TcpStream::connect(cluster.pod("shop", "hello-0")?.address()).await?;
/// let mut name = String::new();
/// stream.read_to_string(&mut name).await?;
/// assert_eq!(name, "hello-0");
/// # Ok(()) }
/// ```
pub fn tcp<F, Fut>(handle: F) -> impl Program
where
    F: Fn(PodContext, PodStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Tcp {
        handle: Arc::new(handle),
    }
}

struct Tcp<F> {
    handle: Arc<F>,
}

impl<F, Fut> Program for Tcp<F>
where
    F: Fn(PodContext, PodStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    fn serve(&self, pod: PodContext, ports: Vec<PodListener>) -> BoxFuture<'static, ()> {
        let handle = Arc::clone(&self.handle);
        accept_all(pod, ports, move |pod, stream| {
            let handle = Arc::clone(&handle);
            async move {
                let faults = Arc::clone(pod.faults());
                let (_, _in_flight) = faults.begin_request();
                faults.until_answered().await;
                handle(pod, stream).await;
            }
        })
    }
}

/// Runs `handle` for each connection of each port until SIGTERM, then waits for those that are
/// open. Returns early if a port is closed under it.
pub(super) fn accept_all<F, Fut>(
    pod: PodContext,
    ports: Vec<PodListener>,
    handle: F,
) -> BoxFuture<'static, ()>
where
    F: Fn(PodContext, PodStream) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Box::pin(async move {
        let mut acceptors = JoinSet::new();
        for port in ports {
            acceptors.spawn(accept(pod.clone(), port, handle.clone()));
        }
        pod.set_ready(true);
        if acceptors.is_empty() {
            pod.terminating().await;
        }
        while acceptors.join_next().await.is_some() {}
    })
}

async fn accept<F, Fut>(pod: PodContext, mut port: PodListener, handle: F)
where
    F: Fn(PodContext, PodStream) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = pod.terminating() => break,
            accepted = port.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(handle(pod.clone(), stream));
                }
                Err(_) => break,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    // No new connections while the open ones finish.
    drop(port);
    while connections.join_next().await.is_some() {}
}
