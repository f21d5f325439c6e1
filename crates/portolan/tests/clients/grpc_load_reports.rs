//! What endpoints report of their load by gRPC: in trailers, and in streams of their own.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use portolan::{
    BuildError, View,
    grpc::{GrpcBuilder, GrpcClient},
    orca::LoadReports,
};
use prost::Message;
use tokio::sync::watch;
use tower::Service;

use crate::{
    health::until,
    server::{Request, Response, cluster, respond, serve},
};

#[derive(Clone, PartialEq, prost::Message)]
struct OrcaLoadReport {
    #[prost(double, tag = "1")]
    cpu_utilization: f64,
    #[prost(double, tag = "6")]
    rps_fractional: f64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Interval {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct OrcaLoadReportRequest {
    #[prost(message, optional, tag = "1")]
    report_interval: Option<Interval>,
}

const STREAM: &str = "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics";

/// Answers calls with reports in trailers, and streams the utilizations that it is told; or knows no streams.
#[derive(Clone)]
struct Server {
    streams: bool,
    utilization: watch::Sender<f64>,
    asked_for_streams: Arc<AtomicUsize>,
}

fn report(cpu_utilization: f64) -> Vec<u8> {
    let report = OrcaLoadReport {
        cpu_utilization,
        rps_fractional: 8.0,
    };
    report.encode_to_vec()
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat().into()
}

impl Server {
    fn new(streams: bool) -> Self {
        Self {
            streams,
            utilization: watch::Sender::new(0.25),
            asked_for_streams: Arc::default(),
        }
    }

    async fn start(&self) -> SocketAddr {
        let server = self.clone();
        serve(move |request| server.clone().answer(request)).await
    }

    async fn answer(self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let ok = |frame| Ok::<_, Infallible>(frame);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let mut response = if path != STREAM {
            let report = STANDARD_NO_PAD.encode(report(0.75));
            let report = HeaderValue::from_str(&report).unwrap();
            trailers.insert("endpoint-load-metrics-bin", report);
            let frames = [Frame::data(framed(b"")), Frame::trailers(trailers)];
            respond(StreamBody::new(stream::iter(frames.map(ok))))
        } else if self.streams {
            self.asked_for_streams.fetch_add(1, Ordering::SeqCst);
            let asked = OrcaLoadReportRequest::decode(&body[5..]).unwrap();
            let interval = asked.report_interval.unwrap();
            assert_eq!((interval.seconds, interval.nanos), (7, 500_000_000));
            let mut utilization = self.utilization.subscribe();
            utilization.mark_changed();
            respond(StreamBody::new(stream::unfold(
                utilization,
                move |mut utilization| async move {
                    utilization.changed().await.ok()?;
                    let said = *utilization.borrow_and_update();
                    Some((ok(Frame::data(framed(&report(said)))), utilization))
                },
            )))
        } else {
            self.asked_for_streams.fetch_add(1, Ordering::SeqCst);
            let mut response = crate::server::text("");
            let unimplemented = HeaderValue::from_static("12");
            response.headers_mut().insert("grpc-status", unimplemented);
            response
        };
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert("content-type", grpc);
        response
    }
}

fn builder(address: SocketAddr, reports: LoadReports) -> GrpcBuilder {
    let service = cluster([address]).service("orders.shop").unwrap();
    service.grpc().load_reports(reports)
}

async fn call(channel: &GrpcClient) {
    let call = http::Request::post("/orders.Orders/Get").body(Empty::<Bytes>::new());
    let Ok(response) = channel.clone().call(call.unwrap()).await;
    let Ok(body) = response.into_body().collect().await;
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
}

fn utilization(view: &View) -> Option<f64> {
    let state = &view.endpoints().first()?.state;
    Some(state.reported_busyness()?.utilization.value())
}

#[tokio::test]
async fn what_trailers_report_is_known_when_the_call_has_ended() {
    let server = Server::new(false);
    let reports = LoadReports::new();
    let channel = builder(server.start().await, reports.clone()).build();
    let channel = channel.unwrap();
    call(&channel).await;
    assert_eq!(utilization(&channel.observe().view()), Some(0.75));
    assert_eq!(reports.refused(), 0);
    assert_eq!(server.asked_for_streams.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_stream_tells_of_an_endpoint_that_nobody_calls() {
    let server = Server::new(true);
    let reports = LoadReports::new().out_of_band(Duration::from_millis(7500));
    let channel = builder(server.start().await, reports.clone()).build();
    let channel = channel.unwrap();
    let mut observer = channel.observe();
    until(&mut observer, |view| utilization(view) == Some(0.25)).await;
    server.utilization.send_replace(0.5);
    until(&mut observer, |view| utilization(view) == Some(0.5)).await;
    // Garbage ends nothing.
    server.utilization.send_replace(-1.0);
    until(&mut observer, |_| reports.refused() == 1).await;
    server.utilization.send_replace(0.125);
    until(&mut observer, |view| utilization(view) == Some(0.125)).await;
    assert_eq!(server.asked_for_streams.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_knows_no_streams_is_asked_once() {
    let server = Server::new(false);
    let reports = LoadReports::new().out_of_band(Duration::from_secs(1));
    let channel = builder(server.start().await, reports).build().unwrap();
    let asked = || server.asked_for_streams.load(Ordering::SeqCst);
    until(&mut channel.observe(), |_| asked() > 0).await;
    // It would be asked again after a second or so.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(asked(), 1);
    call(&channel).await;
    assert_eq!(utilization(&channel.observe().view()), Some(0.75));
}

#[tokio::test]
async fn an_interval_of_nothing_is_refused() {
    let reports = LoadReports::new().out_of_band(Duration::ZERO);
    let built = builder("127.0.0.1:1".parse().unwrap(), reports).build();
    let Err(BuildError::Setting { setting, .. }) = built else {
        panic!("it is refused");
    };
    assert_eq!(setting, "load_reports.out_of_band");
}
