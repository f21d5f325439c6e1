//! Servers on loopback, on a thread of their own: HTTP/1.1 and HTTP/2, and gRPC as far as a unary call
//! goes.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    thread,
};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What is answered: of a length that many answers have.
pub(crate) const ANSWER: &str = "Harbours from Genoa to Constantinople, with soundings.";

/// Starts so many servers, which run until the process ends.
pub(crate) fn start(servers: usize) -> io::Result<Vec<SocketAddr>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listeners = runtime.block_on(async {
        let mut listeners = Vec::new();
        for _ in 0..servers {
            listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        }
        Ok::<_, io::Error>(listeners)
    })?;
    let addresses = listeners.iter().map(TcpListener::local_addr).collect();
    thread::Builder::new()
        .name("servers".to_owned())
        .spawn(move || {
            let serving = listeners.into_iter().map(serve);
            runtime.block_on(futures::future::join_all(serving))
        })?;
    addresses
}

async fn serve(listener: TcpListener) {
    while let Ok((connection, _)) = listener.accept().await {
        tokio::spawn(async move {
            let _ = connection.set_nodelay(true);
            // How a connection ends is for the client to judge.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(connection), service_fn(answer))
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let of_grpc = HeaderValue::from_static("application/grpc");
    if request.headers().get(CONTENT_TYPE) != Some(&of_grpc) {
        return Ok(Response::new(Full::from(ANSWER).boxed_unsync()));
    }
    request.into_body().collect().await?;
    // One field, number 1, a string; before it, what gRPC has before every message: that it is not
    // compressed, and its length.
    let mut message = vec![0x0a, ANSWER.len() as u8];
    message.extend_from_slice(ANSWER.as_bytes());
    let mut prefixed = vec![0];
    prefixed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    prefixed.append(&mut message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [
        Frame::data(Bytes::from(prefixed)),
        Frame::trailers(trailers),
    ];
    let body = StreamBody::new(stream::iter(frames.map(Ok))).boxed_unsync();
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, of_grpc);
    Ok(response)
}
