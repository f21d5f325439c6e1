//! Whose name requests bear, where an endpoint has a DNS name of its own.

use std::net::SocketAddr;

use crate::server::{Request, serve, text};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use portolan::{
    BalancerBuilder, Cluster, Endpoint, Naming, Placement, http::HttpBuilder, source::Fixed,
};

const TARGET: &str = "db.example.com";

/// A Service that is an alias, and one address of its target.
fn alias(address: SocketAddr, service: &str) -> BalancerBuilder {
    let endpoint = Endpoint::new(Placement::new("a"), address).with_host(TARGET);
    let cluster = Cluster::from_source(Fixed::from_iter([endpoint]));
    cluster.service(service).unwrap()
}

async fn named(request: Request) -> crate::server::Response {
    let uri = request.uri().authority().map(ToString::to_string);
    let host = request
        .headers()
        .get("host")
        .map(|host| host.to_str().unwrap().to_owned());
    text(uri.or(host).unwrap())
}

async fn ask(client: HttpBuilder, path: &str) -> String {
    let client = client.build().unwrap();
    let request = http::Request::get(path)
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = client.send(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn requests_bear_the_services_name_unless_the_targets_is_asked_for() {
    let address = serve(named).await;
    let http = || alias(address, "orders.shop:8080").http();
    for http in [http().http1(), http().http2()] {
        assert_eq!(ask(http.clone(), "/").await, "orders.shop:8080");
        let target = http.naming(Naming::Target);
        // As a URL of the target would have it, with the port that is dialled.
        assert_eq!(
            ask(target.clone(), "/").await,
            format!("{TARGET}:{}", address.port())
        );
        assert_eq!(
            ask(target.clone(), "http://other/").await,
            "other",
            "what the request says stays"
        );
        let said = target.authority("said.example".parse().unwrap());
        assert_eq!(
            ask(said, "/").await,
            "said.example",
            "and what the client was told"
        );
    }
}

#[tokio::test]
async fn an_endpoint_without_a_name_is_called_by_the_services() {
    let cluster = crate::server::cluster([serve(named).await]);
    let http = cluster.service("orders.shop").unwrap().http();
    assert_eq!(ask(http.naming(Naming::Target), "/").await, "orders.shop");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn certificates_are_checked_for_the_same_name() {
    let server = crate::server::tls::server(TARGET, &[b"h2"]).await;
    let https = || {
        alias(server.address, "orders.shop")
            .http()
            .tls(server.trusting.clone())
    };
    let asked_for = format!("HTTP/2.0 Some({TARGET:?})");
    assert_eq!(ask(https().naming(Naming::Target), "/").await, asked_for);

    let own = crate::server::tls::server("orders.shop", &[b"h2"]).await;
    let https = alias(own.address, "orders.shop")
        .http()
        .tls(own.trusting.clone());
    assert_eq!(ask(https, "/").await, r#"HTTP/2.0 Some("orders.shop")"#);
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn reqwest_puts_the_targets_name_in_the_place_of_the_services() {
    let address = serve(named).await;
    let client = alias(address, "orders.shop:8080")
        .reqwest()
        .naming(Naming::Target)
        .build()
        .unwrap();
    let response = client.get("/a").send().await.unwrap();
    assert_eq!(
        response.url().as_str(),
        "http://orders.shop:8080/a",
        "the caller's own URL"
    );
    assert_eq!(response.text().await.unwrap(), "db.example.com:8080");
    let other = client.get("http://other/a").send().await.unwrap();
    assert_eq!(other.text().await.unwrap(), "other");
    let client = alias(address, "orders.shop:8080")
        .reqwest()
        .build()
        .unwrap();
    let own = client.get("/a").send().await.unwrap();
    assert_eq!(own.text().await.unwrap(), "orders.shop:8080");
}
