//! The API by HTTP, with faults that are visible on the socket.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::{ApiServer, Origin};
use crate::error::Error;
use crate::faults::{Availability, Condition};

/// The pause before the port is tried again after an outage.
const RETRY: Duration = Duration::from_millis(20);

/// Listens on a free port, and gives the server to be run.
pub(super) async fn bind(
    api: Arc<ApiServer>,
) -> Result<(SocketAddr, impl Future<Output = ()> + Send + 'static), Error> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let failed = |source| Error::Listen {
        address: any,
        source,
    };
    let listener = TcpListener::bind(any).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((address, run(api, listener, address)))
}

async fn run(api: Arc<ApiServer>, mut listener: TcpListener, address: SocketAddr) {
    let mut condition = api.faults.condition();
    loop {
        // Returns when the API is to be down, with listener and connections closed.
        serve(&api, listener, &mut condition).await;
        let up = |condition: &Condition| condition.availability != Availability::Down;
        if condition.wait_for(up).await.is_err() {
            return;
        }
        listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(error) => {
                    tracing::warn!(%error, %address, "the API cannot listen again yet");
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
    }
}

async fn serve(
    api: &Arc<ApiServer>,
    listener: TcpListener,
    condition: &mut watch::Receiver<Condition>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = fallen(condition) => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(Arc::clone(api), stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "the API cannot accept");
                    tokio::time::sleep(RETRY).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Waits until the API is to be down.
async fn fallen(condition: &mut watch::Receiver<Condition>) {
    let down = |condition: &Condition| condition.availability == Availability::Down;
    // An error means that the cluster is gone, which is as good.
    condition.wait_for(down).await.ok();
}

async fn serve_connection(api: Arc<ApiServer>, stream: TcpStream) {
    stream.set_nodelay(true).ok();
    let service = service_fn(move |request| {
        let api = Arc::clone(&api);
        // An error closes the connection without an answer.
        async move { api.handle(request, Origin::External).await }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let served = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the API ended");
    }
}
