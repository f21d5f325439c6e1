//! What becomes of reqwest's requests that fail: who is asked again, and against whom it counts.

// The servers of the unit tests, which follow a script frame by frame.
#[path = "../../src/http/endpoint/tests/script.rs"]
#[allow(dead_code, reason = "some of it is for other tests")]
mod script;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::reqwest::in_flight;
use crate::server::{cluster, hangs_up, nowhere, serve, serve_text, text};
use bytes::Bytes;
use http_body_util::{BodyExt, channel::Channel};
use portolan::{
    ErrorKind, Sent, Wait,
    policy::RoundRobin,
    reqwest::{RequestError, ReqwestBuilder, ReqwestClient},
};
use reqwest::{Body, Method, StatusCode, redirect};
use script::Http2;

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
