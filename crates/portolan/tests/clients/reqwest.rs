//! The reqwest client, over servers on loopback.

// The servers of the unit tests, which follow a script frame by frame.
#[path = "../../src/http/endpoint/tests/script.rs"]
#[allow(dead_code, reason = "some of it is for other tests")]
mod script;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::server::{cluster, hangs_up, nowhere, respond, serve, serve_text, text};
use bytes::Bytes;
use http_body_util::{BodyExt, channel::Channel};
use portolan::{
    ErrorKind, Sent, Wait,
    policy::RoundRobin,
    reqwest::{RequestError, ReqwestBuilder, ReqwestClient},
};
use reqwest::{Body, Method, Request, StatusCode, Url, redirect};
use script::Http2;
use tower::ServiceExt;

fn in_flight(client: &ReqwestClient) -> u32 {
    client.observe().view().endpoints()[0].state.in_flight()
}

#[tokio::test]
async fn urls_name_the_service_and_its_port_and_the_pods_port_is_dialled() {
    let address = serve(|request| async move {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        text(format!("{host} {}", request.uri()))
    })
    .await;
    let cluster = cluster([address]);
    let client = |service: &str| cluster.service(service).unwrap().reqwest().build().unwrap();

    let response = client("orders.shop:8080").get("/a?b").send().await.unwrap();
    assert_eq!(response.url().as_str(), "http://orders.shop:8080/a?b");
    assert_eq!(response.remote_addr(), Some(address));
    assert_eq!(response.text().await.unwrap(), "orders.shop:8080 /a?b");

    let client = client("orders.shop:http");
    for (path, expected) in [
        ("a", "orders.shop /a"),
        ("http://other:81/b", "other:81 /b"),
        ("http://other/c", "other /c"),
    ] {
        let answer = client.get(path).send().await.unwrap().text().await;
        assert_eq!(answer.unwrap(), expected);
    }
}

#[tokio::test]
async fn requests_go_to_all_endpoints_and_one_that_refuses_costs_none() {
    let addresses = [
        serve_text("a").await,
        nowhere().await,
        serve_text("b").await,
    ];
    let client = cluster(addresses)
        .service("orders.shop")
        .unwrap()
        .policy(RoundRobin::new())
        .reqwest()
        .build()
        .unwrap();
    let mut answers = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let response = client.get("/").send().await.unwrap();
        answers.insert(response.text().await.unwrap());
    }
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn when_all_refuse_the_error_says_who_and_why() {
    let client = cluster([nowhere().await, nowhere().await])
        .service("orders.shop:http")
        .unwrap()
        .wait(Wait::FailFast)
        .reqwest()
        .build()
        .unwrap();
    client.observe().changed().await;
    let error = client.get("/").send().await.unwrap_err();
    let RequestError::Send(error) = error else {
        panic!("{error}");
    };
    assert!(error.is_unsent());
    let text = error.to_string();
    for part in ["orders.shop:http", "orders-0", "orders-1", "refused"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_streamed_body_goes_to_the_next_endpoint_whole() {
    let echo = serve(|request| async { respond(request.into_body()) }).await;
    let client = cluster([nowhere().await, echo])
        .service("orders.shop")
        .unwrap()
        .policy(RoundRobin::new())
        .reqwest()
        .build()
        .unwrap();
    for _ in 0..4 {
        let (mut sender, body) = Channel::<Bytes>::new(1);
        let response = client.post("/").body(Body::wrap(body)).send();
        let send = async {
            for part in ["precious", " ", "stream"] {
                sender.send_data(part.into()).await.unwrap();
            }
            drop(sender);
        };
        let (response, ()) = tokio::join!(response, send);
        let answer = response.unwrap().text().await.unwrap();
        assert_eq!(answer, "precious stream");
    }
}

#[tokio::test]
async fn a_request_is_in_flight_until_its_body_ends_or_is_dropped() {
    let (senders, mut bodies) = tokio::sync::mpsc::unbounded_channel();
    let address = serve(move |_| {
        let (sender, body) = Channel::<Bytes>::new(1);
        senders.send(sender).unwrap();
        async { respond(body) }
    })
    .await;
    let client = cluster([address])
        .service("orders.shop")
        .unwrap()
        .reqwest()
        .build()
        .unwrap();
    let response = client.get("/").send().await.unwrap();
    assert_eq!(in_flight(&client), 1);
    drop(bodies.recv().await);
    assert_eq!(response.text().await.unwrap(), "");
    assert_eq!(in_flight(&client), 0);

    let response = client.get("/").send().await.unwrap();
    assert_eq!(in_flight(&client), 1);
    drop(response);
    assert_eq!(in_flight(&client), 0);
}

#[tokio::test]
async fn it_is_a_tower_service() {
    let client = cluster([serve_text("hello").await])
        .service("orders.shop")
        .unwrap()
        .reqwest()
        .build()
        .unwrap();
    let url = Url::parse("http://orders.shop/").unwrap();
    let response = client
        .oneshot(Request::new(Method::GET, url))
        .await
        .unwrap();
    assert_eq!(response.text().await.unwrap(), "hello");
}

#[tokio::test]
async fn what_the_caller_sets_is_set_at_every_endpoint() {
    let address = serve(|request| async move {
        let agent = request.headers()["user-agent"].to_str().unwrap().to_owned();
        text(agent)
    })
    .await;
    let client = cluster([address])
        .service("orders.shop")
        .unwrap()
        .reqwest()
        .client(|client| client.user_agent("checkout/1.0"))
        .build()
        .unwrap();
    let answer = client.get("/").send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, "checkout/1.0");
}

#[tokio::test]
async fn an_address_in_a_url_is_refused() {
    let reached = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&reached);
    let address = serve(move |_| {
        seen.store(true, Ordering::SeqCst);
        async { text("") }
    })
    .await;
    let client = cluster([address])
        .service("orders.shop")
        .unwrap()
        .reqwest()
        .build()
        .unwrap();
    let error = client.get(&format!("http://{address}/")).send().await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("name the Service"), "{text}");
    assert!(!reached.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_path_that_is_none_is_an_error_of_the_request() {
    let client = cluster([])
        .service("orders.shop")
        .unwrap()
        .reqwest()
        .build()
        .unwrap();
    let error = client.get("http://[/").send().await.unwrap_err();
    assert!(matches!(error, RequestError::Request(_)), "{error}");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_is_by_the_services_name() {
    let server = crate::server::tls::server("orders.shop", &[b"h2", b"http/1.1"]).await;
    let cluster = cluster([server.address]);
    let builder = || {
        cluster
            .service("orders.shop:https")
            .unwrap()
            .wait(Wait::FailFast)
            .reqwest()
    };
    let client = builder().tls(server.trusting.clone()).build().unwrap();
    client.observe().changed().await;
    let response = client.get("/").send().await.unwrap();
    assert_eq!(response.url().as_str(), "https://orders.shop/");
    let answer = response.text().await.unwrap();
    assert_eq!(answer, r#"HTTP/2.0 Some("orders.shop")"#);

    // Another name is another certificate, and nobody is trusted without a configuration.
    let url = "https://payments.shop/";
    let error = client.get(url).send().await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    let client = builder().build().unwrap();
    client.observe().changed().await;
    let error = client.get("https://orders.shop/").send().await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

fn by_turns(addresses: impl IntoIterator<Item = SocketAddr>) -> ReqwestBuilder {
    cluster(addresses)
        .service("orders.shop")
        .unwrap()
        .policy(RoundRobin::new())
        .reqwest()
}

fn failures(client: &ReqwestClient) -> Vec<u64> {
    let view = client.observe().view();
    let endpoints = view.endpoints().iter();
    endpoints.map(|one| one.state.failures()).collect()
}

/// An HTTP/2 server that answers no request: it refuses the stream, or goes away from the connection.
async fn refuses(goes_away: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = script::listen().await;
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let mut server = Http2::start(script::accept(&listener).await).await;
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                while let Some((stream, body)) = server.request().await {
                    assert_eq!(body, b"precious");
                    count.fetch_add(1, Ordering::SeqCst);
                    match goes_away {
                        true => server.go_away(0).await,
                        false => server.reset(stream, h2::Reason::REFUSED_STREAM).await,
                    }
                }
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn what_http2_says_was_not_processed_goes_to_another_endpoint() {
    for goes_away in [false, true] {
        let (address, asked) = refuses(goes_away).await;
        let client = by_turns([address, serve_text("alive").await])
            .client(reqwest::ClientBuilder::http2_prior_knowledge)
            .build()
            .unwrap();
        for _ in 0..6 {
            let response = client.post("/").body("precious").send().await.unwrap();
            assert_eq!(response.text().await.unwrap(), "alive");
        }
        // Once for each try of the balancer: reqwest does not try again where it was refused.
        let asked = asked.load(Ordering::SeqCst) as u64;
        assert!(asked >= 3, "{asked}");
        assert_eq!(failures(&client), [asked, 0], "{goes_away}");
    }
}

#[tokio::test]
async fn what_may_have_been_processed_is_sent_again_only_if_it_is_idempotent() {
    let asked = Arc::new(AtomicUsize::new(0));
    let addresses = [
        hangs_up(Arc::clone(&asked)).await,
        serve_text("alive").await,
    ];
    let lost = async |client: &ReqwestClient, method: Method| {
        let mut lost = 0;
        for _ in 0..6 {
            match client.request(method.clone(), "/").send().await {
                Ok(response) => assert_eq!(response.text().await.unwrap(), "alive"),
                Err(RequestError::Send(error)) => {
                    assert_eq!(*error.kind(), ErrorKind::Failed);
                    assert_eq!(error.attempts()[0].sent, Sent::Maybe);
                    lost += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        lost
    };
    let careful = by_turns(addresses).build().unwrap();
    assert_eq!(lost(&careful, Method::GET).await, 3);
    let by_method = by_turns(addresses).retry_idempotent().build().unwrap();
    assert_eq!(lost(&by_method, Method::GET).await, 0);
    assert_eq!(lost(&by_method, Method::POST).await, 3);
    let by_rule = by_turns(addresses).retry_if(|request| request.url().path() == "/");
    let by_rule = by_rule.build().unwrap();
    assert_eq!(lost(&by_rule, Method::POST).await, 0);
    assert!(asked.load(Ordering::SeqCst) >= 12);
}

/// The server closes each connection as soon as it is made, or when it has been used once: whatever it
/// has read of a request must not be called unsent, and the rest is not lost.
#[tokio::test]
async fn a_request_whose_connection_closes_before_it_leaves_is_called_unsent() {
    let listener = script::listen().await;
    let address = listener.local_addr().unwrap();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        for nth in 0_u32.. {
            let mut connection = script::accept(&listener).await;
            if nth % 3 == 0 {
                continue;
            }
            let told = told.clone();
            tokio::spawn(async move {
                use tokio::io::AsyncReadExt;
                let mut head = Vec::new();
                while let Ok(byte) = connection.read_u8().await {
                    head.push(byte);
                    if head.ends_with(b"\r\n\r\n") {
                        told.send(String::from_utf8(head).unwrap()).unwrap();
                        return script::answer(&mut connection, "").await;
                    }
                }
            });
        }
    });
    let builder = cluster([address]).service("orders.shop").unwrap();
    let client = builder.wait(Wait::FailFast).reqwest().build().unwrap();
    client.observe().changed().await;
    for n in 0..100 {
        let unsent = match client.post(&format!("/{n}")).body("x").send().await {
            Ok(response) => response.text().await.is_err(),
            Err(RequestError::Send(error)) => error.is_unsent(),
            Err(error) => panic!("{error}"),
        };
        while let Ok(head) = heard.try_recv() {
            let this = head.starts_with(&format!("POST /{n} "));
            assert!(!(this && unsent), "{n} was read and called unsent");
        }
    }
}

#[tokio::test]
async fn server_errors_and_time_outs_count_against_the_endpoint() {
    let address = serve(|request| async move {
        let status: u16 = request.uri().path()[1..].parse().unwrap();
        if status == 0 {
            std::future::pending::<()>().await;
        }
        let mut response = text("");
        *response.status_mut() = status.try_into().unwrap();
        response
    })
    .await;
    let client = by_turns([address]).build().unwrap();
    let mut expected = 0;
    for (status, counts) in [(200, 0), (404, 0), (500, 1), (501, 0), (503, 1), (505, 0)] {
        let response = client.get(&format!("/{status}")).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "an answer is an answer");
        expected += counts;
        assert_eq!(failures(&client), [expected], "{status}");
    }
    let limit = Duration::from_millis(50);
    let late = client.get("/0").with(|request| request.timeout(limit));
    late.send().await.unwrap_err();
    assert_eq!(failures(&client), [expected + 1]);
}

#[tokio::test]
async fn a_cancelled_request_counts_against_nobody() {
    let address = serve(|_| std::future::pending()).await;
    let client = by_turns([address]).build().unwrap();
    client.observe().changed().await;
    let mut sending = Box::pin(client.get("/").send());
    assert!(futures::poll!(&mut sending).is_pending());
    assert_eq!(in_flight(&client), 1);
    drop(sending);
    assert_eq!(in_flight(&client), 0);
    assert_eq!(failures(&client), [0]);
}

#[tokio::test]
async fn redirects_are_followed_only_where_asked_for_and_within_the_endpoint() {
    let redirecting = |name: &'static str| {
        serve(move |request| async move {
            if request.uri().path() == "/there" {
                return text(name);
            }
            let mut response = text("elsewhere");
            *response.status_mut() = StatusCode::FOUND;
            let location = http::HeaderValue::from_static("/there");
            response.headers_mut().insert("location", location);
            response
        })
    };
    let addresses = [redirecting("a").await, redirecting("b").await];
    let client = by_turns(addresses).build().unwrap();
    let response = client.get("/here").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.text().await.unwrap(), "elsewhere");

    let client = by_turns(addresses)
        .client(|client| client.redirect(redirect::Policy::limited(3)))
        .build()
        .unwrap();
    let mut answers = Vec::new();
    for _ in 0..4 {
        let response = client.get("/here").send().await.unwrap();
        assert_eq!(response.url().as_str(), "http://orders.shop/there");
        answers.push(response.text().await.unwrap());
    }
    answers.sort();
    assert_eq!(answers, ["a", "a", "b", "b"], "by turns, each to its end");
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_left_alone_until_it_is_back() {
    let down = nowhere().await;
    let client = by_turns([down, serve_text("a").await]).build().unwrap();
    let mut observer = client.observe();
    observer.changed().await;
    for _ in 0..2 {
        client.get("/").send().await.unwrap();
    }
    let view = observer.changed().await.unwrap();
    assert_eq!(
        view.endpoints().len(),
        1,
        "the one that refuses is left out"
    );
    let _listener = tokio::net::TcpListener::bind(down).await.unwrap();
    let view = tokio::time::timeout(Duration::from_secs(30), observer.changed()).await;
    assert_eq!(view.expect("dialled").unwrap().endpoints().len(), 2);
}

#[tokio::test]
async fn what_the_caller_does_wrong_counts_against_nobody() {
    let reads = |request: crate::server::Request| async move {
        match request.into_body().collect().await {
            Ok(_) => text("read to its end"),
            Err(_) => std::future::pending().await,
        }
    };
    let cluster = cluster([serve(reads).await, serve(reads).await]);
    for http2 in [false, true] {
        let customise = move |client: reqwest::ClientBuilder| match http2 {
            true => client.http2_prior_knowledge(),
            false => client,
        };
        let service = cluster.service("orders.shop").unwrap();
        let client = service.reqwest().client(customise).retry_idempotent();
        let client = client.build().unwrap();
        let failures = || {
            let view = client.observe().view();
            let failures = view.endpoints().iter().map(|one| one.state.failures());
            failures.sum::<u64>()
        };
        // The body fails.
        let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(1);
        let begins = sender.send_data(Bytes::from_static(b"once upon"));
        begins.await.unwrap();
        let sent = client.put("/").body(Body::wrap(body)).send();
        sender.abort(std::io::Error::other("the disk is gone"));
        let error = sent.await.unwrap_err();
        assert_eq!(failures(), 0, "{error:?}");
        let RequestError::Send(error) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.attempts().len(), 1, "{error}");

        // The URL names nobody.
        let error = client.get("http://127.0.0.1:1/").send().await.unwrap_err();
        assert_eq!(failures(), 0, "{error:?}");
        let RequestError::Send(error) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.attempts().len(), 1, "{error}");
        assert!(error.is_unsent());
    }
}
