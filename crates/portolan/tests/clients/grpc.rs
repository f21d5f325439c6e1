//! The gRPC channel under tonic, over servers on loopback.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::server::{cluster, http2_hangs_up, nowhere, respond, serve};
use futures::{Stream, StreamExt, future::BoxFuture};
use portolan::{
    Wait,
    grpc::{GrpcBuilder, GrpcClient},
    policy::RoundRobin,
};
use tokio::sync::Notify;
use tonic::{Code, Request, Response, Status, Streaming, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;
use tower::Service;

#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

fn message(text: impl Into<String>) -> Text {
    Text { text: text.into() }
}

/// What `tonic-build` generates, by hand.
struct EchoClient<T>(tonic::client::Grpc<T>);

impl<T> EchoClient<T>
where
    T: tonic::client::GrpcService<tonic::body::Body>,
    T::Error: Into<tonic::codegen::StdError>,
    T::ResponseBody: tonic::codegen::Body<Data = tonic::codegen::Bytes> + Send + 'static,
    <T::ResponseBody as tonic::codegen::Body>::Error: Into<tonic::codegen::StdError> + Send,
{
    fn new(channel: T) -> Self {
        Self(tonic::client::Grpc::new(channel))
    }

    async fn unary(
        &mut self,
        path: &'static str,
        request: Request<Text>,
    ) -> Result<Response<Text>, Status> {
        self.0
            .ready()
            .await
            .map_err(|error| Status::unknown(error.into().to_string()))?;
        let path = PathAndQuery::from_static(path);
        self.0.unary(request, path, ProstCodec::default()).await
    }

    async fn streaming(
        &mut self,
        path: &'static str,
        messages: impl Stream<Item = Text> + Send + 'static,
    ) -> Result<Response<Streaming<Text>>, Status> {
        self.0
            .ready()
            .await
            .map_err(|error| Status::unknown(error.into().to_string()))?;
        let path = PathAndQuery::from_static(path);
        let request = Request::new(messages);
        self.0.streaming(request, path, ProstCodec::default()).await
    }
}

type Replies = Pin<Box<dyn Stream<Item = Result<Text, Status>> + Send>>;

/// Echoes messages, one or many.
#[derive(Clone)]
struct Echo {
    name: &'static str,
}

impl Service<Request<Text>> for Echo {
    type Response = Response<Text>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Text>, Status>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Status>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        let name = self.name;
        Box::pin(async move {
            match request.into_inner().text.as_str() {
                "not found" => Err(Status::not_found("no such thing")),
                "unavailable" => Err(Status::unavailable("not now")),
                "for ever" => std::future::pending().await,
                text => Ok(Response::new(message(format!("{name}: {text}")))),
            }
        })
    }
}

impl Service<Request<Streaming<Text>>> for Echo {
    type Response = Response<Replies>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Replies>, Status>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Status>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Text>>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(request.into_inner().boxed() as Replies)) })
    }
}

async fn answer(echo: Echo, request: crate::server::Request) -> crate::server::Response {
    let authority = request.uri().authority().map(ToString::to_string);
    assert_eq!(authority.as_deref(), Some("echo.shop"));
    let agent = request.headers()["user-agent"].to_str().unwrap();
    assert!(agent.starts_with("grpc-rust-portolan/"), "{agent}");
    let mut grpc = tonic::server::Grpc::new(ProstCodec::<Text, Text>::default());
    let response = match request.uri().path() {
        "/echo.Echo/One" => grpc.unary(echo, request).await,
        _ => grpc.streaming(echo, request).await,
    };
    response.map(|body| respond(body).into_body())
}

async fn echo(name: &'static str) -> SocketAddr {
    serve(move |request| answer(Echo { name }, request)).await
}

fn builder(addresses: impl IntoIterator<Item = SocketAddr>) -> GrpcBuilder {
    cluster(addresses)
        .service("echo.shop:grpc")
        .unwrap()
        .policy(RoundRobin::new())
        .wait(Wait::FailFast)
        .grpc()
}

async fn channel(addresses: impl IntoIterator<Item = SocketAddr>) -> GrpcClient {
    let channel = builder(addresses).build().unwrap();
    channel.observe().changed().await;
    channel
}

fn in_flight(channel: &GrpcClient) -> u32 {
    channel.observe().view().endpoints()[0].state.in_flight()
}

fn failures(channel: &GrpcClient) -> u64 {
    channel.observe().view().endpoints()[0].state.failures()
}

const ONE: &str = "/echo.Echo/One";
const MANY: &str = "/echo.Echo/Many";

#[tokio::test]
async fn calls_go_to_all_endpoints() {
    let channel = channel([echo("a").await, echo("b").await]).await;
    let mut client = EchoClient::new(channel);
    let mut answers = Vec::new();
    for _ in 0..4 {
        let answer = client.unary(ONE, Request::new(message("hello"))).await;
        answers.push(answer.unwrap().into_inner().text);
    }
    answers.sort();
    assert_eq!(answers, ["a: hello", "a: hello", "b: hello", "b: hello"]);
}

#[tokio::test]
async fn calls_go_where_their_metadata_or_extensions_say() {
    use portolan::{
        Routing,
        affinity::{Affinity, header},
    };

    let addresses = [
        echo("orders-0").await,
        echo("orders-1").await,
        echo("orders-2").await,
    ];
    let affinity = Affinity::new().pin(header("x-pod"));
    let channel = builder(addresses).affinity(affinity).build().unwrap();
    channel.observe().changed().await;
    let mut client = EchoClient::new(channel);
    for pod in ["orders-2", "orders-0", "orders-1"] {
        let mut by_metadata = Request::new(message("hello"));
        by_metadata
            .metadata_mut()
            .insert("x-pod", pod.parse().unwrap());
        let mut by_extension = Request::new(message("hello"));
        by_extension
            .extensions_mut()
            .insert(Routing::pinned_to(pod));
        for request in [by_metadata, by_extension] {
            let answer = client.unary(ONE, request).await.unwrap().into_inner();
            assert_eq!(answer.text, format!("{pod}: hello"));
        }
    }
}

#[tokio::test]
async fn messages_stream_both_ways_and_the_call_is_in_flight_until_its_end() {
    let channel = channel([echo("a").await]).await;
    let mut client = EchoClient::new(channel.clone());
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let messages = tokio_stream::wrappers::UnboundedReceiverStream::new(receive);
    let mut replies = client.streaming(MANY, messages).await.unwrap().into_inner();
    for n in 0..100 {
        send.send(message(n.to_string())).unwrap();
        let reply = replies.message().await.unwrap().unwrap();
        assert_eq!(reply.text, n.to_string());
        assert_eq!(in_flight(&channel), 1);
    }
    drop(send);
    assert_eq!(replies.message().await.unwrap(), None);
    assert_eq!(in_flight(&channel), 0);
    assert_eq!(failures(&channel), 0);
}

#[tokio::test]
async fn an_endpoint_that_refuses_costs_no_call() {
    let channel = channel([nowhere().await, echo("a").await]).await;
    let mut client = EchoClient::new(channel);
    for _ in 0..20 {
        let answer = client.unary(ONE, Request::new(message("hello"))).await;
        assert_eq!(answer.unwrap().into_inner().text, "a: hello");
    }
}

#[tokio::test]
async fn when_all_refuse_the_status_says_who_and_why() {
    let channel = channel([nowhere().await, nowhere().await]).await;
    let mut client = EchoClient::new(channel);
    let status = client.unary(ONE, Request::new(message("hello"))).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    for part in ["echo.shop:grpc", "orders-0", "orders-1", "refused"] {
        assert!(status.message().contains(part), "{status}");
    }
}

#[tokio::test]
async fn only_statuses_that_are_the_servers_fault_count_against_it() {
    let channel = channel([echo("a").await]).await;
    let mut client = EchoClient::new(channel.clone());
    for (text, code, expected) in [
        ("not found", Code::NotFound, 0),
        ("unavailable", Code::Unavailable, 1),
        ("not found", Code::NotFound, 1),
    ] {
        let status = client.unary(ONE, Request::new(message(text))).await;
        assert_eq!(status.unwrap_err().code(), code);
        assert_eq!(failures(&channel), expected);
    }
    // The same at the end of a stream.
    let status = futures::stream::iter([message("hello")]);
    let mut replies = client.streaming(MANY, status).await.unwrap().into_inner();
    while let Some(reply) = replies.message().await.unwrap() {
        assert_eq!(reply.text, "hello");
    }
    assert_eq!(failures(&channel), 1);
}

#[tokio::test]
async fn a_deadline_ends_a_call_that_is_not_answered() {
    let channel = channel([echo("a").await]).await;
    let mut client = EchoClient::new(channel.clone());
    let mut request = Request::new(message("for ever"));
    request.set_timeout(Duration::from_millis(50));
    let status = tokio::time::timeout(Duration::from_secs(20), client.unary(ONE, request)).await;
    assert_eq!(status.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(in_flight(&channel), 0);
    assert_eq!(failures(&channel), 1, "a call that was not answered");
}

#[tokio::test]
async fn a_deadline_that_passes_while_no_endpoint_is_there_counts_against_nobody() {
    let builder = cluster([]).service("echo.shop:grpc").unwrap().grpc();
    let mut client = EchoClient::new(builder.build().unwrap());
    let mut request = Request::new(message("hello"));
    request.set_timeout(Duration::from_millis(50));
    let status = client.unary(ONE, request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_in_time_is_passed_over() {
    let stuck = serve(|_| std::future::pending()).await;
    let addresses = [stuck, echo("a").await];
    let builder = builder(addresses).response_timeout(Duration::from_millis(50));
    let channel = builder.retry_if(|_| true).build().unwrap();
    channel.observe().changed().await;
    let mut client = EchoClient::new(channel.clone());
    for _ in 0..4 {
        let reply = client.unary(ONE, Request::new(message("hello"))).await;
        assert_eq!(reply.unwrap().into_inner().text, "a: hello");
    }
    assert!(failures(&channel) >= 1);
    let counters = channel.observe().counters();
    assert_eq!((counters.dials, counters.dials_failed), (2, 0));
}

#[test]
fn a_call_with_a_deadline_may_be_polled_by_a_runtime_without_timers() {
    let home = tokio::runtime::Runtime::new().unwrap();
    let channel = home.block_on(async { channel([echo("a").await]).await });
    let bare = tokio::runtime::Builder::new_current_thread().build();
    let bare = bare.unwrap();
    let mut request = Request::new(message("for ever"));
    request.set_timeout(Duration::from_millis(50));
    let mut client = EchoClient::new(channel);
    let status = bare.block_on(client.unary(ONE, request)).unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_call_that_may_be_sent_twice_is_and_no_other() {
    let asked = Arc::new(AtomicUsize::new(0));
    let addresses = [http2_hangs_up(Arc::clone(&asked)).await, echo("a").await];
    let rule = |call: &http::request::Parts| call.uri.path() == ONE;
    let by_rule = || async {
        let channel = builder(addresses).retry_if(rule).build().unwrap();
        channel.observe().changed().await;
        EchoClient::new(channel)
    };
    // By turns, one of two goes to the endpoint that hangs up, or both: the second try takes a turn, too.
    let mut client = by_rule().await;
    for _ in 0..2 {
        let reply = client.unary(ONE, Request::new(message("hello"))).await;
        assert_eq!(reply.unwrap().into_inner().text, "a: hello");
    }
    let before = asked.load(Ordering::SeqCst);
    assert!(before >= 1);
    let mut client = by_rule().await;
    let mut lost = Vec::new();
    for _ in 0..2 {
        let messages = futures::stream::iter([message("hello")]);
        lost.extend(client.streaming(MANY, messages).await.err());
    }
    assert_eq!(asked.load(Ordering::SeqCst) - before, 1);
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(lost[0].code(), Code::Unavailable);
}

#[tokio::test]
async fn as_many_connections_are_made_as_are_asked_for_and_calls_take_turns_on_them() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let calls: Arc<[AtomicUsize; 3]> = Arc::default();
    let counts = Arc::clone(&calls);
    let (accepted, mut connections) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        for nth in 0.. {
            let (connection, _) = listener.accept().await.unwrap();
            accepted.send(nth).unwrap();
            let counts = Arc::clone(&counts);
            let answer = move |request| {
                counts[nth].fetch_add(1, Ordering::SeqCst);
                answer(Echo { name: "a" }, request)
            };
            tokio::spawn(crate::server::serve_on(connection, answer));
        }
    });
    let channel = builder([address]).connections_per_endpoint(3).build();
    let channel = channel.unwrap();
    for _ in 0..3 {
        connections.recv().await.unwrap();
    }
    // A connection is known to be up a moment after the server has accepted it.
    let mut client = EchoClient::new(channel);
    let busy = || calls.iter().all(|calls| calls.load(Ordering::SeqCst) > 0);
    for _ in 0..1000 {
        let reply = client.unary(ONE, Request::new(message("hello"))).await;
        assert_eq!(reply.unwrap().into_inner().text, "a: hello");
        if busy() {
            break;
        }
    }
    assert!(busy(), "{calls:?}");
    assert!(connections.try_recv().is_err(), "no more than that");
}

#[tokio::test]
async fn a_deadline_ends_a_stream_that_stalls() {
    let mut channel = channel([echo("a").await]).await;
    // A stream of requests that never ends, so neither does that of the answers.
    let request = http::Request::post(MANY)
        .header("grpc-timeout", "50m")
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(http_body_util::StreamBody::new(futures::stream::pending::<
            Result<http_body::Frame<bytes::Bytes>, Infallible>,
        >()))
        .unwrap();
    let response = channel.call(request).await.unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body());
    let body = tokio::time::timeout(Duration::from_secs(20), body).await;
    let trailers = body.expect("bounded").unwrap().trailers().cloned().unwrap();
    assert_eq!(trailers["grpc-status"], "4");
    assert_eq!(in_flight(&channel), 0);
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_a_status() {
    let broken = Arc::new(Notify::new());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let killed = Arc::clone(&broken);
    tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        let serving =
            crate::server::serve_on(connection, |request| answer(Echo { name: "a" }, request));
        tokio::select! {
            () = serving => {}
            () = killed.notified() => {}
        }
    });
    let channel = channel([address]).await;
    let mut client = EchoClient::new(channel.clone());
    let messages = futures::stream::iter([message("one")]).chain(futures::stream::pending());
    let mut replies = client.streaming(MANY, messages).await.unwrap().into_inner();
    assert_eq!(replies.message().await.unwrap(), Some(message("one")));
    broken.notify_one();
    let status = replies.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("broke off"), "{status}");
    assert_eq!(failures(&channel), 1);
    assert_eq!(in_flight(&channel), 0);
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_is_by_the_services_name() {
    let server = crate::server::tls::serve_tls("echo.shop", &[b"h2"], |asked_for, request| {
        assert_eq!(asked_for.as_deref(), Some("echo.shop"));
        assert_eq!(request.uri().scheme_str(), Some("https"));
        answer(Echo { name: "a" }, request)
    })
    .await;
    let channel = builder([server.address])
        .tls(server.trusting)
        .build()
        .unwrap();
    channel.observe().changed().await;
    let mut client = EchoClient::new(channel);
    let reply = client.unary(ONE, Request::new(message("hello"))).await;
    assert_eq!(reply.unwrap().into_inner().text, "a: hello");

    let stranger = crate::server::tls::server("payments.shop", &[b"h2"]).await;
    let channel = builder([stranger.address])
        .tls(stranger.trusting)
        .build()
        .unwrap();
    channel.observe().changed().await;
    let mut client = EchoClient::new(channel);
    let status = client.unary(ONE, Request::new(message("hello"))).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("server_name"), "{status}");
}
