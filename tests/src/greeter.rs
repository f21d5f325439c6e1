//! A gRPC service of one call, and the call: what `tonic-build` would generate, on bare HTTP/2.
//!
//! So one and the same caller drives channels of whatever library, and of whatever version of tonic.

use std::{convert::Infallible, fmt::Display, future::poll_fn};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use portolan_test::{Program, programs};
use tower::{Service, service_fn};

/// The name of its image.
pub const IMAGE: &str = "greeter";
const STATUS: &str = "grpc-status";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// A message without any field: not compressed, of no length ("Length-Prefixed-Message", `PROTOCOL-HTTP2.md`).
const EMPTY: Bytes = Bytes::from_static(&[0; 5]);

/// The program: answers every call, once it has read its message.
pub fn program() -> impl Program {
    programs::http(|_| service_fn(answer))
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<impl Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let message = request.into_body().collect().await;
    let code = match message.map(|message| message.to_bytes()) {
        Ok(message) if message == EMPTY => "0",
        _ => "13",
    };
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from_static(code));
    let trailers = async move { Some(Ok(trailers)) };
    let mut response = Response::new(Full::new(EMPTY).with_trailers(trailers));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    Ok(response)
}

/// Calls it, with the body that this channel wants.
///
/// # Errors
/// Why it was not answered, or the status that is not OK.
pub async fn call<S, B, R>(
    mut channel: S,
    body: impl FnOnce(Full<Bytes>) -> B,
) -> Result<(), String>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Display,
    R: Body,
    R::Error: Display,
{
    let failed = |error: S::Error| error.to_string();
    poll_fn(|cx| channel.poll_ready(cx)).await.map_err(failed)?;
    let mut request = Request::new(body(Full::new(EMPTY)));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static("/greeter.Greeter/Greet");
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert("te", HeaderValue::from_static("trailers"));
    let (head, body) = channel.call(request).await.map_err(failed)?.into_parts();
    if !head.status.is_success() {
        return Err(head.status.to_string());
    }
    let body = body.collect().await.map_err(|error| error.to_string())?;
    // A call that fails at once has its status in the headers.
    let status = |headers: &HeaderMap| headers.get(STATUS).cloned();
    let status = status(&head.headers).or_else(|| body.trailers().and_then(status));
    match status {
        Some(status) if status == "0" => Ok(()),
        Some(status) => Err(format!("{STATUS} {status:?}")),
        None => Err("no status".to_owned()),
    }
}
