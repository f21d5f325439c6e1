//! The end of HTTP and gRPC clients.

use std::{sync::Arc, time::Duration};

use http_body_util::channel::Channel;
use portolan::{ErrorKind, policy::RoundRobin};
use tokio::{
    net::TcpListener,
    sync::{Mutex, Notify},
    time::timeout,
};

use crate::{
    http::{get, read},
    server::{cluster, respond, serve_on},
};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_response_that_is_being_read_is_waited_for_and_connections_close_after_it() {
    for http2 in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mut send, body) = Channel::<bytes::Bytes>::new(4);
        let body = Arc::new(Mutex::new(Some(body)));
        let is_closed = Arc::new(Notify::new());
        let closed = Arc::clone(&is_closed);
        tokio::spawn(async move {
            let (connection, _) = listener.accept().await.unwrap();
            serve_on(connection, move |_| {
                let body = Arc::clone(&body);
                async move { respond(body.lock().await.take().unwrap()) }
            })
            .await;
            closed.notify_one();
        });
        let service = cluster([address]).service("orders.shop").unwrap();
        let client = service.policy(RoundRobin::new()).http();
        let client = if http2 {
            client.http2()
        } else {
            client.http1()
        };
        let client = client.build().unwrap();
        let response = client.send(get("/")).await.unwrap();
        let shutdown = tokio::spawn({
            let client = client.clone();
            async move { client.shutdown(SOON).await }
        });
        // It begins when it is polled, which the only other task is at the next chance.
        tokio::task::yield_now().await;
        let refused = client.send(get("/")).await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::ShutDown);
        assert!(!shutdown.is_finished());
        send.send_data("the end".into()).await.unwrap();
        drop(send);
        assert_eq!(read(response).await, "the end");
        assert_eq!(shutdown.await.unwrap().left, 0);
        timeout(SOON, is_closed.notified()).await.unwrap();
        let refused = client.send(get("/")).await.unwrap_err();
        assert!(refused.is_unsent());
    }
}

#[cfg(feature = "grpc")]
#[tokio::test]
async fn a_new_call_is_answered_with_unavailable() {
    use http_body_util::BodyExt;
    use tower::Service;

    let service = cluster([crate::server::nowhere().await]).service("orders.shop");
    let mut channel = service.unwrap().grpc().build().unwrap();
    assert_eq!(channel.shutdown(SOON).await.left, 0);
    let call = http::Request::post("/orders.Orders/Get");
    let call = call.body(http_body_util::Empty::<bytes::Bytes>::new());
    let Ok(response) = channel.call(call.unwrap()).await;
    assert_eq!(response.headers()["grpc-status"], "14");
    let message = response.headers()["grpc-message"].to_str().unwrap();
    assert!(message.contains("has been shut down"), "{message}");
    let Ok(body) = response.into_body().collect().await;
    assert!(body.to_bytes().is_empty());
}
