//! Health checks by `grpc.health.v1`, of servers that know all of it, half of it, or nothing.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use portolan::{
    Cluster, Conditions, Endpoint, Placement, Resolution, View, Wait, health_check::HealthCheck,
    policy::RoundRobin, source::channel,
};
use prost::Message;
use tokio::{net::TcpListener, sync::watch, time::timeout};

use crate::{
    health::{healthy, until},
    server::{Request, Response, cluster, respond, serve, serve_on},
};

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// What of the protocol a server knows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Knows {
    Watch,
    Check,
    Nothing,
}

#[derive(Clone)]
struct Server {
    knows: Knows,
    status: watch::Sender<i32>,
    watches: Arc<AtomicUsize>,
    checks: Arc<AtomicUsize>,
}

fn frame(status: i32) -> Bytes {
    let message = HealthCheckResponse { status }.encode_to_vec();
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend(message);
    framed.into()
}

fn trailers(status: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    trailers
}

impl Server {
    fn new(knows: Knows) -> Self {
        Self {
            knows,
            status: watch::Sender::new(SERVING),
            watches: Arc::default(),
            checks: Arc::default(),
        }
    }

    async fn start(&self) -> SocketAddr {
        let server = self.clone();
        serve(move |request| server.clone().answer(request)).await
    }

    async fn answer(self, request: Request) -> Response {
        assert_eq!(request.headers()["content-type"], "application/grpc");
        assert_eq!(request.headers()["te"], "trailers");
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let asked = HealthCheckRequest::decode(&body[5..]).unwrap();
        assert_eq!(asked.service, "shop.Orders");
        let ok = |frame| Ok::<_, Infallible>(frame);
        let mut response = match (&*path, self.knows) {
            ("/grpc.health.v1.Health/Watch", Knows::Watch) => {
                self.watches.fetch_add(1, Ordering::SeqCst);
                let mut status = self.status.subscribe();
                status.mark_changed();
                let said = futures::stream::unfold(status, |mut status| async {
                    status.changed().await.ok()?;
                    let said = *status.borrow_and_update();
                    Some((said, status))
                });
                // -1 ends the stream.
                let said = said.take_while(|status| std::future::ready(*status >= 0));
                let said = said.map(move |status| ok(Frame::data(frame(status))));
                respond(StreamBody::new(said))
            }
            ("/grpc.health.v1.Health/Check", Knows::Watch | Knows::Check) => {
                self.checks.fetch_add(1, Ordering::SeqCst);
                let status = *self.status.borrow();
                let frames = [Frame::data(frame(status)), Frame::trailers(trailers("0"))];
                respond(StreamBody::new(futures::stream::iter(frames.map(ok))))
            }
            _ => {
                let mut response = crate::server::text("");
                *response.headers_mut() = trailers("12");
                response
            }
        };
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert("content-type", grpc);
        response
    }
}

fn check() -> HealthCheck {
    HealthCheck::grpc_service("shop.Orders")
        .interval(Duration::from_millis(200))
        .timeout(Duration::from_millis(200))
}

fn builder(addresses: impl IntoIterator<Item = SocketAddr>) -> portolan::BalancerBuilder {
    cluster(addresses)
        .service("echo.shop:grpc")
        .unwrap()
        .policy(RoundRobin::new())
        .wait(Wait::FailFast)
}

#[tokio::test]
async fn what_a_server_says_of_itself_counts_at_once() {
    let servers = [Server::new(Knows::Watch), Server::new(Knows::Watch)];
    let addresses = [servers[0].start().await, servers[1].start().await];
    let channel = builder(addresses).health_check(check()).grpc().build();
    let channel = channel.unwrap();
    let mut observer = channel.observe();
    until(&mut observer, |view| {
        view.health().len() == 2 && view.health().iter().all(|one| one.checks() == 1)
    })
    .await;
    servers[1].status.send_replace(NOT_SERVING);
    let view = until(&mut observer, |view| healthy(view) == [true, false]).await;
    assert_eq!(view.endpoints().len(), 1);
    let said = view.health()[1].last_failure();
    assert_eq!(
        said.as_deref(),
        Some("the endpoint says that it is NOT_SERVING")
    );
    assert_eq!(view.health()[1].checks(), 2, "one word is enough");
    servers[1].status.send_replace(SERVING);
    until(&mut observer, |view| healthy(view) == [true, true]).await;
    assert_eq!(servers[0].watches.load(Ordering::SeqCst), 1);
    assert_eq!(servers[0].checks.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_stream_that_ends_is_opened_again_and_its_end_is_no_illness() {
    let server = Server::new(Knows::Watch);
    let channel = builder([server.start().await]).health_check(check());
    let channel = channel.grpc().build().unwrap();
    let mut observer = channel.observe();
    until(&mut observer, |view| {
        view.health().iter().any(|one| one.checks() == 1)
    })
    .await;
    server.status.send_replace(-1);
    server.status.send_replace(SERVING);
    let view = until(&mut observer, |view| view.health()[0].checks() >= 2).await;
    assert_eq!(healthy(&view), [true]);
    assert_eq!(view.health()[0].failures(), 0);
}

#[tokio::test]
async fn a_stream_does_not_hold_on_to_a_connection_that_is_to_end() {
    let server = Server::new(Knows::Watch);
    let channel = builder([server.start().await]).health_check(check());
    let channel = channel.grpc().max_connection_age(Duration::from_secs(1));
    let channel = channel.build().unwrap();
    let mut observer = channel.observe();
    let watches = || server.watches.load(Ordering::SeqCst);
    let view = until(&mut observer, |_| watches() == 2).await;
    assert_eq!(view.health()[0].failures(), 0);
}

#[tokio::test]
async fn a_stream_does_not_keep_the_connection_of_a_pod_that_terminates() {
    let server = Server::new(Knows::Watch);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pod = Endpoint::new(Placement::new("orders-0"), listener.local_addr().unwrap());
    let answering = server.clone();
    let serving = tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        let answer = move |request| answering.clone().answer(request);
        serve_on(connection, answer).await;
    });
    let other = Endpoint::new(
        Placement::new("orders-1"),
        Server::new(Knows::Watch).start().await,
    );
    let (teller, source) = channel();
    let tell = |pods: [&Endpoint; 2]| {
        teller.tell(Resolution::Present(pods.into_iter().cloned().collect()));
    };
    tell([&pod, &other]);
    let service = Cluster::from_source(source)
        .service("echo.shop:grpc")
        .unwrap();
    let channel = service.health_check(check()).grpc().build().unwrap();
    let mut observer = channel.observe();
    until(&mut observer, |_| {
        server.watches.load(Ordering::SeqCst) == 1
    })
    .await;
    let terminating = Conditions::new(Some(false), Some(true), Some(true));
    tell([&pod.clone().with_conditions(terminating), &other]);
    let closed = timeout(Duration::from_secs(20), serving).await;
    closed.expect("the connection closes").unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_be_watched_is_asked() {
    let server = Server::new(Knows::Check);
    let channel = builder([server.start().await]).health_check(check());
    let channel = channel.grpc().build().unwrap();
    let mut observer = channel.observe();
    until(&mut observer, |view| {
        view.health().iter().any(|one| one.checks() >= 2)
    })
    .await;
    server.status.send_replace(NOT_SERVING);
    until(&mut observer, |view| healthy(view) == [false]).await;
    assert_eq!(server.watches.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_server_that_knows_nothing_of_health_is_well_and_is_asked_no_more() {
    let server = Server::new(Knows::Nothing);
    let channel = builder([server.start().await]).health_check(check().unhealthy_after(1));
    let channel = channel.grpc().build().unwrap();
    let mut observer = channel.observe();
    let is_checked = |view: &View| view.health().iter().any(|one| one.checks() > 0);
    let view = until(&mut observer, is_checked).await;
    let said = view.health()[0].last_failure().unwrap();
    assert!(said.starts_with("UNIMPLEMENTED"), "{said}");
    assert_eq!(healthy(&view), [true]);
    assert_eq!(view.health()[0].checks(), 1);
}

#[tokio::test]
async fn a_balancer_that_speaks_no_http2_has_a_connection_for_it() {
    let server = Server::new(Knows::Watch);
    let address = server.start().await;
    let over_http1 = builder([address])
        .health_check(check())
        .http()
        .build()
        .unwrap();
    let nodes = builder([address]).health_check(check()).nodes().unwrap();
    for mut observer in [over_http1.observe(), nodes.observe()] {
        until(&mut observer, |view| {
            view.health().iter().any(|one| one.checks() == 1)
        })
        .await;
    }
    server.status.send_replace(NOT_SERVING);
    for mut observer in [over_http1.observe(), nodes.observe()] {
        until(&mut observer, |view| healthy(view) == [false]).await;
    }
    assert_eq!(server.watches.load(Ordering::SeqCst), 2);
}
