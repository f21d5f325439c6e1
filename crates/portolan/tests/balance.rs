//! What the balanced service promises, whatever the protocol: tested on scripted endpoints, under
//! paused time.
#![cfg(test)]

use std::{
    collections::BTreeMap,
    future::{Ready, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt, join_all};
use portolan::{
    BoxError, Cluster, Conditions, Endpoint, EndpointSet, ErrorKind, Failure, Lease, Opaque,
    PickContext, Picker, Placement, Policy, Protocol, Resolution, Sent, SourceError,
    SourceErrorKind, Verdict, Wait,
    policy::{RoundRobin, default_policy},
    source::{Teller, channel},
};
use tokio::{sync::Semaphore, time::Instant};
use tower::{Layer, Service, ServiceExt};

fn endpoint(ordinal: u16) -> Endpoint {
    Endpoint::new(
        Placement::new(format!("db-{ordinal}")),
        format!("127.0.0.1:{}", 1 + ordinal).parse().unwrap(),
    )
    .with_uid(format!("uid-{ordinal}"))
}

fn present(ordinals: impl IntoIterator<Item = u16>) -> Resolution {
    Resolution::Present(ordinals.into_iter().map(endpoint).collect())
}

fn cluster_of(ordinals: impl IntoIterator<Item = u16>) -> (Teller, Cluster) {
    let (teller, source) = channel();
    teller.tell(present(ordinals));
    (teller, Cluster::from_source(source))
}

/// Answers with the name of the endpoint.
fn name(
    endpoint: &Endpoint,
) -> impl Service<(), Response = String, Error = BoxError, Future = Ready<Result<String, BoxError>>>
+ Clone
+ Send
+ Sync
+ use<> {
    let name = endpoint.placement().to_string();
    tower::service_fn(move |()| ready(Ok(name.clone())))
}

async fn spread<S>(service: &S, requests: usize) -> BTreeMap<String, usize>
where
    S: Service<(), Response = String, Error = portolan::Error> + Clone,
{
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let answer = service.clone().oneshot(()).await.unwrap();
        *counts.entry(answer).or_default() += 1;
    }
    counts
}

/// Waits until the balancer serves exactly these endpoints, for as long as paused time goes on.
async fn until_served_by<S>(service: &S, expected: &[&str])
where
    S: Service<(), Response = String, Error = portolan::Error> + Clone,
{
    for _ in 0..1000 {
        let served = spread(service, 4 * expected.len().max(1)).await;
        if served
            .keys()
            .map(String::as_str)
            .eq(expected.iter().copied())
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never served by {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_request_waits_for_discovery_and_changes_are_followed() {
    let (teller, source) = channel();
    let service = Cluster::from_source(source)
        .service("db.shop:client")
        .unwrap()
        .policy(RoundRobin::new())
        .layer()
        .unwrap()
        .layer(name);
    let first = tokio::spawn(service.clone().oneshot(()));
    tokio::task::yield_now().await;
    teller.tell(present([0]));
    assert_eq!(first.await.unwrap().unwrap(), "db-0");
    teller.tell(present(0..3));
    until_served_by(&service, &["db-0", "db-1", "db-2"]).await;
    teller.tell(present([2]));
    until_served_by(&service, &["db-2"]).await;
}

#[tokio::test(start_paused = true)]
async fn terminating_endpoints_get_nothing_new_unless_they_are_all_that_is_left() {
    let (teller, cluster) = cluster_of(0..2);
    let service = cluster
        .service("db")
        .unwrap()
        .policy(RoundRobin::new())
        .layer()
        .unwrap()
        .layer(name);
    until_served_by(&service, &["db-0", "db-1"]).await;
    let terminating = Conditions::new(Some(false), Some(true), Some(true));
    let set: EndpointSet = [endpoint(0).with_conditions(terminating), endpoint(1)]
        .into_iter()
        .collect();
    teller.tell(Resolution::Present(set));
    until_served_by(&service, &["db-1"]).await;
    let set: EndpointSet = [endpoint(0).with_conditions(terminating)]
        .into_iter()
        .collect();
    teller.tell(Resolution::Present(set));
    until_served_by(&service, &["db-0"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_source_takes_nothing_away_and_an_empty_list_does() {
    let (teller, cluster) = cluster_of([0]);
    let service = cluster
        .service("db.shop")
        .unwrap()
        .wait(Wait::UpTo(Duration::from_secs(1)))
        .layer()
        .unwrap()
        .layer(name);
    until_served_by(&service, &["db-0"]).await;
    teller.tell(Resolution::Failed(SourceError::new(
        SourceErrorKind::Unavailable,
        "no answer",
    )));
    until_served_by(&service, &["db-0"]).await;

    teller.tell(present([]));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let started = Instant::now();
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert_eq!(started.elapsed(), Duration::from_secs(1));
    assert!(
        matches!(error.kind(), ErrorKind::NoEndpoints { .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .starts_with("db.shop: no endpoint is ready"),
        "{error}"
    );

    teller.tell(Resolution::Absent);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NotFound { .. }),
        "{error}"
    );

    teller.tell(Resolution::Failed(SourceError::new(
        SourceErrorKind::Unavailable,
        "no answer",
    )));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("discovery is failing: no answer"),
        "{error}"
    );

    teller.tell(present([1]));
    until_served_by(&service, &["db-1"]).await;
}

#[tokio::test(start_paused = true)]
async fn fail_fast_waits_for_the_first_word_only() {
    let (teller, source) = channel();
    let service = Cluster::from_source(source)
        .service("db")
        .unwrap()
        .wait(Wait::FailFast)
        .layer()
        .unwrap()
        .layer(name);
    let first = tokio::spawn(service.clone().oneshot(()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let told = Instant::now();
    teller.tell(present([]));
    let error = first.await.unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NoEndpoints { .. }),
        "{error}"
    );
    assert!(told.elapsed() < Duration::from_secs(1), "{error}");
    let started = Instant::now();
    service.clone().oneshot(()).await.unwrap_err();
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_cannot_be_answered_fails_at_once() {
    let (teller, source) = channel();
    let service = Cluster::from_source(source)
        .service("db:nope")
        .unwrap()
        .layer()
        .unwrap()
        .layer(name);
    teller.tell(Resolution::Failed(SourceError::new(
        SourceErrorKind::Invalid,
        "no port `nope`: it has `client`",
    )));
    let started = Instant::now();
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Discovery);
    assert!(error.to_string().contains("it has `client`"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(1));
}

/// A request that is told back whole, where it was not sent.
#[derive(Debug)]
struct Refused(Option<u32>, Sent);

struct Scripted;

impl<S: Service<u32, Error = Refused>> Protocol<u32, S> for Scripted {
    type Response = S::Response;

    fn is_idempotent(&self, request: &u32) -> bool {
        *request >= 100
    }

    fn respond(&self, response: S::Response, mut lease: Lease) -> S::Response {
        lease.succeed();
        response
    }

    fn fail(&self, Refused(request, sent): Refused) -> Failure<u32> {
        Failure::new("refused")
            .with_sent(sent)
            .with_request(request)
    }
}

/// Endpoints of which only db-2 takes requests.
fn only_db_2(
    sent: Sent,
    calls: Arc<Mutex<Vec<String>>>,
) -> impl Fn(&Endpoint) -> RefusingEndpoint + Send + Sync + 'static {
    move |endpoint| RefusingEndpoint {
        name: endpoint.placement().to_string(),
        sent,
        calls: Arc::clone(&calls),
    }
}

#[derive(Clone)]
struct RefusingEndpoint {
    name: String,
    sent: Sent,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Service<u32> for RefusingEndpoint {
    type Response = u32;
    type Error = Refused;
    type Future = Ready<Result<u32, Refused>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        self.calls.lock().unwrap().push(self.name.clone());
        ready(match self.name.as_str() {
            "db-2" => Ok(request),
            _ => Err(Refused(Some(request), self.sent)),
        })
    }
}

// `Refused` stands for any error; the balancer asks for this much.
impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused")
    }
}
impl std::error::Error for Refused {}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_tried_on_each_other_endpoint_once() {
    for sent in [Sent::No, Sent::Unreachable] {
        for _ in 0..50 {
            let (_teller, cluster) = cluster_of(0..6);
            let calls = Arc::default();
            let service = cluster
                .service("db")
                .unwrap()
                .build_with(only_db_2(sent, Arc::clone(&calls)), Scripted)
                .unwrap();
            assert_eq!(service.oneshot(7).await.unwrap(), 7);
            let mut calls = calls.lock().unwrap().clone();
            assert_eq!(calls.pop().as_deref(), Some("db-2"));
            let tried = calls.len();
            calls.sort();
            calls.dedup();
            assert_eq!(calls.len(), tried, "one endpoint was tried twice");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_sent_is_not_sent_again_unless_it_is_idempotent() {
    let (_teller, cluster) = cluster_of([0, 1]);
    let calls = Arc::default();
    let service = cluster
        .service("db")
        .unwrap()
        .build_with(only_db_2(Sent::Maybe, Arc::clone(&calls)), Scripted)
        .unwrap();
    let error = service.clone().oneshot(7).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Failed);
    assert_eq!(error.attempts().len(), 1);
    assert!(!error.is_unsent());

    let error = service.oneshot(100).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Failed);
    assert_eq!(error.attempts().len(), 2);
    let said = error.to_string();
    assert!(said.contains("db-0 (127.0.0.1:1): refused"), "{said}");
    assert!(said.contains("db-1 (127.0.0.1:2): refused"), "{said}");
}

/// The only endpoint breaks off two requests and then refuses connections, each after a second, until
/// it is back.
#[derive(Clone)]
struct Restarting {
    calls: Arc<AtomicUsize>,
    back: Instant,
}

impl Service<u32> for Restarting {
    type Response = u32;
    type Error = Refused;
    type Future = BoxFuture<'static, Result<u32, Refused>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        let sent = match self.calls.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Sent::Maybe,
            _ => Sent::Unreachable,
        };
        let is_back = Instant::now() >= self.back;
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            match is_back {
                true => Ok(request),
                false => Err(Refused(Some(request), sent)),
            }
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_request_waits_for_the_only_endpoint_to_be_back() {
    // Tried at 0 s and 1 s. At 2 s it waits, whatever was said and unsaid meanwhile.
    for (unready_at, ready_at) in [(500, 2500), (1500, 2500), (1500, 1800), (2500, 3000)] {
        for request in [100, 7] {
            let (teller, cluster) = cluster_of([0]);
            let began = Instant::now();
            let restarting = Restarting {
                calls: Arc::default(),
                back: began + Duration::from_millis(1700),
            };
            let service = cluster
                .service("db")
                .unwrap()
                .build_with(move |_: &Endpoint| restarting.clone(), Scripted)
                .unwrap();
            let sent = tokio::spawn(service.oneshot(request));
            tokio::time::sleep_until(began + Duration::from_millis(unready_at)).await;
            // Its readiness probe fails, and it comes back as the Pod it was.
            let unready = endpoint(0).with_conditions(Conditions::new(Some(false), None, None));
            teller.tell(Resolution::Present([unready].into_iter().collect()));
            tokio::time::sleep_until(began + Duration::from_millis(ready_at)).await;
            teller.tell(present([0]));
            match (request, sent.await.unwrap()) {
                (100, answer) => assert_eq!(answer.unwrap(), 100),
                (_, answer) => assert_eq!(answer.unwrap_err().attempts().len(), 1),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_are_out_of_reach_a_request_waits_for_one_that_is_not() {
    let (teller, cluster) = cluster_of([0, 1]);
    let service = cluster
        .service("db")
        .unwrap()
        .build_with(only_db_2(Sent::Unreachable, Arc::default()), Scripted)
        .unwrap();
    let request = tokio::spawn(service.oneshot(7));
    tokio::time::sleep(Duration::from_secs(1)).await;
    teller.tell(present([0, 1, 2]));
    assert_eq!(request.await.unwrap().unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_out_of_reach_is_left_alone_until_it_is_reached() {
    // db-2 answers; nothing listens where db-0 is said to be, and the driver finds that out.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let live = listener.local_addr().unwrap();
    drop(listener);
    let (teller, source) = channel();
    let endpoints = [Endpoint::new(Placement::new("db-0"), live), endpoint(2)];
    teller.tell(Resolution::Present(endpoints.into_iter().collect()));
    let calls: Arc<Mutex<Vec<String>>> = Arc::default();
    let service = Cluster::from_source(source)
        .service("db")
        .unwrap()
        .policy(RoundRobin::new())
        .build_with(only_db_2(Sent::Unreachable, Arc::clone(&calls)), Scripted)
        .unwrap();
    let count = |calls: &Mutex<Vec<String>>| {
        calls
            .lock()
            .unwrap()
            .iter()
            .filter(|one| *one == "db-0")
            .count()
    };
    for _ in 0..100 {
        service.clone().oneshot(1).await.unwrap();
        tokio::task::yield_now().await;
    }
    let before = count(&calls);
    assert!(before <= 2, "db-0 was asked {before} times");
    // It comes back: a probe finds it, and the next requests go there again.
    let _listener = tokio::net::TcpListener::bind(live).await.unwrap();
    for _ in 0..60_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        service.clone().oneshot(1).await.unwrap();
        if count(&calls) > before {
            return;
        }
    }
    panic!("db-0 was never tried again");
}

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
    let service = cluster
        .service("db")
        .unwrap()
        .max_waiting(2)
        .layer()
        .unwrap()
        .layer(name);
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

#[derive(Debug)]
struct Nonsense;

impl Policy for Nonsense {
    fn build(&self, candidates: &portolan::policy::Candidates) -> Arc<dyn Picker> {
        assert!(candidates.len() != 3, "a policy that panics");
        Arc::new(Self)
    }
}

impl Picker for Nonsense {
    fn pick(&self, _: &PickContext<'_>) -> Verdict {
        Verdict::Use(portolan::policy::Index::new(1_000_000))
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_answers_nonsense_or_panics_harms_nobody_else() {
    let (teller, cluster) = cluster_of(0..2);
    let service = cluster
        .service("db")
        .unwrap()
        .policy(Nonsense)
        .layer()
        .unwrap()
        .layer(name);
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::PolicyAtFault);
    teller.tell(present(0..3));
    tokio::time::sleep(Duration::from_millis(1)).await;
    // With three endpoints it panics while it is built: the default policy stands in.
    assert_eq!(spread(&service, 300).await.len(), 3);
}

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
    let service = cluster
        .service("db")
        .unwrap()
        .wait(Wait::UpTo(Duration::from_secs(30)))
        .layer()
        .unwrap()
        .layer(name);
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
        for turn in 0u16.. {
            teller.tell(present((turn % 2 == 0).then_some(turn % 7)));
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

#[allow(dead_code)]
fn the_balancer_and_its_futures_go_anywhere() {
    fn anywhere<T: Clone + Send + Sync + 'static>(_: T) {}
    fn spawned<T: Send + 'static>(_: T) {}
    let (_teller, cluster) = cluster_of([]);
    let mut service = cluster.service("db").unwrap().layer().unwrap().layer(name);
    spawned(service.call(()));
    anywhere(service);
    let _ = (Opaque, default_policy());
    let _: Option<BoxFuture<'static, ()>> = None;
}
