//! What endpoints report of their load, read from headers.

use std::{net::SocketAddr, time::Duration};

use http::HeaderValue;
use portolan::{BuildError, http::HttpBuilder, orca::LoadReports};

use crate::{
    http::{get, read},
    server::{cluster, serve, text},
};

/// A server that reports this.
async fn reporting(name: &'static str, report: &'static str) -> SocketAddr {
    serve(move |_| async move {
        let mut response = text("done");
        let report = HeaderValue::from_static(report);
        response.headers_mut().insert(name, report);
        response
    })
    .await
}

fn builder(address: SocketAddr) -> HttpBuilder {
    cluster([address]).service("orders.shop").unwrap().http()
}

#[tokio::test]
async fn what_a_response_reports_is_known_of_its_endpoint() {
    for (name, report) in [
        (
            "endpoint-load-metrics",
            "TEXT cpu_utilization=0.5,rps_fractional=64,eps=2,named_metrics.queue=3",
        ),
        // The same, without the queue.
        (
            "endpoint-load-metrics-bin",
            "CQAAAAAAAOA/MQAAAAAAAFBAOQAAAAAAAABA",
        ),
    ] {
        let reports = LoadReports::new().requests_in_flight_named("queue");
        let client = builder(reporting(name, report).await);
        let client = client.load_reports(reports.clone()).build().unwrap();
        let response = client.send(get("/")).await.unwrap();
        assert_eq!(response.headers()[name], report, "it stays there");
        assert_eq!(read(response).await, "done");
        let view = client.observe().view();
        let state = &view.endpoints()[0].state;
        let busyness = state.reported_busyness().unwrap();
        assert_eq!(busyness.utilization.value(), 0.5);
        assert_eq!(busyness.requests_per_second.value(), 64.0);
        assert_eq!(busyness.errors_per_second.value(), 2.0);
        let queue = state
            .reported_queue()
            .and_then(|one| one.requests_in_flight);
        assert_eq!(queue, report.contains("queue").then_some(3));
        assert_eq!(reports.refused(), 0);
    }
}

#[tokio::test]
async fn garbage_is_counted_and_costs_the_response_nothing() {
    let garbage = "TEXT cpu_utilization=lots";
    let reports = LoadReports::new();
    let client = builder(reporting("endpoint-load-metrics", garbage).await);
    let client = client.load_reports(reports.clone()).build().unwrap();
    for _ in 0..3 {
        let response = client.send(get("/")).await.unwrap();
        assert_eq!(read(response).await, "done");
    }
    assert_eq!(reports.refused(), 3);
    let view = client.observe().view();
    let state = &view.endpoints()[0].state;
    assert_eq!(state.reported_busyness(), None);
    assert_eq!(state.failures(), 0);
}

#[tokio::test]
async fn nothing_is_read_that_nobody_asked_for() {
    let report = "TEXT cpu_utilization=0.5,rps_fractional=64";
    let client = builder(reporting("endpoint-load-metrics", report).await);
    let client = client.build().unwrap();
    read(client.send(get("/")).await.unwrap()).await;
    let view = client.observe().view();
    assert_eq!(view.endpoints()[0].state.reported_busyness(), None);
}

#[tokio::test]
async fn a_stream_of_reports_is_for_grpc() {
    let address = reporting("x", "y").await;
    let reports = LoadReports::new().out_of_band(Duration::from_secs(10));
    let Err(BuildError::Setting { setting, .. }) = builder(address).load_reports(reports).build()
    else {
        panic!("it is refused");
    };
    assert_eq!(setting, "load_reports.out_of_band");
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn reqwest_reads_the_same() {
    let report = "TEXT cpu_utilization=0.5,rps_fractional=64";
    let address = reporting("endpoint-load-metrics", report).await;
    let service = cluster([address]).service("orders.shop").unwrap();
    let client = service.reqwest().load_reports(LoadReports::new()).build();
    let client = client.unwrap();
    let response = client.get("/").send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "done");
    let view = client.observe().view();
    let busyness = view.endpoints()[0].state.reported_busyness().unwrap();
    assert_eq!(busyness.utilization.value(), 0.5);
}
