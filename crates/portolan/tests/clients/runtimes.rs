//! On which runtimes clients work, and for how long they can be told to wait.

use std::time::Duration;

use crate::server::{cluster, serve_text};
use portolan::Wait;
use tokio::net::TcpListener;

use crate::http::{get, read};

#[test]
fn a_request_may_be_polled_by_a_runtime_without_timers() {
    let home = tokio::runtime::Runtime::new().unwrap();
    let bare = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    for http2 in [false, true] {
        let (client, listener) = home.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let http = cluster([listener.local_addr().unwrap()])
                .service("orders.shop")
                .unwrap()
                .wait(Wait::FailFast)
                .http()
                .max_connections_per_endpoint(1)
                .connect_timeout(Duration::from_millis(200))
                .response_timeout(Duration::from_millis(50));
            let http = if http2 { http.http2() } else { http };
            (http.build().unwrap(), listener)
        });
        // The server takes connections, and says nothing: an answer is waited for, and, with HTTP/1.1,
        // a connection that is free.
        let requests = async { tokio::join!(client.send(get("/")), client.send(get("/"))) };
        let (one, other) = bare().block_on(requests);
        for error in [one.unwrap_err(), other.unwrap_err()] {
            assert!(!error.attempts().is_empty(), "{error}");
        }
        drop((client, listener));
    }
}

#[test]
fn a_client_whose_runtime_is_gone_says_so() {
    for http2 in [false, true] {
        let home = tokio::runtime::Runtime::new().unwrap();
        let client = home.block_on(async {
            let http = cluster([serve_text("alive").await])
                .service("orders.shop")
                .unwrap()
                .wait(Wait::FailFast)
                .http();
            let http = if http2 { http.http2() } else { http };
            let client = http.build().unwrap();
            assert_eq!(read(client.send(get("/")).await.unwrap()).await, "alive");
            client
        });
        drop(home);
        let bare = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let error = bare.block_on(client.send(get("/"))).unwrap_err();
        assert!(error.is_unsent(), "{error}");
    }
}

#[tokio::test]
async fn whoever_has_all_the_time_there_is_is_served() {
    let cluster = cluster([serve_text("alive").await]);
    for http2 in [false, true] {
        let http = cluster.service("orders.shop").unwrap().http();
        let http = if http2 { http.http2() } else { http.http1() };
        let client = http
            .connect_timeout(Duration::MAX)
            .idle_timeout(Duration::MAX)
            .response_timeout(Duration::MAX)
            .build()
            .unwrap();
        let response = client.send(get("/")).await.unwrap();
        assert_eq!(response.status(), 200);
    }
}
