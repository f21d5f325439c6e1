//! Balancers as they are made, handed about and let go of.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, TryFutureExt};
use portolan::{BoxError, Endpoint, ErrorKind, Wait};
use tower::{Layer, Service, ServiceExt};

use crate::{cluster_of, named, present, until_served_by};

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_drops_every_endpoint() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let alive = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&alive);
    let make = move |endpoint: &Endpoint| {
        counter.fetch_add(1, Ordering::Relaxed);
        let (counted, name) = (
            Arc::new(Counted(Arc::clone(&counter))),
            endpoint.placement().to_string(),
        );
        tower::service_fn(move |()| {
            let _held = Arc::clone(&counted);
            ready(Ok::<_, BoxError>(name.clone()))
        })
    };
    let (teller, cluster) = cluster_of(0..3);
    let service = cluster.service("db").unwrap().layer().unwrap().layer(make);
    until_served_by(&service, &["db-0", "db-1", "db-2"]).await;
    assert_eq!(alive.load(Ordering::Relaxed), 3);
    teller.tell(present([1]));
    until_served_by(&service, &["db-1"]).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(
        alive.load(Ordering::Relaxed),
        1,
        "a service outlived its endpoint"
    );
    drop(service);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(
        alive.load(Ordering::Relaxed),
        0,
        "the driver outlived the balancer"
    );
}

#[tokio::test(start_paused = true)]
async fn nodes_are_leased() {
    let (_teller, cluster) = cluster_of(0..2);
    let nodes = cluster.service("db").unwrap().nodes().unwrap();
    let lease = nodes.pick("user:17").await.unwrap();
    let other = nodes.pick(b"user:17").await.unwrap();
    assert_ne!(
        lease.address(),
        other.address(),
        "the less loaded of two is the other one"
    );
}

#[test]
fn settings_that_make_no_sense_are_refused_with_their_name() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (_teller, cluster) = cluster_of([]);
    let error = cluster.service("db").unwrap().nodes().unwrap_err();
    assert!(error.to_string().contains("no tokio runtime"), "{error}");
    let _entered = runtime.enter();
    let db = || cluster.service("db").unwrap();
    for (error, name) in [
        (db().max_attempts(0).nodes().unwrap_err(), "max_attempts"),
        (
            db().max_in_flight_per_endpoint(0).nodes().unwrap_err(),
            "max_in_flight_per_endpoint",
        ),
        (
            db().ready_timeout(Duration::ZERO).nodes().unwrap_err(),
            "ready_timeout",
        ),
    ] {
        assert!(error.to_string().starts_with(name), "{error}");
    }
    assert!(cluster.service("no such name").is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_while_endpoints_come_and_go() {
    let (teller, cluster) = cluster_of([]);
    let service = named(
        cluster
            .service("db")
            .unwrap()
            .wait(Wait::UpTo(Duration::from_secs(30))),
    );
    let requests: Vec<_> = (0..4)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move {
                for _ in 0..2_000 {
                    service.clone().oneshot(()).await.unwrap();
                }
            })
        })
        .collect();
    let flapping = async {
        for turn in 0_u64.. {
            teller.tell(present((turn % 2 == 0).then_some((turn % 7) as u16)));
            tokio::task::yield_now().await;
            if requests.iter().all(tokio::task::JoinHandle::is_finished) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), flapping)
        .await
        .expect("a request hangs");
    for request in requests {
        request.await.unwrap();
    }
}

#[tokio::test]
async fn the_balancer_and_its_futures_go_anywhere() {
    fn anywhere<T: Clone + Send + Sync + 'static>(one: T) -> T {
        one
    }
    let (_teller, cluster) = cluster_of([0]);
    let service = named(cluster.service("db").unwrap());
    let answer = tokio::spawn(anywhere(service).call(()));
    assert_eq!(answer.await.unwrap().unwrap(), "db-0");
}

/// Ready never.
#[derive(Clone)]
struct NeverReady;

impl Service<()> for NeverReady {
    type Response = ();
    type Error = BoxError;
    type Future = std::future::Ready<Result<(), BoxError>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Pending
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

#[test]
fn requests_wait_wherever_they_are_polled() {
    let soon = Duration::from_millis(20);
    let home = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (nobody, somebody) = home.block_on(async {
        let (_teller, cluster) = cluster_of([]);
        let wait = Wait::UpTo(soon);
        let nobody = named(cluster.service("db").unwrap().wait(wait));
        let (_teller, cluster) = cluster_of([0]);
        let builder = cluster.service("db").unwrap().wait(wait);
        let layer = builder.ready_timeout(soon).layer().unwrap();
        (nobody, layer.layer(|_: &Endpoint| NeverReady))
    });
    let bare = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    bare.block_on(async {
        let error = nobody.clone().oneshot(()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NoEndpoints { .. }));
        let error = somebody.clone().oneshot(()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Exhausted);
    });
    // Without the runtime on which it was built, a balancer says so, and does not wait.
    drop(home);
    for service in [
        nobody.clone().oneshot(()).boxed(),
        somebody
            .clone()
            .oneshot(())
            .map_ok(|()| String::new())
            .boxed(),
    ] {
        let error = bare.block_on(service).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Closed);
    }
}
