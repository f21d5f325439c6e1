//! A limit on the connections to all endpoints together.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::try_join_all;
use portolan::{BuildError, Wait, http::HttpBuilder};
use tokio::net::TcpListener;

use crate::{
    http::{get, read},
    server::{cluster, serve_on, text},
};

/// A server that answers with its name, after a moment, and counts the connections that are open.
async fn serve(name: &'static str, open: Arc<Open>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let open = Arc::clone(&open);
            tokio::spawn(async move {
                let now = open.now.fetch_add(1, Ordering::SeqCst) + 1;
                open.most.fetch_max(now, Ordering::SeqCst);
                serve_on(connection, move |_| async move {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    text(name)
                })
                .await;
                open.now.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    address
}

#[derive(Default)]
struct Open {
    now: AtomicUsize,
    most: AtomicUsize,
}

#[tokio::test]
async fn there_are_no_more_than_there_may_be_and_every_request_is_answered() {
    let versions: [fn(HttpBuilder) -> HttpBuilder; 2] = [HttpBuilder::http1, HttpBuilder::http2];
    for version in versions {
        let open = Arc::<Open>::default();
        let mut addresses = Vec::new();
        for name in ["a", "b", "c", "d"] {
            addresses.push(serve(name, Arc::clone(&open)).await);
        }
        let builder = cluster(addresses).service("orders").unwrap();
        let builder = builder.wait(Wait::UpTo(Duration::from_secs(5)));
        let client = version(builder.http()).max_connections(2).build().unwrap();
        let mut served = BTreeSet::new();
        for _ in 0..20 {
            let answers = (0..10).map(|_| client.send(get("/")));
            for answer in try_join_all(answers).await.unwrap() {
                served.insert(read(answer).await);
            }
        }
        assert!(open.most.load(Ordering::SeqCst) <= 2);
        assert!((1..=2).contains(&served.len()), "{served:?}");
    }
}

#[tokio::test]
async fn nonsense_is_refused() {
    for connections in [0, usize::MAX] {
        let builder = cluster([]).service("orders").unwrap().http();
        match builder.max_connections(connections).build() {
            Err(BuildError::Setting { setting, .. }) => assert_eq!(setting, "max_connections"),
            other => panic!("{other:?}"),
        }
    }
}
