//! Pods as servers: real sockets, and their faults.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use portolan_test::{PodContext, PodHandle, TestCluster, Workload, programs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

type HttpClient = Legacy<HttpConnector, Empty<bytes::Bytes>>;

fn http1() -> HttpClient {
    Legacy::builder(TokioExecutor::new()).build_http()
}

fn http2() -> HttpClient {
    Legacy::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http()
}

async fn ask(
    client: &HttpClient,
    pod: &PodHandle,
) -> Result<(StatusCode, Version, String), String> {
    let uri = format!("http://{}/hello", pod.address());
    let request = Request::get(uri).body(Empty::new()).unwrap();
    let response = client
        .request(request)
        .await
        .map_err(|error| format!("{error:?}"))?;
    let (status, version) = (response.status(), response.version());
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| error.to_string())?;
    Ok((
        status,
        version,
        String::from_utf8(body.to_bytes().to_vec()).unwrap(),
    ))
}

async fn echo() -> (TestCluster, Workload, PodHandle) {
    let cluster = TestCluster::builder().restart_backoff(Duration::from_millis(30));
    let cluster = cluster.start().await.unwrap();
    let db = cluster
        .stateful_set("shop", "db", 1)
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    db.wait_ready(1).await.unwrap();
    let pod = cluster.pod("shop", "db-0").unwrap();
    (cluster, db, pod)
}

#[tokio::test]
async fn one_port_speaks_http1_and_http2() {
    let (_cluster, _, pod) = echo().await;
    let (status, version, body) = ask(&http1(), &pod).await.unwrap();
    assert_eq!((status, version), (StatusCode::OK, Version::HTTP_11));
    assert!(body.contains(r#""version":"HTTP/1.1""#), "{body}");
    let (_, version, body) = ask(&http2(), &pod).await.unwrap();
    assert_eq!(version, Version::HTTP_2);
    assert!(
        body.contains(&format!(r#""authority":"{}""#, pod.address())),
        "{body}"
    );
    assert_eq!(pod.requests_served(), 2);
}

#[tokio::test]
async fn a_killed_pod_resets_and_refuses_and_comes_back_with_the_same_uid() {
    let (cluster, db, pod) = echo().await;
    let mut open = TcpStream::connect(pod.address()).await.unwrap();
    open.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut some = [0; 16];
    open.read_exact(&mut some).await.unwrap();
    pod.kill();
    let broken = loop {
        match open.read(&mut some).await {
            Ok(0) => panic!("a clean end is not kill -9"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(broken.kind(), ErrorKind::ConnectionReset);
    let refused = TcpStream::connect(pod.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    while ask(&http1(), &pod).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    db.wait_ready(1).await.unwrap();
    assert_eq!(cluster.pod("shop", "db-0").unwrap().uid(), pod.uid());
}

#[tokio::test]
async fn a_killed_pod_is_not_ready_until_it_is_back() {
    let cluster = TestCluster::builder().restart_backoff(Duration::from_secs(3600));
    let cluster = cluster.start().await.unwrap();
    let service = cluster.service("shop", "db").headless().port("http", 8080);
    let service = service.create().await.unwrap();
    let db = cluster
        .stateful_set("shop", "db", 2)
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    db.wait_ready(2).await.unwrap();
    service.wait_endpoints(2).await.unwrap();
    cluster.pod("shop", "db-0").unwrap().kill();
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> =
        kube::Api::namespaced(cluster.client(), "shop");
    let not_ready = kube::runtime::wait::await_condition(
        pods,
        "db-0",
        |pod: Option<&k8s_openapi::api::core::v1::Pod>| {
            let status = pod.and_then(|pod| pod.status.as_ref());
            let conditions = status.and_then(|status| status.conditions.as_ref());
            conditions.is_some_and(|all| {
                all.iter()
                    .any(|c| c.type_ == "Ready" && c.status == "False")
            })
        },
    );
    let pod = not_ready.await.unwrap().unwrap();
    let containers = pod.status.unwrap().container_statuses.unwrap();
    assert_eq!(containers[0].restart_count, 1);
}

#[tokio::test]
async fn a_refusing_pod_keeps_its_connections() {
    let (_cluster, _, pod) = echo().await;
    let client = http1();
    ask(&client, &pod).await.unwrap();
    pod.refuse();
    ask(&client, &pod).await.unwrap();
    let refused = TcpStream::connect(pod.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    pod.heal().unwrap();
    ask(&http1(), &pod).await.unwrap();
}

#[tokio::test]
async fn a_hanging_pod_accepts_and_never_answers() {
    let (_cluster, _, pod) = echo().await;
    let client = http1();
    ask(&client, &pod).await.unwrap();
    pod.hang();
    TcpStream::connect(pod.address()).await.unwrap();
    let mut asked = std::pin::pin!(ask(&client, &pod));
    let none = tokio::time::timeout(Duration::from_millis(200), asked.as_mut()).await;
    assert!(none.is_err());
    pod.heal().unwrap();
    assert_eq!(asked.await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn slow_statuses_and_resets_on_order() {
    let (_cluster, _, pod) = echo().await;
    let client = http2();
    ask(&client, &pod).await.unwrap();
    pod.slow(Duration::from_millis(150));
    let start = Instant::now();
    let (one, two) = tokio::join!(ask(&client, &pod), ask(&client, &pod));
    assert!(one.is_ok() && two.is_ok());
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(150), "{took:?}");
    pod.heal().unwrap();

    pod.answer_with(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        ask(&client, &pod).await.unwrap().0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    pod.heal().unwrap();

    let served = pod.requests_served();
    assert_eq!(served, 4);
    pod.reset_every(3);
    let client = http1();
    assert!(ask(&client, &pod).await.is_ok(), "the fifth");
    assert!(ask(&client, &pod).await.is_err(), "the sixth");
    assert!(ask(&http1(), &pod).await.is_ok(), "the seventh");
}

#[tokio::test]
async fn a_stalled_pod_takes_requests_and_answers_them_when_it_is_well() {
    let (_cluster, _, pod) = echo().await;
    let client = http2();
    ask(&client, &pod).await.unwrap();
    pod.stall();
    let mut asked = std::pin::pin!(ask(&client, &pod));
    tokio::select! {
        answer = asked.as_mut() => panic!("{answer:?}"),
        () = async {
            while pod.requests_in_flight() == 0 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    let mut impatient = std::pin::pin!(ask(&client, &pod));
    let none = tokio::time::timeout(Duration::from_millis(100), impatient.as_mut()).await;
    assert!(none.is_err());
    assert_eq!(pod.requests_served(), 3);
    pod.heal().unwrap();
    assert_eq!(asked.await.unwrap().0, StatusCode::OK);
    assert_eq!(impatient.await.unwrap().0, StatusCode::OK);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_pod_that_vanishes_answers_nobody_and_is_ready_all_the_same() {
    let (_cluster, db, pod) = echo().await;
    let client = http1();
    ask(&client, &pod).await.unwrap();
    pod.vanish().unwrap();
    let either = async {
        tokio::select! {
            connected = TcpStream::connect(pod.address()) => format!("{connected:?}"),
            answered = ask(&client, &pod) => format!("{answered:?}"),
        }
    };
    let none = tokio::time::timeout(Duration::from_millis(300), either).await;
    assert!(none.is_err(), "{none:?}");
    db.wait_ready(1).await.unwrap();
    pod.vanish().unwrap();
    pod.heal().unwrap();
    ask(&client, &pod).await.unwrap();
    TcpStream::connect(pod.address()).await.unwrap();
    // It can be killed, too, and comes back.
    pod.vanish().unwrap();
    pod.kill();
    let refused = TcpStream::connect(pod.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn connections_are_counted_and_every_so_many_reset() {
    let (_cluster, _, pod) = echo().await;
    assert_eq!(pod.connections_accepted(), 0);
    pod.reset_every_connection(3);
    let mut resets = 0;
    for _ in 0..9 {
        resets += usize::from(ask(&http1(), &pod).await.is_err());
    }
    assert_eq!((resets, pod.connections_accepted()), (3, 9));
    assert_eq!(pod.requests_served(), 6);
    pod.heal().unwrap();
    for _ in 0..3 {
        ask(&http1(), &pod).await.unwrap();
    }
}

#[tokio::test]
async fn a_pod_knows_its_zone() {
    let (_cluster, _, pod) = echo().await;
    assert!(pod.zone().starts_with("zone-"), "{}", pod.zone());
}

/// A program that begins to answer at once and ends when it is told to.
fn unhurried(go: watch::Receiver<bool>) -> impl portolan_test::Program {
    programs::http(move |pod: PodContext| {
        let go = go.clone();
        tower::service_fn(move |_request| {
            let (mut go, name) = (go.clone(), pod.name().to_owned());
            async move {
                go.wait_for(|go| *go).await.unwrap();
                let body = Full::<bytes::Bytes>::from(name);
                Ok::<_, std::convert::Infallible>(http::Response::new(body))
            }
        })
    })
}

#[tokio::test]
async fn sigterm_closes_the_port_and_lets_requests_in_flight_finish() {
    for client in [http1(), http2()] {
        let (go, wait) = watch::channel(false);
        let cluster = TestCluster::builder().image("unhurried", unhurried(wait));
        let cluster = cluster.start().await.unwrap();
        let db = cluster
            .stateful_set("shop", "db", 1)
            .image("unhurried")
            .port("http", 8080);
        let db = db.create().await.unwrap();
        db.wait_ready(1).await.unwrap();
        let pod = cluster.pod("shop", "db-0").unwrap();
        let idle = TcpStream::connect(pod.address()).await.unwrap();
        let asked = tokio::spawn({
            let (client, pod) = (client.clone(), pod.clone());
            async move { ask(&client, &pod).await }
        });
        while pod.requests_in_flight() == 0 {
            tokio::task::yield_now().await;
        }
        db.scale(0).await.unwrap();
        while TcpStream::connect(pod.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!asked.is_finished());
        assert!(
            cluster.pod("shop", "db-0").is_ok(),
            "it waits for the request"
        );
        go.send_replace(true);
        assert_eq!(asked.await.unwrap().unwrap().2, "db-0");
        db.wait_ready(0).await.unwrap();
        drop(idle);
    }
}

#[tokio::test]
async fn readiness_can_be_taken_away_without_a_fault() {
    let (cluster, db, pod) = echo().await;
    pod.set_ready(false);
    let impatient = cluster.workloads().patience(Duration::from_millis(300));
    let service = impatient
        .service("shop", "db")
        .headless()
        .port("http", 8080);
    let service = service.create().await.unwrap();
    let seen = service.wait_endpoints(1).await.unwrap_err().to_string();
    assert!(seen.contains(r#""ready":false"#), "{seen}");
    ask(&http1(), &pod).await.unwrap();
    pod.set_ready(true);
    db.wait_ready(1).await.unwrap();
    service.wait_endpoints(1).await.unwrap();
}

#[tokio::test]
async fn a_pod_can_be_given_the_address_of_another() {
    let (cluster, db, pod) = echo().await;
    let address = pod.ip();
    db.delete().await.unwrap();
    while cluster.pod("shop", "db-0").is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let heir = cluster.stateful_set("shop", "heir", 1).port("http", 8080);
    let heir = heir.annotation("portolan.test/ip", &address.to_string());
    heir.create().await.unwrap().wait_ready(1).await.unwrap();
    let heir = cluster.pod("shop", "heir-0").unwrap();
    assert_eq!(heir.ip(), address);
    assert!(ask(&http1(), &heir).await.unwrap().2.contains("heir-0"));
}

#[tokio::test]
async fn clusters_do_not_meet() {
    let ((one, _, a), (two, _, b)) = tokio::join!(echo(), echo());
    assert_ne!(a.address(), b.address());
    assert!(ask(&http1(), &a).await.unwrap().2.contains(a.uid()));
    assert!(ask(&http1(), &b).await.unwrap().2.contains(b.uid()));
    drop(one);
    while TcpStream::connect(a.address()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    ask(&http1(), &b).await.unwrap();
    drop(two);
}
