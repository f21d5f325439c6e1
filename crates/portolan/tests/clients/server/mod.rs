//! Servers on loopback for the clients' tests, and a cluster of them.

#[cfg(feature = "tls")]
pub(crate) mod tls;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use portolan::{BoxError, Cluster, Endpoint, Placement, source::Fixed};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};

pub(crate) type Request = http::Request<Incoming>;
pub(crate) type Response = http::Response<UnsyncBoxBody<Bytes, BoxError>>;

pub(crate) fn respond<B>(body: B) -> Response
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let body = http_body_util::BodyExt::map_err(body, Into::into);
    http::Response::new(UnsyncBoxBody::new(body))
}

pub(crate) fn text(body: impl Into<Bytes>) -> Response {
    respond(http_body_util::Full::new(body.into()))
}

/// Serves until the test ends, HTTP/1.1 and HTTP/2 alike.
pub(crate) async fn serve<F, R>(answer: F) -> SocketAddr
where
    F: Fn(Request) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            tokio::spawn(serve_on(connection, answer.clone()));
        }
    });
    address
}

pub(crate) async fn serve_on<I, F, R>(connection: I, answer: F)
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Fn(Request) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    let service = service_fn(move |request| {
        let response = answer(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(connection), service)
        .await;
}

/// Serves a fixed answer.
pub(crate) async fn serve_text(answer: &'static str) -> SocketAddr {
    serve(move |_| async move { text(answer) }).await
}

/// Where nobody listens.
pub(crate) async fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

pub(crate) fn cluster(addresses: impl IntoIterator<Item = SocketAddr>) -> Cluster {
    let endpoints = (0..).zip(addresses).map(|(ordinal, address)| {
        Endpoint::new(Placement::new(format!("orders-{ordinal}")), address)
    });
    Cluster::from_source(Fixed::from_iter(endpoints))
}

/// A server that reads each request and hangs up.
pub(crate) async fn hangs_up(asked: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let asked = Arc::clone(&asked);
            tokio::spawn(async move {
                use tokio::io::AsyncReadExt;
                if connection.read_u8().await.is_ok() {
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    address
}

/// The same, of HTTP/2.
#[cfg(feature = "grpc")]
pub(crate) async fn http2_hangs_up(asked: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let asked = Arc::clone(&asked);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(connection).await?;
                if let Some(Ok(_request)) = connection.accept().await {
                    asked.fetch_add(1, Ordering::SeqCst);
                }
                Ok::<_, h2::Error>(())
            });
        }
    });
    address
}
