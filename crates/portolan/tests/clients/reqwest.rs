//! The reqwest client, over servers on loopback.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::server::{cluster, nowhere, respond, serve, serve_text, text};
use bytes::Bytes;
use http_body_util::channel::Channel;
use portolan::{
    Wait,
    policy::RoundRobin,
    reqwest::{RequestError, ReqwestClient},
};
use reqwest::{Body, Method, Request, Url};
use tower::ServiceExt;

pub(crate) fn in_flight(client: &ReqwestClient) -> u32 {
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
