//! Everything is bounded: in flight, waiting, not being ready.

use std::{
    collections::BTreeSet,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{FutureExt, join_all};
use portolan::{BoxError, Endpoint, ErrorKind, Sent, policy::RoundRobin};
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt};

use crate::{
    cluster_of, named,
    scripted::{Refused, Scripted},
};

/// An endpoint whose requests end when the test says so.
fn gated(
    gate: Arc<Semaphore>,
) -> impl Fn(&Endpoint) -> tower::util::BoxCloneSyncService<(), String, BoxError> + Send + Sync + 'static
{
    move |endpoint| {
        let (gate, name) = (Arc::clone(&gate), endpoint.placement().to_string());
        tower::util::BoxCloneSyncService::new(tower::service_fn(move |()| {
            let (gate, name) = (Arc::clone(&gate), name.clone());
            async move {
                gate.acquire().await?.forget();
                Ok::<_, BoxError>(name)
            }
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn in_flight_is_bounded_and_given_back_on_cancellation() {
    let (_teller, cluster) = cluster_of(0..2);
    let gate = Arc::new(Semaphore::new(0));
    let service = cluster
        .service("db")
        .unwrap()
        .max_in_flight_per_endpoint(3)
        .layer()
        .unwrap()
        .layer(gated(Arc::clone(&gate)));
    let mut requests: Vec<_> = (0..6)
        .map(|_| service.clone().oneshot(()).boxed())
        .collect();
    for request in &mut requests {
        assert!(futures::poll!(request.as_mut()).is_pending());
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    for request in &mut requests {
        assert!(futures::poll!(request.as_mut()).is_pending());
    }
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Overloaded);
    // One caller gives up: there is room for one.
    drop(requests.pop());
    gate.add_permits(6);
    service.clone().oneshot(()).await.unwrap();
    assert!(
        join_all(requests)
            .await
            .into_iter()
            .all(|answer| answer.is_ok())
    );
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_bounded() {
    let (_teller, cluster) = cluster_of([]);
    let service = named(cluster.service("db").unwrap().max_waiting(2));
    let mut errors = join_all((0..5).map(|_| service.clone().oneshot(()))).await;
    errors.retain(|answer| {
        matches!(
            answer.as_ref().unwrap_err().kind(),
            ErrorKind::TooManyWaiting
        )
    });
    assert_eq!(errors.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_never_ready_is_passed_over() {
    #[derive(Clone)]
    struct Sometimes(bool);
    impl Service<u32> for Sometimes {
        type Response = ();
        type Error = Refused;
        type Future = Ready<Result<(), Refused>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
            if self.0 {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        }
        fn call(&mut self, _: u32) -> Self::Future {
            ready(Ok(()))
        }
    }
    let (_teller, cluster) = cluster_of(0..2);
    let make = |endpoint: &Endpoint| Sometimes(endpoint.placement().as_str() == "db-1");
    let service = cluster
        .service("db")
        .unwrap()
        .policy(RoundRobin::new())
        .build_with(make, Scripted)
        .unwrap();
    for _ in 0..4 {
        service.clone().oneshot(1).await.unwrap();
    }
}

/// An endpoint that fails when it is asked for the first time whether it is ready, if it has not already.
#[derive(Clone)]
struct FailsOnce {
    name: String,
    failed: Arc<AtomicBool>,
}

impl Service<u32> for FailsOnce {
    type Response = String;
    type Error = Refused;
    type Future = Ready<Result<String, Refused>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        match self.failed.swap(true, Ordering::Relaxed) {
            true => Poll::Ready(Ok(())),
            false => Poll::Ready(Err(Refused(None, Sent::No))),
        }
    }

    fn call(&mut self, _: u32) -> Self::Future {
        ready(Ok(self.name.clone()))
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_failed_to_be_ready_once_is_used_again() {
    for endpoints in 1..=3 {
        let (_teller, cluster) = cluster_of(0..endpoints);
        let service = cluster
            .service("db")
            .unwrap()
            .policy(RoundRobin::new())
            .build_with(
                |endpoint: &Endpoint| FailsOnce {
                    name: endpoint.placement().to_string(),
                    failed: Arc::new(AtomicBool::new(endpoint.placement().as_str() != "db-0")),
                },
                Scripted,
            )
            .unwrap();
        // Whoever finds it out goes to another, or asks once more.
        let mut served = BTreeSet::new();
        for _ in 0..20 {
            served.insert(service.clone().oneshot(1).await.unwrap());
        }
        assert_eq!(served.len(), usize::from(endpoints), "{served:?}");
        let view = service.observe().view();
        let failures = view.endpoints().iter().map(|one| one.state.failures());
        assert_eq!(failures.sum::<u64>(), 1);
    }
}
