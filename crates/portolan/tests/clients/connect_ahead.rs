//! New endpoints are connected to before they get requests.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portolan::{
    BuildError, Cluster, Endpoint, Placement, Resolution,
    http::{HttpBuilder, HttpClient},
    policy::RoundRobin,
    source::{Teller, channel},
};
use tokio::net::TcpListener;

use crate::{
    health::until,
    http::{get, read},
    server::{serve_on, text},
};

const NEVER: Duration = Duration::from_secs(3600);

/// A server that answers with its name.
async fn named(name: &'static str, connections: &Arc<AtomicUsize>) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let connections = Arc::clone(connections);
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve_on(connection, move |_| async move { text(name) }));
        }
    });
    Endpoint::new(Placement::new(name), address)
}

fn tell(teller: &Teller, endpoints: &[&Endpoint]) {
    let endpoints = endpoints.iter().copied().cloned().collect();
    teller.tell(Resolution::Present(endpoints));
}

fn builder(cluster: &Cluster) -> HttpBuilder {
    let service = cluster.service("orders.shop").unwrap();
    service.policy(RoundRobin::new()).http()
}

async fn served_by(client: &HttpClient) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for _ in 0..20 {
        names.insert(read(client.send(get("/")).await.unwrap()).await);
    }
    names
}

fn names(expected: &[&str]) -> BTreeSet<String> {
    expected.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test]
async fn one_that_is_not_connected_to_gets_nothing_while_another_is() {
    for http2 in [false, true] {
        let (of_a, of_b) = (Arc::default(), Arc::default());
        let (a, b) = (named("a", &of_a).await, named("b", &of_b).await);
        let (teller, source) = channel();
        let client = builder(&Cluster::from_source(source)).connect_ahead(NEVER);
        let client = if http2 {
            client.http2()
        } else {
            client.http1()
        };
        let client = client.build().unwrap();
        tell(&teller, &[&a]);
        // There is nobody else: it is connected to because a request waits for it.
        assert_eq!(served_by(&client).await, names(&["a"]));
        let mut observer = client.observe();
        let before = observer.changed().await.unwrap().generation();
        tell(&teller, &[&a, &b]);
        until(&mut observer, |view| view.generation() > before).await;
        assert_eq!(served_by(&client).await, names(&["a"]));
        assert_eq!(of_b.load(Ordering::SeqCst), 0);
        tell(&teller, &[&b]);
        until(&mut observer, |view| {
            view.endpoints()
                .iter()
                .all(|one| one.endpoint.placement() == b.placement())
        })
        .await;
        assert_eq!(served_by(&client).await, names(&["b"]));
    }
}

#[tokio::test]
async fn one_that_is_connected_to_gets_requests_as_any_other() {
    let (of_a, of_b) = (Arc::default(), Arc::default());
    let (a, b) = (named("a", &of_a).await, named("b", &of_b).await);
    let (teller, source) = channel();
    let client = builder(&Cluster::from_source(source));
    let client = client
        .connect_ahead(Duration::from_millis(50))
        .build()
        .unwrap();
    tell(&teller, &[&a]);
    let mut observer = client.observe();
    until(&mut observer, |view| view.endpoints().len() == 1).await;
    tell(&teller, &[&a, &b]);
    until(&mut observer, |view| view.endpoints().len() == 2).await;
    assert_eq!(served_by(&client).await, names(&["a", "b"]));
    assert_eq!(of_b.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn all_of_the_first_ones_get_requests_at_once() {
    let connections = Arc::default();
    let (a, b) = (
        named("a", &connections).await,
        named("b", &connections).await,
    );
    let (teller, source) = channel();
    let client = builder(&Cluster::from_source(source));
    let client = client.connect_ahead(NEVER).build().unwrap();
    tell(&teller, &[&a, &b]);
    assert_eq!(served_by(&client).await, names(&["a", "b"]));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let (_teller, source) = channel();
    let cluster = Cluster::from_source(source);
    let refused = |builder: HttpBuilder| match builder.build() {
        Err(BuildError::Setting { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(builder(&cluster).dials_ahead(0)), "dials_ahead");
    let instant = Duration::from_millis(999);
    assert_eq!(
        refused(builder(&cluster).max_connection_age(instant)),
        "max_connection_age"
    );
}

/// Takes connections, says nothing on each for a while, and hangs up: handshakes that take time, and fail.
#[cfg(feature = "tls")]
#[derive(Clone, Default)]
struct Silent {
    taken: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    most_open: Arc<AtomicUsize>,
}

#[cfg(feature = "tls")]
impl Silent {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let this = this.clone();
                this.taken.fetch_add(1, Ordering::SeqCst);
                let open = this.open.fetch_add(1, Ordering::SeqCst) + 1;
                this.most_open.fetch_max(open, Ordering::SeqCst);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    this.open.fetch_sub(1, Ordering::SeqCst);
                    drop(connection);
                });
            }
        });
        address
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_hundred_endpoints_that_come_at_once_are_dialled_a_few_at_a_time() {
    let trusting = crate::server::tls::server("orders.shop", &[])
        .await
        .trusting;
    for version in [HttpBuilder::http1, HttpBuilder::http2, |either| either] {
        let silent = Silent::default();
        let address = silent.start().await;
        let (teller, source) = channel();
        let client = builder(&Cluster::from_source(source)).tls(trusting.clone());
        let _client = version(client).dials_ahead(8).build().unwrap();
        let pods =
            (0..100).map(|nth| Endpoint::new(Placement::new(format!("orders-{nth}")), address));
        teller.tell(Resolution::Present(pods.collect()));
        // Those that fail are dialled again meanwhile, in the same turns.
        let dialled = async {
            while silent.taken.load(Ordering::SeqCst) < 150 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), dialled)
            .await
            .unwrap();
        let most = silent.most_open.load(Ordering::SeqCst);
        assert!((2..=8).contains(&most), "{most}");
    }
}
