//! A program that tells who answered and what it was asked.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;

use crate::pod::PodContext;

use super::Program;
use super::http_server::http;

/// A program that answers every HTTP request by JSON about the Pod and the request:
///
/// ```json
/// {
///   "pod": "db-0", "uid": "…", "ordinal": 0, "node": "node-a", "image": "echo",
///   "authority": "db.shop:8080", "method": "GET", "path": "/x?y=1", "version": "HTTP/2.0",
///   "headers": {"accept": "*/*"}
/// }
/// ```
///
/// `authority` is the Host header, or HTTP/2's `:authority`. The answer has the header `x-pod`.
pub fn echo() -> impl Program {
    http(|pod: PodContext| {
        tower::service_fn(move |request| {
            let response = answer(&pod, &request);
            async move { Ok::<_, Infallible>(response) }
        })
    })
}

fn answer(pod: &PodContext, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let headers: BTreeMap<_, _> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let body = json!({
        "pod": pod.name(),
        "uid": pod.uid(),
        "ordinal": pod.ordinal(),
        "node": pod.node(),
        "image": pod.image(),
        "authority": authority.or(host),
        "method": request.method().as_str(),
        "path": request.uri().path_and_query().map(http::uri::PathAndQuery::as_str),
        "version": format!("{:?}", request.version()),
        "headers": headers,
    });
    let mut response = Response::new(Full::from(body.to_string()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Ok(name) = HeaderValue::from_str(pod.name()) {
        headers.insert("x-pod", name);
    }
    response
}
