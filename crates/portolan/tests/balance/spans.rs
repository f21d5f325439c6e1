//! What `tracing` is told: a span for each call, an event for each change of membership.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use portolan::{BoxError, Endpoint, Failure, Lease, Protocol, Sent, Wait, policy::RoundRobin};
use tower::{Service, ServiceExt};
use tracing::{
    Dispatch, Level,
    subscriber::{DefaultGuard, NoSubscriber},
};
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

use crate::{
    cluster_of, named, present,
    scripted::{Scripted, only_db_2},
};

/// What was written, as text.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

pub(crate) struct Listening(
    #[allow(dead_code, reason = "held, and dropped before the turn is")] DefaultGuard,
    #[allow(dead_code, reason = "held")] MutexGuard<'static, ()>,
);

impl Log {
    /// Listens on this thread, which is the only one of the test. Tests that listen take turns: what
    /// tracing keeps of who listens to what is of the whole process.
    pub(crate) fn listen(level: Level) -> (Self, Listening) {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        // Where there is one subscriber alone, tracing takes it for that of whichever thread comes by a
        // callsite first; the threads of other tests have none, and nobody would hear of it again.
        static ANOTHER: OnceLock<Dispatch> = OnceLock::new();
        ANOTHER.get_or_init(|| Dispatch::new(NoSubscriber::default()));
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_span_events(FmtSpan::CLOSE)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        (log, Listening(guard, turn))
    }

    /// The lines with all these words, in order.
    pub(crate) fn lines_with(&self, words: &[&str]) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
        text.lines().filter(has_all).map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_has_a_span_with_its_endpoint_and_outcome() {
    let (log, _listening) = Log::listen(Level::DEBUG);
    let (_teller, cluster) = cluster_of([0]);
    let service = named(cluster.service("db.shop").unwrap());
    service.clone().oneshot(()).await.unwrap();
    service.oneshot(()).await.unwrap();
    let spans = log.lines_with(&["request{", "service=db.shop", "close"]);
    assert_eq!(spans.len(), 2, "{spans:?}");
    for span in spans {
        assert!(span.contains("endpoint=db-0"), "{span}");
        assert!(span.contains(r#"outcome="success""#), "{span}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_span_of_a_failed_call_says_how_it_failed_and_who_was_tried() {
    let (log, _listening) = Log::listen(Level::DEBUG);
    let (_teller, cluster) = cluster_of(0..2);
    let service = cluster
        .service("db.shop")
        .unwrap()
        .policy(RoundRobin::new())
        .wait(Wait::FailFast)
        .build_with(only_db_2(Sent::No, Arc::default()), Scripted)
        .unwrap();
    let error = service.oneshot(1).await.unwrap_err();
    let spans = log.lines_with(&["request{", "close"]);
    assert_eq!(spans.len(), 1, "{spans:?}");
    let outcome = format!("outcome={}", error.kind());
    assert!(spans[0].contains(&outcome), "{spans:?}");
    for tried in ["db-0", "db-1"] {
        let tries = log.lines_with(&["an endpoint did not take a request", tried]);
        assert!(!tries.is_empty(), "{tried} was not named");
    }
}

#[tokio::test(start_paused = true)]
async fn membership_changes_are_events() {
    let (log, _listening) = Log::listen(Level::INFO);
    let (teller, cluster) = cluster_of([0]);
    let nodes = cluster.service("db.shop").unwrap().nodes().unwrap();
    let mut observer = nodes.observe();
    observer.changed().await.unwrap();
    teller.tell(present([1]));
    observer.changed().await.unwrap();
    let of = |what: &str, endpoint: &str| {
        log.lines_with(&[
            what,
            "service=db.shop",
            &format!("endpoint={endpoint}"),
            "address=",
        ])
        .len()
    };
    assert_eq!(of("endpoint added", "db-0"), 1);
    assert_eq!(of("endpoint added", "db-1"), 1);
    assert_eq!(of("endpoint removed", "db-0"), 1);
    assert_eq!(of("endpoint removed", "db-1"), 0);
}

#[tokio::test(start_paused = true)]
async fn no_span_is_made_that_nobody_wants() {
    let (log, _listening) = Log::listen(Level::INFO);
    let (_teller, cluster) = cluster_of([0]);
    let service = named(cluster.service("db.shop").unwrap());
    service.oneshot(()).await.unwrap();
    assert!(log.lines_with(&["request{"]).is_empty());
    assert!(!log.lines_with(&["endpoint added"]).is_empty());
}

#[cfg(feature = "cached")]
#[tokio::test(start_paused = true)]
async fn kept_endpoints_that_are_not_used_are_warned_of() {
    use portolan::{
        Cluster, ErrorKind, Resolution, SourceError, SourceErrorKind,
        source::{cached, channel},
    };

    let directory = tempfile::tempdir().unwrap();
    let (teller, source) = channel();
    teller.tell(present(0..2));
    let cluster = Cluster::from_source(cached(source, directory.path()));
    let service = named(cluster.service("db.shop").unwrap());
    service.clone().oneshot(()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    drop(service);

    let mut files = std::fs::read_dir(directory.path()).unwrap();
    let file = files.next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("db-1", "db-7")).unwrap();

    let (log, _listening) = Log::listen(Level::WARN);
    let (teller, source) = channel();
    let error = SourceError::new(SourceErrorKind::Unavailable, "connection refused");
    teller.tell(Resolution::Failed(error));
    let cluster = Cluster::from_source(cached(source, directory.path()));
    let service = named(cluster.service("db.shop").unwrap().wait(Wait::FailFast));
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NoEndpoints { .. }),
        "{error}"
    );
    let warnings = log.lines_with(&["WARN", "are not used", "db.shop", "its checksum is wrong"]);
    assert_eq!(warnings.len(), 1, "{:?}", log.lines_with(&[]));
}

/// Statuses, of which those from 500 on are failures, and for which nobody waits at 0.
struct Statuses;

impl<S: Service<u32, Response = u32, Error = BoxError>> Protocol<u32, S> for Statuses {
    type Response = (u32, Lease);

    fn respond(&self, status: u32, mut lease: Lease) -> Self::Response {
        match status {
            500.. => lease.fail(),
            _ => lease.succeed(),
        }
        (status, lease)
    }

    fn fail(&self, error: BoxError) -> Failure<u32> {
        Failure::new(error)
    }
}

#[tokio::test(start_paused = true)]
async fn the_outcome_is_what_the_protocol_makes_of_the_answer() {
    let (log, _listening) = Log::listen(Level::DEBUG);
    let (_teller, cluster) = cluster_of([0]);
    let make = |_: &Endpoint| {
        tower::service_fn(async |status: u32| {
            if status == 0 {
                std::future::pending::<()>().await;
            }
            Ok::<_, BoxError>(status)
        })
    };
    let service = cluster.service("db.shop").unwrap();
    let mut service = service.build_with(make, Statuses).unwrap();
    let outcomes = |of: &str| {
        let outcome = format!("outcome=\"{of}\"");
        log.lines_with(&["request{", "endpoint=db-0", &outcome, "close"])
            .len()
    };
    let (_, mut lease) = service.call(200).await.unwrap();
    assert_eq!(outcomes("success"), 0, "it lasts as long as the answer");
    drop(lease);
    assert_eq!(outcomes("success"), 1);
    drop(service.call(503).await.unwrap());
    assert_eq!(outcomes("failure"), 1);
    (_, lease) = service.call(200).await.unwrap();
    lease.fail();
    drop(lease);
    assert_eq!(outcomes("interrupted"), 1);
    let mut waiting = Box::pin(service.call(0));
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(waiting);
    assert_eq!(outcomes("cancelled"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_has_a_span_with_its_endpoint_and_outcome() {
    let (log, _listening) = Log::listen(Level::DEBUG);
    let (_teller, cluster) = cluster_of([0]);
    let nodes = cluster.service("db.shop").unwrap().nodes().unwrap();
    nodes.pick("a").await.unwrap().succeed();
    nodes.pick("a").await.unwrap().fail();
    drop(nodes.pick("a").await.unwrap());
    for outcome in ["success", "failure", "cancelled"] {
        let outcome = format!("outcome=\"{outcome}\"");
        let words = ["lease{", "service=db.shop", "endpoint=db-0", &outcome];
        assert_eq!(log.lines_with(&words).len(), 1, "{outcome}");
    }
}
