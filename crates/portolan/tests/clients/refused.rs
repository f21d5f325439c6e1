//! Answers that say that an endpoint cannot serve, and what becomes of the request.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header::RETRY_AFTER};
use http_body_util::{BodyExt, Full};
use portolan::{BalancerBuilder, http::HttpBuilder, policy::RoundRobin, retry::Retry};

use crate::{
    http::{get, read},
    server::{Request, Response, cluster, serve, text},
};

/// A server that answers so, and counts.
async fn refuses(
    asked: &Arc<AtomicUsize>,
    status: u16,
    header: Option<(HeaderName, &'static str)>,
) -> SocketAddr {
    let asked = Arc::clone(asked);
    serve(move |request: Request| {
        let (asked, header) = (Arc::clone(&asked), header.clone());
        async move {
            asked.fetch_add(1, Ordering::SeqCst);
            // The whole request, or the answer would come before it has been sent.
            let _ = request.into_body().collect().await;
            let mut response: Response = text("not I");
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some((name, value)) = header {
                response
                    .headers_mut()
                    .insert(name, HeaderValue::from_static(value));
            }
            response
        }
    })
    .await
}

/// A server that answers with the body of the request.
async fn echoes() -> SocketAddr {
    serve(|request: Request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        text(body)
    })
    .await
}

async fn two_that_refuse(asked: &Arc<AtomicUsize>) -> [SocketAddr; 2] {
    [
        refuses(asked, 503, None).await,
        refuses(asked, 503, None).await,
    ]
}

fn retrying(addresses: impl IntoIterator<Item = SocketAddr>) -> BalancerBuilder {
    let builder = cluster(addresses).service("orders").unwrap();
    builder.retry(Retry::new())
}

fn versions() -> [fn(HttpBuilder) -> HttpBuilder; 2] {
    [HttpBuilder::http1, HttpBuilder::http2]
}

fn put(body: &'static str) -> http::Request<Full<Bytes>> {
    http::Request::put("/").body(Full::from(body)).unwrap()
}

#[tokio::test]
async fn another_endpoint_gets_the_request_whole() {
    for version in versions() {
        let asked = Arc::default();
        let addresses = [refuses(&asked, 503, None).await, echoes().await];
        let builder = retrying(addresses).policy(RoundRobin::new());
        let client = version(builder.http()).build().unwrap();
        for _ in 0..10 {
            let response = client.send(put("one portolan")).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(read(response).await, "one portolan");
        }
        assert!(asked.load(Ordering::SeqCst) >= 5);
    }
}

#[tokio::test]
async fn a_post_is_answered_once_as_it_was() {
    for version in versions() {
        let asked = Arc::default();
        let addresses = two_that_refuse(&asked).await;
        let builder = retrying(addresses);
        let client = version(builder.http()).build().unwrap();
        let post = http::Request::post("/")
            .body(Full::<Bytes>::from("a"))
            .unwrap();
        let response = client.send(post).await.unwrap();
        assert_eq!(response.status(), 503);
        assert!(response.extensions().is_empty());
        assert_eq!(read(response).await, "not I");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn the_last_answer_stands_and_is_read_to_its_end() {
    for version in versions() {
        let asked = Arc::default();
        let addresses = two_that_refuse(&asked).await;
        let builder = retrying(addresses);
        let client = version(builder.http()).build().unwrap();
        let response = client.send(put("a")).await.unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(read(response).await, "not I");
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        let view = client.observe().view();
        let errors = |one: &portolan::Candidate| one.state.consecutive_error_responses();
        assert_eq!(view.endpoints().iter().map(errors).sum::<u32>(), 3);
    }
}

#[tokio::test]
async fn what_asks_for_a_year_is_given_to_the_caller_at_once() {
    for said in ["31536000", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let asked = Arc::default();
        let address = refuses(&asked, 429, Some((RETRY_AFTER, said))).await;
        let builder = retrying([address]);
        let client = builder.http().build().unwrap();
        assert_eq!(client.send(get("/")).await.unwrap().status(), 429);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
    // And soon enough is tried again.
    let asked = Arc::default();
    let address = refuses(&asked, 429, Some((RETRY_AFTER, "0"))).await;
    let builder = retrying([address]);
    let client = builder.http().build().unwrap();
    assert_eq!(client.send(get("/")).await.unwrap().status(), 429);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_is_longer_than_is_kept_is_not_sent_again() {
    let asked = Arc::default();
    let addresses = two_that_refuse(&asked).await;
    let builder = retrying(addresses);
    let client = builder.http().replay_limit(3).build().unwrap();
    let response = client.send(put("four")).await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(read(response).await, "not I");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[cfg(feature = "grpc")]
#[tokio::test]
async fn a_call_that_is_unavailable_goes_elsewhere_unless_it_is_told_not_to() {
    use tower::ServiceExt;
    const STATUS: HeaderName = HeaderName::from_static("grpc-status");
    const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
    for (code, pushback, expected) in [
        ("14", None, 3),
        ("14", Some("1"), 3),
        ("14", Some("-1"), 1),
        ("14", Some("90000"), 1),
        ("5", None, 1),
    ] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let address = serve(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                let mut response: Response = text("");
                response
                    .headers_mut()
                    .insert(STATUS, HeaderValue::from_static(code));
                if let Some(pushback) = pushback {
                    response
                        .headers_mut()
                        .insert(PUSHBACK, HeaderValue::from_static(pushback));
                }
                response
            }
        })
        .await;
        let builder = retrying([address]);
        let channel = builder.grpc().retry_if(|_| true).build().unwrap();
        let call = http::Request::post("/orders/Get")
            .body(Full::<Bytes>::default())
            .unwrap();
        let response = channel.oneshot(call).await.unwrap();
        assert_eq!(response.headers()[STATUS], code);
        assert_eq!(
            asked.load(Ordering::SeqCst),
            expected,
            "{code} {pushback:?}"
        );
    }
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn reqwest_does_the_same() {
    let asked = Arc::default();
    let addresses = [refuses(&asked, 503, None).await, echoes().await];
    let builder = retrying(addresses).policy(RoundRobin::new());
    let client = builder.reqwest().build().unwrap();
    for _ in 0..10 {
        let put = client
            .request(reqwest::Method::PUT, "/")
            .body("one portolan");
        let response = put.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.text().await.unwrap(), "one portolan");
    }
    assert!(asked.load(Ordering::SeqCst) >= 5);
    let before = asked.load(Ordering::SeqCst);
    for _ in 0..4 {
        client.post("/").body("a").send().await.unwrap();
    }
    assert_eq!(asked.load(Ordering::SeqCst), before + 2);
}
