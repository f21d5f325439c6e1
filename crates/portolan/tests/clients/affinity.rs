//! What HTTP and reqwest requests say of who is to serve them.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use portolan::{
    BalancerBuilder, Routing,
    affinity::{Affinity, header, path_segment},
    http::HttpClient,
};

use crate::server::{cluster, serve_text};

async fn orders() -> BalancerBuilder {
    let cluster = cluster([
        serve_text("a").await,
        serve_text("b").await,
        serve_text("c").await,
    ]);
    cluster.service("orders.shop").unwrap()
}

fn affinity() -> Affinity {
    Affinity::new().pin(header("x-pod").or(path_segment(1)))
}

async fn answer(client: &HttpClient, request: http::request::Builder) -> String {
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let chosen = client
        .explain(&request)
        .chosen()
        .unwrap()
        .placement()
        .clone();
    let body = client.send(request).await.unwrap().into_body();
    let body = body.collect().await.unwrap().to_bytes();
    let names = [("orders-0", "a"), ("orders-1", "b"), ("orders-2", "c")];
    let told = names
        .iter()
        .find(|(_, text)| text.as_bytes() == body)
        .unwrap();
    // With a pin, what is explained is what happens.
    assert_eq!(told.0, chosen.as_str());
    told.0.to_owned()
}

#[tokio::test]
async fn http_requests_go_where_their_heads_or_extensions_say() {
    let client = orders().await.http().affinity(affinity()).build().unwrap();
    client.observe().changed().await;
    let get = |path: &str| http::Request::get(path);
    for pod in ["orders-2", "orders-0", "orders-1"] {
        assert_eq!(answer(&client, get("/").header("x-pod", pod)).await, pod);
        assert_eq!(answer(&client, get(&format!("/pods/{pod}/x"))).await, pod);
        // What a request says itself goes before.
        let routing = Routing::pinned_to(pod);
        let request = get("/").header("x-pod", "orders-1").extension(routing);
        assert_eq!(answer(&client, request).await, pod);
    }
}

#[tokio::test]
async fn a_header_that_cannot_be_is_an_error_of_the_client() {
    let wrong = || header("x pod");
    let error = orders().await.http().affinity(wrong()).build().unwrap_err();
    assert!(error.to_string().contains("x pod"), "{error}");
    #[cfg(feature = "grpc")]
    assert!(orders().await.grpc().affinity(wrong()).build().is_err());
    #[cfg(feature = "reqwest")]
    assert!(orders().await.reqwest().affinity(wrong()).build().is_err());
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn reqwests_requests_go_where_their_heads_or_callers_say() {
    let client = orders()
        .await
        .reqwest()
        .affinity(affinity())
        .build()
        .unwrap();
    client.observe().changed().await;
    for (pod, expected) in [("orders-2", "c"), ("orders-0", "a"), ("orders-1", "b")] {
        let by_head = client.get("/").header("x-pod", pod);
        let by_path = client.get(&format!("/pods/{pod}/x"));
        let by_caller = client
            .get("/")
            .header("x-pod", "orders-1")
            .routing(Routing::pinned_to(pod));
        for request in [by_head, by_path, by_caller] {
            let explanation = request.explain().unwrap();
            assert_eq!(explanation.chosen().unwrap().placement().as_str(), pod);
            let answer = request.send().await.unwrap().text().await.unwrap();
            assert_eq!(answer, expected);
        }
    }
}
