//! Health checks by HTTP, over servers on loopback.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, StatusCode};
use portolan::{
    Observer, View, Wait,
    health_check::{HealthCheck, HttpCheck},
    http::HttpBuilder,
    policy::RoundRobin,
};
use tokio::{
    net::TcpListener,
    sync::Notify,
    time::{sleep, timeout},
};

use crate::{
    http::{get, read},
    server::{Request, Response, cluster, serve_on, text},
};

const SOON: Duration = Duration::from_secs(20);
const OFTEN: Duration = Duration::from_millis(50);

/// A server that tells its health by a status, and what it has been asked.
#[derive(Clone)]
pub(crate) struct Server {
    status: Arc<Mutex<StatusCode>>,
    checks: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    pub(crate) address: SocketAddr,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            status: Arc::new(Mutex::new(StatusCode::OK)),
            checks: Arc::default(),
            connections: Arc::default(),
            address: listener.local_addr().unwrap(),
        };
        let server = this.clone();
        tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                server.connections.fetch_add(1, Ordering::SeqCst);
                let server = server.clone();
                tokio::spawn(serve_on(connection, move |request| {
                    let answer = server.answer(&request);
                    async { answer }
                }));
            }
        });
        this
    }

    fn answer(&self, request: &Request) -> Response {
        let mut response = text("fine, thank you");
        if request.uri().path() == "/healthz" {
            *response.status_mut() = *self.status.lock().unwrap();
            let host = request.headers().get("host").cloned();
            let host = host.map(|host| host.to_str().unwrap().to_owned());
            let authority = request.uri().authority().map(ToString::to_string);
            let agent = request.headers()["user-agent"].to_str().unwrap();
            let named = authority.or(host).unwrap();
            self.checks.lock().unwrap().push(format!("{named} {agent}"));
        }
        response
    }

    fn says(&self, status: StatusCode) {
        *self.status.lock().unwrap() = status;
    }

    fn checks(&self) -> usize {
        self.checks.lock().unwrap().len()
    }
}

/// Waits until this is so.
pub(crate) async fn until(observer: &mut Observer, is_so: impl Fn(&View) -> bool) -> View {
    let seen = async {
        loop {
            let view = observer.view();
            if is_so(&view) {
                return view;
            }
            // Counts of checks change without the balancer's saying so.
            let _ = timeout(Duration::from_millis(20), observer.changed()).await;
        }
    };
    timeout(SOON, seen).await.expect("it comes to that")
}

pub(crate) fn healthy(view: &View) -> Vec<bool> {
    view.health().iter().map(|one| one.is_healthy()).collect()
}

fn client(addresses: impl IntoIterator<Item = SocketAddr>, check: HealthCheck) -> HttpBuilder {
    let check = check.interval(OFTEN).timeout(OFTEN).unhealthy_after(2);
    cluster(addresses)
        .service("orders.shop:8080")
        .unwrap()
        .policy(RoundRobin::new())
        .wait(Wait::FailFast)
        .health_check(check)
        .http()
}

#[tokio::test]
async fn checks_go_the_way_of_requests_and_an_endpoint_that_fails_them_gets_none() {
    for http2 in [false, true] {
        let servers = [Server::start().await, Server::start().await];
        let addresses = servers.each_ref().map(|one| one.address);
        let client = client(addresses, HealthCheck::http("/healthz"));
        let client = if http2 {
            client.http2()
        } else {
            client.http1()
        };
        let client = client.build().unwrap();
        let mut observer = client.observe();
        let checked = |view: &View| view.health().iter().all(|one| one.checks() > 3);
        let view = until(&mut observer, |view| {
            view.health().len() == 2 && checked(view)
        })
        .await;
        assert_eq!(healthy(&view), [true, true]);
        for server in &servers {
            let said = server.checks.lock().unwrap()[0].clone();
            assert!(
                said.starts_with("orders.shop:8080 portolan-health-check/"),
                "{said}"
            );
            let connections = server.connections.load(Ordering::SeqCst);
            assert_eq!(connections, 1, "that of requests");
        }

        servers[0].says(StatusCode::SERVICE_UNAVAILABLE);
        let view = until(&mut observer, |view| healthy(view) == [false, true]).await;
        let reason = view.health()[0].last_failure().unwrap();
        assert_eq!(
            &*reason,
            "GET /healthz was answered with 503 Service Unavailable"
        );
        assert_eq!(view.endpoints().len(), 1);
        for _ in 0..4 {
            let response = client.send(get("/")).await.unwrap();
            assert_eq!(read(response).await, "fine, thank you");
        }
        let requests = view.endpoints()[0].state.requests();
        assert_eq!(requests, 4, "checks are no requests");

        servers[0].says(StatusCode::FOUND);
        until(&mut observer, |view| healthy(view) == [true, true]).await;
    }
}

#[tokio::test]
async fn which_statuses_are_good_and_which_host_is_named_can_be_said() {
    let server = Server::start().await;
    let check = HttpCheck::get("/healthz")
        .statuses(503..=503)
        .header(http::header::HOST, HeaderValue::from_static("probe.shop"));
    let client = client([server.address], HealthCheck::http(check))
        .build()
        .unwrap();
    let mut observer = client.observe();
    until(&mut observer, |view| healthy(view) == [false]).await;
    server.says(StatusCode::SERVICE_UNAVAILABLE);
    until(&mut observer, |view| healthy(view) == [true]).await;
    assert!(server.checks.lock().unwrap()[0].starts_with("probe.shop "));
}

#[tokio::test]
async fn a_check_at_another_port_has_connections_of_its_own_and_leaves_none() {
    let (server, probes) = (Server::start().await, Server::start().await);
    let check = HttpCheck::get("/healthz").port(probes.address.port());
    let client = client([server.address], HealthCheck::http(check))
        .build()
        .unwrap();
    let mut observer = client.observe();
    let view = until(&mut observer, |view| {
        view.health().iter().any(|one| one.checks() >= 3)
    })
    .await;
    assert_eq!(healthy(&view), [true]);
    assert_eq!(server.checks(), 0);
    assert!(probes.connections.load(Ordering::SeqCst) >= 3);
    probes.says(StatusCode::INTERNAL_SERVER_ERROR);
    until(&mut observer, |view| healthy(view) == [false]).await;
}

#[tokio::test]
async fn a_balancer_of_anything_is_checked_by_http_as_well() {
    let servers = [Server::start().await, Server::start().await];
    servers[1].says(StatusCode::INTERNAL_SERVER_ERROR);
    let check = HealthCheck::http("/healthz").interval(OFTEN).timeout(OFTEN);
    let service = cluster(servers.each_ref().map(|one| one.address)).service("db.shop");
    let nodes = service.unwrap().health_check(check).nodes().unwrap();
    until(&mut nodes.observe(), |view| healthy(view) == [true, false]).await;
    let said = servers[0].checks.lock().unwrap()[0].clone();
    assert!(said.starts_with("db.shop "), "{said}");
}

#[tokio::test]
async fn a_port_that_never_answers_is_found_out_and_keeps_nothing() {
    // The system takes connections for it, and nobody ever reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start().await;
    let addresses = [server.address, silent.local_addr().unwrap()];
    let client = client(addresses, HealthCheck::http("/healthz"))
        .build()
        .unwrap();
    let mut observer = client.observe();
    let view = until(&mut observer, |view| healthy(view) == [true, false]).await;
    let ill = &view.health()[1];
    assert_eq!(ill.last_failure().as_deref(), Some("no answer within 50ms"));
    assert!(
        ill.failures() >= 2 && ill.failures() == ill.checks(),
        "{ill:?}"
    );
    for _ in 0..4 {
        read(client.send(get("/")).await.unwrap()).await;
    }
}

#[tokio::test]
async fn an_endpoint_with_much_to_do_is_not_ill_for_that() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (enough, is_busy) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (done, begun) = (Arc::clone(&enough), Arc::clone(&is_busy));
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let (done, begun) = (Arc::clone(&done), Arc::clone(&begun));
            tokio::spawn(serve_on(connection, move |request: Request| {
                let (done, begun) = (Arc::clone(&done), Arc::clone(&begun));
                async move {
                    if request.uri().path() == "/long" {
                        begun.notify_one();
                        done.notified().await;
                    }
                    text("done")
                }
            }));
        }
    });
    let check = HealthCheck::http("/healthz").interval(OFTEN).timeout(OFTEN);
    let client = cluster([address])
        .service("orders.shop")
        .unwrap()
        .health_check(check)
        .http()
        .max_connections_per_endpoint(1)
        .build()
        .unwrap();
    let long = tokio::spawn(client.send(get("/long")));
    timeout(SOON, is_busy.notified()).await.unwrap();
    let checks = || client.observe().view().health()[0].clone();
    let before = (checks().checks(), checks().failures());
    // However long this is, it may only be too short to see that it is wrong.
    sleep(6 * OFTEN).await;
    assert!(checks().is_healthy());
    assert_eq!((checks().checks(), checks().failures()), before);
    enough.notify_one();
    long.await.unwrap().unwrap();
    let mut observer = client.observe();
    until(&mut observer, |view| view.health()[0].checks() > before.0).await;
}
