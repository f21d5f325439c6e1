//! One endpoint, against servers that follow a script.

mod age;
mod dial;
mod http1;
mod http2;
mod script;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::uri::{Authority, Scheme};
use http_body_util::{BodyExt, Full};
use tokio::sync::Notify;

use super::*;
use crate::{Failure, Placement, Sent};

/// Long enough for anything that does happen; a test that waits for it has failed.
const SOON: Duration = Duration::from_secs(20);

struct Client {
    endpoint: HttpEndpoint,
    reachability: Reachability,
    changed: Arc<Notify>,
}

fn settings(version: Version) -> ConnectionSettings {
    ConnectionSettings {
        version,
        ..ConnectionSettings::default()
    }
}

fn client(address: SocketAddr, settings: ConnectionSettings) -> Client {
    let endpoint = Endpoint::new(Placement::new("orders-0"), address);
    client_of(&endpoint, settings)
}

fn client_of(endpoint: &Endpoint, settings: ConnectionSettings) -> Client {
    let authority = Authority::from_static("orders.shop");
    let make = MakeHttp {
        renames: Renames::default(),
        target: Target::new(Scheme::HTTP, authority),
        settings,
        dials_ahead: Arc::new(Semaphore::new(64)),
        places: None,
        #[cfg(feature = "tls")]
        tls: None,
    };
    let changed = Arc::new(Notify::new());
    let reachability = Reachability::new(Arc::clone(&changed), Arc::default());
    Client {
        endpoint: make.make(endpoint, reachability.clone()),
        reachability,
        changed,
    }
}

impl Client {
    fn send(&self, request: Request) -> impl Future<Output = Result<Response, SendError>> + use<> {
        self.endpoint.clone().call(request)
    }

    /// Sends, and reads the whole answer.
    async fn ask(&self, path: &str) -> String {
        text(self.send(get(path)).await.unwrap()).await
    }

    async fn until_reachable(&self, reachable: bool) {
        let change = async {
            while self.reachability.is_reachable() != reachable {
                self.changed.notified().await;
            }
        };
        tokio::time::timeout(SOON, change).await.expect("a change");
    }
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn get(path: &str) -> Request {
    request(path, "")
}

fn request(path: &str, body: &'static str) -> Request {
    http::Request::post(path)
        .body(Replay::new(Full::from(body), 1024))
        .unwrap()
}

/// Where nobody listens, for now.
async fn nowhere() -> SocketAddr {
    let listener = script::listen().await;
    listener.local_addr().unwrap()
}

fn failure(result: Result<Response, SendError>) -> Failure<Request> {
    result.expect_err("a failure").into_failure()
}

/// The body of the request that came back.
async fn returned(failure: Failure<Request>) -> String {
    let request = failure.request.expect("the request is given back");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_refused_connection_gives_the_request_back_and_is_tried_again_without_traffic() {
    for version in [Version::Http1, Version::Http2] {
        let address = nowhere().await;
        let client = client(address, settings(version));
        let failure = failure(client.send(request("/", "precious")).await);
        assert_eq!(failure.sent, Sent::Unreachable);
        assert!(failure.cause.to_string().contains("refused"), "{failure:?}");
        assert_eq!(returned(failure).await, "precious");
        client.until_reachable(false).await;

        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let _connection = script::accept(&listener).await;
        client.until_reachable(true).await;
    }
}

#[tokio::test]
async fn connections_are_made_ahead_of_traffic_and_close_with_the_endpoint() {
    for version in [Version::Http1, Version::Http2] {
        let listener = script::listen().await;
        let settings = ConnectionSettings {
            connections: 3,
            ..settings(version)
        };
        let client = client(listener.local_addr().unwrap(), settings);
        let mut connections = Vec::new();
        for _ in 0..3 {
            connections.push(script::accept(&listener).await);
        }
        let Client {
            endpoint,
            reachability,
            ..
        } = client;
        assert!(reachability.is_reachable());
        drop(endpoint);
        for connection in connections {
            script::until_closed(connection).await;
        }
    }
}
