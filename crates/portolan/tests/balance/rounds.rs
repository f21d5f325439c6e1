//! Who is asked again for a request, once everybody has been asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};
use portolan::{
    Balance, Conditions, Endpoint, Error, ErrorKind, MakeEndpoint, Reachability, Resolution, Sent,
    SourceError, SourceErrorKind, Uid, Wait, policy::RoundRobin, source::Teller,
};
use tokio::task::JoinHandle;
use tower::{Service, ServiceExt};

use crate::{
    cluster_of, endpoint, present,
    scripted::{Refused, Scripted},
};

/// Endpoints that take a second to fail each request, until they are mended.
#[derive(Clone, Default)]
struct Failing {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// What each call comes to, in turn; after the last of them, the last.
    script: Vec<Sent>,
    mended: bool,
    calls: Vec<String>,
    reachability: HashMap<String, Reachability>,
}

#[derive(Clone)]
struct FailingEndpoint {
    uid: String,
    shared: Arc<Mutex<Shared>>,
}

impl Failing {
    fn with(script: &[Sent]) -> Self {
        let this = Self::default();
        this.shared.lock().unwrap().script = script.to_vec();
        this
    }

    fn calls(&self) -> Vec<String> {
        self.shared.lock().unwrap().calls.clone()
    }

    fn mend(&self) {
        self.shared.lock().unwrap().mended = true;
    }

    fn reachability(&self, uid: &str) -> Reachability {
        self.shared.lock().unwrap().reachability[uid].clone()
    }
}

impl MakeEndpoint for Failing {
    type Service = FailingEndpoint;

    fn make(&self, endpoint: &Endpoint, reachability: Reachability) -> FailingEndpoint {
        let uid = endpoint.uid().map_or("no UID".into(), Uid::to_string);
        let mut shared = self.shared.lock().unwrap();
        shared.reachability.insert(uid.clone(), reachability);
        FailingEndpoint {
            uid,
            shared: Arc::clone(&self.shared),
        }
    }

    fn heals(&self) -> bool {
        true
    }
}

impl Service<u32> for FailingEndpoint {
    type Response = u32;
    type Error = Refused;
    type Future = BoxFuture<'static, Result<u32, Refused>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        let mut shared = self.shared.lock().unwrap();
        shared.calls.push(self.uid.clone());
        let nth = (shared.calls.len() - 1).min(shared.script.len() - 1);
        let result = match shared.mended {
            true => Ok(request),
            false => Err(Refused(Some(request), shared.script[nth])),
        };
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            result
        }
        .boxed()
    }
}

const IDEMPOTENT: u32 = 100;
const ONCE: u32 = 7;

/// Sends a request to endpoints that fail like this, and waits so long.
async fn send(
    ordinals: std::ops::Range<u16>,
    failing: &Failing,
    request: u32,
    millis: u64,
) -> (
    Teller,
    Balance<FailingEndpoint, Scripted>,
    JoinHandle<Result<u32, Error>>,
) {
    let (teller, cluster) = cluster_of(ordinals);
    let service = cluster
        .service("db")
        .unwrap()
        .policy(RoundRobin::new())
        .build_with(failing.clone(), Scripted)
        .unwrap();
    let sent = tokio::spawn(service.clone().oneshot(request));
    tokio::time::sleep(Duration::from_millis(millis)).await;
    (teller, service, sent)
}

fn failed() -> Resolution {
    Resolution::Failed(SourceError::new(SourceErrorKind::Unavailable, "no answer"))
}

/// New snapshots that say nothing new of any endpoint.
async fn idle_changes(teller: &Teller, ordinals: std::ops::Range<u16>) {
    for _ in 0..5 {
        for news in [failed(), present(ordinals.clone())] {
            teller.tell(news);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_sent_goes_back_once_and_only_to_who_has_been_away() {
    let failing = Failing::with(&[Sent::Maybe]);
    let (teller, _service, sent) = send(0..2, &failing, IDEMPOTENT, 2_500).await;
    idle_changes(&teller, 0..2).await;
    assert_eq!(failing.calls().len(), 2, "{:?}", failing.calls());
    // One of them goes out of reach and comes back: a container that was started again.
    for _ in 0..3 {
        failing.reachability("uid-0").not_reached();
        failing.reachability("uid-0").reached();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(failing.calls().len(), 3);
    assert_eq!(failing.calls()[2..], ["uid-0"]);
    // It may be the request that breaks it, so that is the end of it there.
    failing.reachability("uid-0").not_reached();
    failing.reachability("uid-0").reached();
    tokio::time::sleep(Duration::from_millis(500)).await;
    idle_changes(&teller, 0..2).await;
    assert_eq!(failing.calls().len(), 3, "{:?}", failing.calls());
    // A Pod that is made again under the same name is another endpoint.
    failing.mend();
    let again = endpoint(0).with_uid("uid-0-again");
    teller.tell(Resolution::Present([again].into_iter().collect()));
    assert_eq!(sent.await.unwrap().unwrap(), IDEMPOTENT);
    assert_eq!(failing.calls()[3..], ["uid-0-again"]);
}

#[tokio::test(start_paused = true)]
async fn who_was_not_asked_comes_before_who_was_and_is_back() {
    let failing = Failing::with(&[Sent::Maybe]);
    let (_teller, _service, sent) = send(0..3, &failing, IDEMPOTENT, 500).await;
    let first = failing.calls()[0].clone();
    failing.reachability(&first).not_reached();
    failing.reachability(&first).reached();
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    assert_eq!(failing.calls().len(), 3);
    failing.mend();
    let mut others = failing.calls();
    others.sort();
    assert_eq!(others, ["uid-0", "uid-1", "uid-2"]);
    drop(sent);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_breaks_the_only_endpoint_is_not_sent_to_it_again() {
    let failing = Failing::with(&[Sent::Maybe]);
    let (teller, _service, sent) = send(0..1, &failing, IDEMPOTENT, 1_500).await;
    idle_changes(&teller, 0..1).await;
    let error = sent.await.unwrap().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Failed);
    assert_eq!(error.attempts().len(), 1, "{error}");
    assert_eq!(failing.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_waits_for_an_endpoint_to_come_back_into_reach() {
    for sent in [Sent::No, Sent::Unreachable] {
        let failing = Failing::with(&[sent]);
        let (teller, _service, sent) = send(0..2, &failing, ONCE, 2_500).await;
        idle_changes(&teller, 0..2).await;
        assert_eq!(failing.calls().len(), 2);
        failing.reachability("uid-1").not_reached();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(
            failing.calls().len(),
            2,
            "out of reach is no news to ask for"
        );
        failing.mend();
        failing.reachability("uid-1").reached();
        assert_eq!(sent.await.unwrap().unwrap(), ONCE);
        assert_eq!(failing.calls()[2..], ["uid-1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_back_before_anybody_looked_is_back() {
    let failing = Failing::with(&[Sent::Unreachable]);
    let (_teller, _service, sent) = send(0..1, &failing, ONCE, 500).await;
    // It goes and comes while the request is under way, in one go.
    failing.mend();
    tokio::time::sleep(Duration::from_millis(700)).await;
    failing.reachability("uid-0").not_reached();
    failing.reachability("uid-0").reached();
    assert_eq!(sent.await.unwrap().unwrap(), ONCE);
    assert_eq!(failing.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_only_endpoint_is_asked_once_more_when_it_broke_off_and_then_when_it_is_back() {
    let failing = Failing::with(&[Sent::No, Sent::Unreachable]);
    let (teller, _service, sent) = send(0..1, &failing, ONCE, 2_500).await;
    idle_changes(&teller, 0..1).await;
    assert_eq!(failing.calls().len(), 2);
    // Its readiness probe fails, and it comes back as the Pod it was.
    let unready = endpoint(0).with_conditions(Conditions::new(Some(false), None, None));
    teller.tell(Resolution::Present([unready].into_iter().collect()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    failing.mend();
    teller.tell(present([0]));
    assert_eq!(sent.await.unwrap().unwrap(), ONCE);
    assert_eq!(failing.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_comes_during_the_wait_comes_before_who_may_have_had_it_and_is_back() {
    // Which of the two the policy would take first is chance.
    for _ in 0..30 {
        let failing = Failing::with(&[Sent::Maybe]);
        let (teller, _service, sent) = send(0..1, &failing, IDEMPOTENT, 1_500).await;
        assert_eq!(failing.calls().len(), 1);
        failing.mend();
        teller.tell(present([]));
        tokio::time::sleep(Duration::from_millis(50)).await;
        teller.tell(present([0, 1]));
        assert_eq!(sent.await.unwrap().unwrap(), IDEMPOTENT);
        assert_eq!(failing.calls()[1..], ["uid-1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_with_an_endpoint_is_no_time_of_waiting() {
    let failing = Failing::with(&[Sent::Unreachable]);
    let (teller, cluster) = cluster_of([]);
    let service = cluster
        .service("db")
        .unwrap()
        .wait(Wait::UpTo(Duration::from_secs(2)))
        .build_with(failing.clone(), Scripted)
        .unwrap();
    let sent = tokio::spawn(service.oneshot(ONCE));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    teller.tell(present([0]));
    // It is with the endpoint for a second, and may wait two more then.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(failing.calls(), ["uid-0"]);
    failing.mend();
    teller.tell(present([1]));
    assert_eq!(sent.await.unwrap().unwrap(), ONCE);
}

#[tokio::test(start_paused = true)]
async fn the_last_of_the_attempts_says_whether_the_request_may_have_been_processed() {
    for (sent, kind) in [
        (Sent::Maybe, ErrorKind::Failed),
        (Sent::Unreachable, ErrorKind::Exhausted),
    ] {
        let (_teller, cluster) = cluster_of(0..3);
        let service = cluster
            .service("db")
            .unwrap()
            .max_attempts(2)
            .build_with(Failing::with(&[sent]), Scripted)
            .unwrap();
        let error = service.oneshot(IDEMPOTENT).await.unwrap_err();
        assert_eq!(*error.kind(), kind);
        assert_eq!(error.attempts().len(), 2);
    }
}

/// As DNS tells them, without a UID.
fn by_dns(ordinal: u16) -> Resolution {
    let endpoint = endpoint(ordinal);
    let bare = Endpoint::new(endpoint.placement().clone(), endpoint.address());
    Resolution::Present([bare].into_iter().collect())
}

#[tokio::test(start_paused = true)]
async fn who_is_back_with_a_uid_or_without_is_no_other() {
    let failing = Failing::with(&[Sent::Maybe]);
    let (teller, _service, sent) = send(0..1, &failing, IDEMPOTENT, 1_500).await;
    for (back, calls) in [(by_dns(0), 2), (present([0]), 2), (by_dns(0), 2)] {
        teller.tell(present([]));
        tokio::time::sleep(Duration::from_millis(50)).await;
        teller.tell(back);
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!(failing.calls().len(), calls, "{:?}", failing.calls());
    }
    failing.mend();
    // Another UID is another life.
    let again = endpoint(0).with_uid("uid-0-again");
    teller.tell(Resolution::Present([again].into_iter().collect()));
    assert_eq!(sent.await.unwrap().unwrap(), IDEMPOTENT);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_tells_the_endpoint_as_it_is_known_now() {
    let (teller, cluster) = cluster_of([]);
    teller.tell(by_dns(0));
    let service = cluster
        .service("db")
        .unwrap()
        .build_with(Failing::with(&[Sent::Maybe]), Scripted)
        .unwrap();
    service.clone().oneshot(ONCE).await.unwrap_err();
    teller.tell(present([0]));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let error = service.oneshot(ONCE).await.unwrap_err();
    let uid = error.attempts()[0].endpoint.uid();
    assert!(uid.is_some_and(|uid| uid == "uid-0"));
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_processed_by_anybody_is_not_called_untaken() {
    let failing = Failing::with(&[Sent::Maybe, Sent::Unreachable]);
    let (_teller, _service, sent) = send(0..2, &failing, IDEMPOTENT, 2_500).await;
    let error = sent.await.unwrap().unwrap_err();
    assert_eq!(failing.calls().len(), 2);
    assert_eq!(*error.kind(), ErrorKind::Failed, "{error}");
}
