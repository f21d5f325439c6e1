//! The HTTP client, over servers on loopback.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::server::{cluster, hangs_up, nowhere, respond, serve, serve_on, serve_text, text};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, channel::Channel};
use portolan::{
    Cluster, Conditions, Endpoint, ErrorKind, Placement, Resolution, Sent, Wait,
    http::{ConnectError, HttpClient, ResponseBody, ResponseTimedOut},
    policy::RoundRobin,
    source::channel,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tower::{Service, ServiceExt};

pub(crate) fn get(path: &str) -> http::Request<Empty<Bytes>> {
    http::Request::get(path).body(Empty::new()).unwrap()
}

pub(crate) async fn read(response: http::Response<ResponseBody>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// What is in flight, by endpoint.
fn in_flight(client: &HttpClient) -> Vec<u32> {
    let view = client.observe().view();
    let endpoints = view.endpoints().iter();
    endpoints.map(|one| one.state.in_flight()).collect()
}

#[tokio::test]
async fn requests_go_to_all_endpoints_and_name_the_service() {
    for http2 in [false, true] {
        let echo = |request: crate::server::Request| async move {
            let uri = request.uri().authority().map(|one| one.to_string());
            let host = request.headers().get("host");
            let host = host.map(|host| host.to_str().unwrap().to_owned());
            text(format!("{:?} {}", request.version(), uri.or(host).unwrap()))
        };
        let cluster = cluster([serve(echo).await, serve(echo).await, serve(echo).await]);
        let http = cluster
            .service("orders.shop:8080")
            .unwrap()
            .policy(RoundRobin::new())
            .http();
        let http = if http2 { http.http2() } else { http.http1() };
        let client = http.build().unwrap();
        let expected = if http2 { "HTTP/2.0 " } else { "HTTP/1.1 " };
        for _ in 0..9 {
            let answer = read(client.send(get("/")).await.unwrap()).await;
            assert_eq!(answer, format!("{expected}orders.shop:8080"));
        }
        let view = client.observe().view();
        let requests: Vec<u64> = view
            .endpoints()
            .iter()
            .map(|one| one.state.requests())
            .collect();
        assert_eq!(requests, [3, 3, 3]);
    }
}

#[tokio::test]
async fn it_is_a_tower_service_of_any_body() {
    let echo = |request: crate::server::Request| async { respond(request.into_body()) };
    let client = cluster([serve(echo).await])
        .service("orders.shop")
        .unwrap()
        .http()
        .build()
        .unwrap();
    let full = http::Request::post("/").body(Full::from("full")).unwrap();
    let response = client.clone().oneshot(full).await.unwrap();
    assert_eq!(read(response).await, "full");

    let (mut sender, body) = Channel::<Bytes>::new(1);
    let stream = http::Request::post("/").body(body).unwrap();
    let mut client = client;
    let response = ServiceExt::<http::Request<Channel<Bytes>>>::ready(&mut client)
        .await
        .unwrap()
        .call(stream);
    let send = async {
        for part in ["s", "tream"] {
            sender.send_data(part.into()).await.unwrap();
        }
        drop(sender);
    };
    let (response, ()) = tokio::join!(response, send);
    assert_eq!(read(response.unwrap()).await, "stream");
}

#[tokio::test]
async fn an_endpoint_that_refuses_costs_no_request() {
    for http2 in [false, true] {
        let cluster = cluster([nowhere().await, serve_text("alive").await, nowhere().await]);
        let http = cluster.service("orders.shop").unwrap().http();
        let http = if http2 { http.http2() } else { http };
        let client = http.build().unwrap();
        for _ in 0..30 {
            assert_eq!(read(client.send(get("/")).await.unwrap()).await, "alive");
        }
    }
}

#[tokio::test]
async fn when_all_refuse_the_error_says_who_and_why() {
    let client = cluster([nowhere().await, nowhere().await])
        .service("orders.shop:http")
        .unwrap()
        .wait(Wait::FailFast)
        .http()
        .build()
        .unwrap();
    // Before anything is known of the Service, failing fast means waiting for the first word.
    client.observe().changed().await;
    let error = client.send(get("/")).await.unwrap_err();
    assert!(error.is_unsent());
    let text = error.to_string();
    for part in ["orders.shop:http", "orders-0", "orders-1", "refused"] {
        assert!(text.contains(part), "{text}");
    }
    for attempt in error.attempts() {
        assert_eq!(attempt.sent, Sent::Unreachable);
        let cause = attempt.cause.downcast_ref::<ConnectError>();
        assert!(matches!(cause, Some(ConnectError::Tcp(_))), "{attempt:?}");
    }
}

#[tokio::test]
async fn a_request_is_in_flight_until_its_body_ends_or_is_dropped() {
    for http2 in [false, true] {
        let (senders, mut bodies) = tokio::sync::mpsc::unbounded_channel();
        let address = serve(move |_| {
            let (sender, body) = Channel::<Bytes>::new(1);
            senders.send(sender).unwrap();
            async { respond(body) }
        })
        .await;
        let http = cluster([address]).service("orders.shop").unwrap().http();
        let http = if http2 { http.http2() } else { http };
        let client = http.build().unwrap();

        let response = client.send(get("/")).await.unwrap();
        assert_eq!(
            in_flight(&client),
            [1],
            "the head has come, the body has not"
        );
        drop(bodies.recv().await);
        assert_eq!(read(response).await, "");
        assert_eq!(in_flight(&client), [0], "read to its end");

        let response = client.send(get("/")).await.unwrap();
        assert_eq!(in_flight(&client), [1]);
        drop(response);
        assert_eq!(in_flight(&client), [0], "dropped unread");

        let mut sending = Box::pin(client.send(get("/")));
        assert!(futures::poll!(&mut sending).is_pending());
        assert_eq!(in_flight(&client), [1]);
        drop(sending);
        assert_eq!(in_flight(&client), [0], "cancelled");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_and_a_server_error_count_against_the_endpoint() {
    let head_came = Arc::new(Notify::new());
    let head_has_come = Arc::clone(&head_came);
    let address = serve(move |request| {
        let head_has_come = Arc::clone(&head_has_come);
        async move {
            if request.uri().path() == "/breaks" {
                let (sender, body) = Channel::<Bytes, std::io::Error>::new(2);
                tokio::spawn(async move {
                    head_has_come.notified().await;
                    sender.abort(std::io::Error::other("broken"));
                });
                return respond(body);
            }
            let mut response = text("");
            *response.status_mut() = request.uri().path()[1..].parse().unwrap();
            response
        }
    })
    .await;
    for http2 in [false, true] {
        let http = cluster([address]).service("orders.shop").unwrap().http();
        let http = if http2 { http.http2() } else { http };
        let client = http.build().unwrap();
        let failures = || client.observe().view().endpoints()[0].state.failures();

        let mut expected = 0;
        for (status, counts) in [(200, 0), (404, 0), (500, 1), (501, 0), (503, 1), (505, 0)] {
            let response = client.send(get(&format!("/{status}"))).await.unwrap();
            assert_eq!(response.status().as_u16(), status, "an answer is an answer");
            expected += counts;
            assert_eq!(failures(), expected, "{status}");
        }
        let broken = client.send(get("/breaks")).await.unwrap();
        head_came.notify_one();
        broken.into_body().collect().await.unwrap_err();
        assert_eq!(failures(), expected + 1);
        assert_eq!(in_flight(&client), [0]);
    }
}

#[tokio::test]
async fn a_request_whose_own_body_fails_counts_against_nobody() {
    let reads = |request: crate::server::Request| async move {
        match request.into_body().collect().await {
            Ok(_) => text("read to its end"),
            Err(_) => std::future::pending().await,
        }
    };
    for http2 in [false, true] {
        let cluster = cluster([serve(reads).await, serve(reads).await]);
        let http = cluster.service("orders.shop").unwrap().http();
        let http = if http2 { http.http2() } else { http.http1() };
        let client = http.retry_idempotent().build().unwrap();
        client.send(get("/")).await.unwrap();
        let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(1);
        let begins = sender.send_data(Bytes::from_static(b"once upon"));
        begins.await.unwrap();
        let sent = client.send(http::Request::put("/").body(body).unwrap());
        sender.abort(std::io::Error::other("the disk is gone"));
        let error = sent.await.unwrap_err();
        assert_eq!(error.attempts().len(), 1, "{error}");
        let view = client.observe().view();
        let failures = view.endpoints().iter().map(|one| one.state.failures());
        assert_eq!(failures.sum::<u64>(), 0, "{error:?}");
    }
}

#[tokio::test]
async fn what_may_have_been_processed_is_sent_again_only_if_it_is_idempotent() {
    let asked = Arc::new(AtomicUsize::new(0));
    let cluster = cluster([
        hangs_up(Arc::clone(&asked)).await,
        serve_text("alive").await,
    ]);
    let builder = || {
        cluster
            .service("orders.shop")
            .unwrap()
            .policy(RoundRobin::new())
            .http()
            .http1()
    };
    let careful = builder().build().unwrap();
    let mut outcomes = BTreeMap::new();
    for _ in 0..10 {
        let outcome = match careful.send(get("/")).await {
            Ok(_) => "answered",
            Err(error) => {
                assert_eq!(*error.kind(), ErrorKind::Failed);
                assert!(!error.is_unsent());
                "failed"
            }
        };
        *outcomes.entry(outcome).or_insert(0) += 1;
    }
    assert_eq!(outcomes, BTreeMap::from([("answered", 5), ("failed", 5)]));
    assert_eq!(asked.load(Ordering::SeqCst), 5);

    let post = || http::Request::post("/").body(Full::from("once")).unwrap();
    let by_method = builder().retry_idempotent().build().unwrap();
    let by_rule = builder()
        .retry_if(|head| head.uri.path() == "/")
        .build()
        .unwrap();
    for _ in 0..10 {
        assert_eq!(read(by_method.send(get("/")).await.unwrap()).await, "alive");
        assert_eq!(read(by_rule.send(post()).await.unwrap()).await, "alive");
        let mut marked = post();
        marked.extensions_mut().insert(portolan::http::Idempotent);
        assert_eq!(read(careful.send(marked).await.unwrap()).await, "alive");
    }
    let posts = futures::future::join_all((0..2).map(|_| by_method.send(post()))).await;
    assert_eq!(posts.iter().filter(|post| post.is_err()).count(), 1);
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let cluster = cluster([]);
    let http = || cluster.service("orders.shop").unwrap().http();
    for (wrong, named) in [
        (
            http().connections_per_endpoint(0),
            "connections_per_endpoint",
        ),
        (
            http().max_connections_per_endpoint(0),
            "max_connections_per_endpoint",
        ),
        (http().connect_timeout(Duration::ZERO), "connect_timeout"),
        (http().response_timeout(Duration::ZERO), "response_timeout"),
    ] {
        let error = wrong.build().unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_begin_in_time_is_given_up_and_counts_against_the_endpoint() {
    let limit = Duration::from_millis(50);
    for http2 in [false, true] {
        let dropped = Arc::new(Notify::new());
        let told = Arc::clone(&dropped);
        let hangs = serve(move |_| {
            let told = Arc::clone(&told);
            async move {
                /// The server lets go of a request when it is cancelled.
                struct Told(Arc<Notify>);
                impl Drop for Told {
                    fn drop(&mut self) {
                        self.0.notify_one();
                    }
                }
                let _told = Told(told);
                std::future::pending().await
            }
        })
        .await;
        let cluster = cluster([hangs, serve_text("alive").await]);
        let http = cluster
            .service("orders.shop")
            .unwrap()
            .policy(RoundRobin::new())
            .http();
        let http = if http2 { http.http2() } else { http };
        let client = http
            .response_timeout(limit)
            .retry_idempotent()
            .build()
            .unwrap();
        let post = || http::Request::post("/").body(Full::from("once")).unwrap();
        let mut too_late = 0;
        for _ in 0..4 {
            let Err(error) = client.send(post()).await else {
                continue;
            };
            too_late += 1;
            assert_eq!(*error.kind(), ErrorKind::Failed);
            let cause = error.attempts()[0].cause.downcast_ref();
            let ResponseTimedOut { limit: given, .. } = cause.expect("a time-out");
            assert_eq!(*given, limit);
            tokio::time::timeout(Duration::from_secs(20), dropped.notified())
                .await
                .expect("the server is told");
        }
        assert_eq!(too_late, 2);
        let view = client.observe().view();
        assert_eq!(view.endpoints()[0].state.failures(), 2);
        // What may be sent twice goes on to the other.
        for _ in 0..4 {
            assert_eq!(read(client.send(get("/")).await.unwrap()).await, "alive");
        }
        assert_eq!(in_flight(&client), [0, 0]);
    }
}

async fn read_head(connection: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.expect("a request"));
    }
}

async fn is_closed(connection: &mut TcpStream) -> bool {
    let mut byte = [0];
    let read = connection.read(&mut byte);
    let read = tokio::time::timeout(Duration::from_secs(20), read).await;
    matches!(read.expect("closed soon"), Ok(0))
}

#[tokio::test]
async fn a_terminating_pods_idle_connections_close_and_what_is_in_flight_finishes() {
    let pod = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let leaving = Endpoint::new(Placement::new("orders-0"), pod.local_addr().unwrap());
    let staying = Endpoint::new(Placement::new("orders-1"), serve_text("stays").await);
    let (teller, source) = channel();
    teller.tell(Resolution::Present([leaving.clone()].into_iter().collect()));
    let client = Cluster::from_source(source)
        .service("orders.shop")
        .unwrap()
        .http()
        .http1()
        .connections_per_endpoint(2)
        .build()
        .unwrap();
    let (mut busy, mut idle) = (pod.accept().await.unwrap().0, pod.accept().await.unwrap().0);
    let in_flight = tokio::spawn(client.send(get("/")));
    let (mut byte, mut other_byte) = ([0], [0]);
    let other_is_busy = tokio::select! {
        byte = busy.peek(&mut byte) => byte.unwrap() == 0,
        byte = idle.peek(&mut other_byte) => byte.unwrap() == 1,
    };
    if other_is_busy {
        std::mem::swap(&mut busy, &mut idle);
    }
    read_head(&mut busy).await;

    let terminating = Conditions::new(Some(false), Some(true), Some(true));
    let set = [leaving.with_conditions(terminating), staying];
    teller.tell(Resolution::Present(set.into_iter().collect()));
    // It is still there, and so is its request, when the idle connection closes.
    assert!(is_closed(&mut idle).await);
    assert!(!in_flight.is_finished());
    for _ in 0..4 {
        assert_eq!(read(client.send(get("/")).await.unwrap()).await, "stays");
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate";
    busy.write_all(answer).await.unwrap();
    assert_eq!(read(in_flight.await.unwrap().unwrap()).await, "late");
    assert!(is_closed(&mut busy).await);
}

#[tokio::test]
async fn connections_that_are_made_and_that_cannot_be_are_counted() {
    let cluster = cluster([serve_text("a").await, nowhere().await]);
    let client = cluster.service("orders.shop").unwrap().http();
    let client = client.build().unwrap();
    let mut observer = client.observe();
    let one_is_out_of_reach = async {
        while let Some(view) = observer.changed().await {
            if view.endpoints().len() == 1 {
                return;
            }
        }
    };
    one_is_out_of_reach.await;
    assert_eq!(read(client.send(get("/")).await.unwrap()).await, "a");
    let counters = client.observe().counters();
    assert!(counters.dials_failed >= 1, "{counters:?}");
    // One may be on its way.
    let not_failed = counters.dials - counters.dials_failed;
    assert!((1..=2).contains(&not_failed), "{counters:?}");
}

#[tokio::test]
async fn whoever_cannot_be_reached_is_left_out_for_that_alone() {
    let addresses = [nowhere().await, nowhere().await, nowhere().await];
    let service = cluster(addresses).service("orders.shop").unwrap();
    let client = service.resilient().wait(Wait::FailFast).http();
    let client = client.build().unwrap();
    for _ in 0..30 {
        client.send(get("/")).await.unwrap_err();
    }
    assert_eq!(client.observe().counters().ejections, 0);
    // All are back at the same time, and all get requests: none has to serve a sentence first.
    let mut servers = tokio::task::JoinSet::new();
    for address in addresses {
        let listener = TcpListener::bind(address).await.unwrap();
        servers.spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let answer = move |_| async move { text(address.to_string()) };
                tokio::spawn(serve_on(connection, answer));
            }
        });
    }
    let all_serve = async {
        let mut served = BTreeSet::new();
        while served.len() < 3 {
            match client.send(get("/")).await {
                Ok(answer) => drop(served.insert(read(answer).await)),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(4), all_serve)
        .await
        .unwrap();
    assert_eq!(client.observe().counters().ejections, 0);
}

#[tokio::test]
async fn what_cannot_be_reached_is_not_dialled_for_each_request() {
    for http2 in [false, true] {
        let service = cluster([nowhere().await]).service("orders.shop").unwrap();
        let http = service.wait(Wait::FailFast).http();
        let http = if http2 { http.http2() } else { http.http1() };
        let client = http.build().unwrap();
        let began = std::time::Instant::now();
        for _ in 0..200 {
            client.send(get("/")).await.unwrap_err();
        }
        // One at the start, one for a request, and then not oftener than every 80 ms, in two ways.
        let ceiling = 2 + 2 * (1 + began.elapsed().as_millis() as u64 / 80);
        let dials = client.observe().counters().dials;
        assert!(dials <= ceiling, "{dials} of {ceiling}");
    }
}
