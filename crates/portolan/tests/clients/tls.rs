//! TLS: by the Service's name, whichever endpoint is dialled.

use std::time::Duration;

use crate::server::{
    cluster,
    tls::{Server, server},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use portolan::{
    Error, Wait,
    http::{ConnectError, HttpBuilder},
};
use tokio::net::TcpListener;

fn client(server: &Server) -> HttpBuilder {
    cluster([server.address])
        .service("orders.shop:https")
        .unwrap()
        .wait(Wait::FailFast)
        .http()
        .tls(server.trusting.clone())
}

async fn ask(client: HttpBuilder) -> Result<String, Error> {
    let client = client.build().unwrap();
    client.observe().changed().await;
    let request = http::Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    let body = client.send(request).await?.into_body().collect().await;
    Ok(String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap())
}

fn cause(error: &Error) -> &ConnectError {
    let attempt = error.attempts().last().expect("an attempt");
    attempt.cause.downcast_ref().expect("a connect error")
}

#[tokio::test]
async fn the_service_is_named_and_the_protocol_agreed() {
    let both = server("orders.shop", &[b"h2", b"http/1.1"]).await;
    let old = server("orders.shop", &[b"http/1.1"]).await;
    let silent = server("orders.shop", &[]).await;
    let http1 = r#"HTTP/1.1 Some("orders.shop")"#;
    let http2 = r#"HTTP/2.0 Some("orders.shop")"#;
    assert_eq!(ask(client(&both)).await.unwrap(), http2);
    assert_eq!(ask(client(&both).http1()).await.unwrap(), http1);
    assert_eq!(ask(client(&both).http2()).await.unwrap(), http2);
    assert_eq!(ask(client(&old)).await.unwrap(), http1);
    assert_eq!(ask(client(&silent)).await.unwrap(), http1);

    let error = ask(client(&silent).http2()).await.unwrap_err();
    assert!(matches!(cause(&error), ConnectError::NoHttp2), "{error}");
    let error = ask(client(&old).http2()).await.unwrap_err();
    assert!(matches!(cause(&error), ConnectError::Tls { .. }), "{error}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_and_the_error_says_what_to_do() {
    let server = server("payments.shop", &[b"h2"]).await;
    let error = ask(client(&server)).await.unwrap_err();
    let ConnectError::Tls { name, .. } = cause(&error) else {
        panic!("{error}");
    };
    assert_eq!(name, "orders.shop");
    let text = error.to_string();
    for part in ["orders.shop", "certificate", "server_name"] {
        assert!(text.contains(part), "{text}");
    }

    let named = client(&server).server_name("payments.shop".try_into().unwrap());
    let expected = r#"HTTP/2.0 Some("payments.shop")"#;
    assert_eq!(ask(named).await.unwrap(), expected);
}

#[tokio::test]
async fn a_server_that_says_nothing_does_not_hold_a_request_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut silent = server("orders.shop", &[]).await;
    silent.address = listener.local_addr().unwrap();
    let limit = Duration::from_millis(100);
    for client in [
        client(&silent),
        client(&silent).http1(),
        client(&silent).http2(),
    ] {
        let asked = ask(client.connect_timeout(limit));
        let asked = tokio::time::timeout(Duration::from_secs(20), asked).await;
        let error = asked.expect("bounded").unwrap_err();
        assert!(
            matches!(cause(&error), ConnectError::TimedOut(_)),
            "{error}"
        );
    }
}
