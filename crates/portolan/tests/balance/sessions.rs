//! A session stays with its endpoint through restarts, and goes on or ends when that is gone for good.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use portolan::{
    Cluster, Conditions, Endpoint, Error, ErrorKind, Failure, Lease, Nodes, Placement, Protocol,
    Reason, Resolution, Routing, Sent, SourceError, SourceErrorKind, Wait,
    policy::PrimaryReplica,
    session::{Gone, Session},
    source::{Teller, channel},
};
use tokio::time::Instant;
use tower::{Service, ServiceExt as _};

use crate::{
    cluster_of, present,
    scripted::{Refused, Scripted, only_db_2},
};

const SECOND: Duration = Duration::from_secs(1);

fn nodes_of(cluster: &Cluster) -> Nodes {
    cluster.service("db.shop").unwrap().nodes().unwrap()
}

async fn holder(nodes: &Nodes, session: Session) -> Result<String, Error> {
    let lease = nodes.pick_for(Routing::session(session)).await?;
    Ok(lease.endpoint().placement().to_string())
}

/// Tells of Pods of a Deployment by these names.
fn tell_of(teller: &Teller, names: &[&str]) {
    let one = |name: &&str| Endpoint::new(Placement::new(*name), "127.0.0.1:7".parse().unwrap());
    teller.tell(Resolution::Present(names.iter().map(one).collect()));
}

async fn settle() {
    tokio::time::sleep(SECOND / 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_for_its_pod_while_that_restarts() {
    for gone in [Gone::Fail, Gone::Move] {
        let (teller, cluster) = cluster_of(0..3);
        let nodes = nodes_of(&cluster);
        let session = Session::held_by("db-1").when_gone(gone);
        for _ in 0..20 {
            assert_eq!(holder(&nodes, session.clone()).await.unwrap(), "db-1");
        }
        teller.tell(present([0, 2]));
        settle().await;
        let waiting = tokio::spawn({
            let nodes = nodes.clone();
            async move { holder(&nodes, session).await.unwrap() }
        });
        tokio::time::sleep(4 * SECOND).await;
        assert!(!waiting.is_finished());
        teller.tell(present(0..3));
        assert_eq!(waiting.await.unwrap(), "db-1");
    }
}

#[tokio::test(start_paused = true)]
async fn patience_has_an_end_and_then_it_moves_or_fails() {
    let (_teller, cluster) = cluster_of([0, 2]);
    let nodes = nodes_of(&cluster);
    let session = Session::held_by("db-1");
    for (patience, expected) in [(None, 5), (Some(2 * SECOND), 2), (Some(20 * SECOND), 20)] {
        let session = match patience {
            Some(patience) => session.clone().patience(patience),
            None => session.clone(),
        };
        let began = Instant::now();
        let moved = holder(&nodes, session.clone()).await.unwrap();
        assert!(["db-0", "db-2"].contains(&&*moved), "{moved}");
        assert_eq!(began.elapsed(), expected * SECOND);

        let began = Instant::now();
        let failed = holder(&nodes, session.when_gone(Gone::Fail)).await;
        let error = failed.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Refused(Reason::SessionLost));
        assert!(error.to_string().contains("db-1"), "{error}");
        assert_eq!(began.elapsed(), expected * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn where_there_is_nobody_to_move_to_it_waits_once() {
    let (teller, cluster) = cluster_of([]);
    let nodes = nodes_of(&cluster);
    let session = |patience: u64| Session::held_by("db-1").patience(patience as u32 * SECOND);
    for (session, expected) in [
        (Session::held_by("db-1"), 5),
        (session(0), 5),
        (session(2), 5),
        (session(20), 20),
    ] {
        let began = Instant::now();
        let error = holder(&nodes, session).await.unwrap_err();
        let waited = expected * SECOND;
        assert_eq!(*error.kind(), ErrorKind::NoEndpoints { waited });
        assert_eq!(began.elapsed(), waited);
    }
    // Whoever comes after its patience, and within the wait, serves it.
    let waiting = tokio::spawn(async move { holder(&nodes, session(2)).await.unwrap() });
    tokio::time::sleep(4 * SECOND).await;
    teller.tell(present([0]));
    assert_eq!(waiting.await.unwrap(), "db-0");
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_come_back_is_not_waited_for() {
    let (teller, source) = channel();
    tell_of(&teller, &["web-7d4b9-aaaaa", "web-7d4b9-bbbbb"]);
    let nodes = nodes_of(&Cluster::from_source(source));
    let session = Session::held_by("web-7d4b9-ccccc");
    let began = Instant::now();
    assert!(holder(&nodes, session.clone()).await.is_ok());
    let failed = holder(&nodes, session.when_gone(Gone::Fail)).await;
    assert_eq!(
        *failed.unwrap_err().kind(),
        ErrorKind::Refused(Reason::SessionLost)
    );
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn one_that_goes_for_good_while_a_request_waits_is_not_waited_for_any_longer() {
    let (teller, source) = channel();
    let web = |name: &str, ready| {
        let address = "127.0.0.1:7".parse().unwrap();
        let conditions = Conditions::new(Some(ready), None, None);
        Endpoint::new(Placement::new(name), address).with_conditions(conditions)
    };
    let endpoints = [web("web-a-aaaaa", true), web("web-a-bbbbb", false)];
    teller.tell(Resolution::Present(endpoints.into_iter().collect()));
    let nodes = nodes_of(&Cluster::from_source(source));
    let began = Instant::now();
    let waiting = tokio::spawn({
        let nodes = nodes.clone();
        async move {
            holder(&nodes, Session::held_by("web-a-bbbbb"))
                .await
                .unwrap()
        }
    });
    // It is there, and not ready: it may be, soon.
    tokio::time::sleep(SECOND).await;
    assert!(!waiting.is_finished());
    tell_of(&teller, &["web-a-aaaaa"]);
    assert_eq!(waiting.await.unwrap(), "web-a-aaaaa");
    assert!(began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_gone_as_long_as_the_source_does_not_know() {
    let (teller, source) = channel();
    let nodes = nodes_of(&Cluster::from_source(source));
    let session = Session::held_by("web-a-bbbbb");
    let waiting = tokio::spawn({
        let (nodes, session) = (nodes.clone(), session.clone());
        async move { holder(&nodes, session).await.unwrap() }
    });
    // It has said nothing yet.
    tokio::time::sleep(SECOND).await;
    assert!(!waiting.is_finished());
    tell_of(&teller, &["web-a-aaaaa", "web-a-bbbbb"]);
    assert_eq!(waiting.await.unwrap(), "web-a-bbbbb");
    // It fails since before a Pod was there that holds a session by now: the patience is for that, too.
    let failure = SourceError::new(SourceErrorKind::Unavailable, "the API server is away");
    teller.tell(Resolution::Failed(failure));
    settle().await;
    let began = Instant::now();
    let moved = holder(&nodes, Session::held_by("web-a-ccccc").patience(SECOND)).await;
    assert!(moved.is_ok());
    assert_eq!(began.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_fails_fast_does_not_wait_for_a_session_unless_it_is_told_to() {
    let (_teller, cluster) = cluster_of([0, 2]);
    let builder = cluster.service("db").unwrap().wait(Wait::FailFast);
    let nodes = builder.nodes().unwrap();
    drop(nodes.pick("").await.unwrap());
    let began = Instant::now();
    let session = Session::held_by("db-1");
    assert!(holder(&nodes, session.clone()).await.is_ok());
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(holder(&nodes, session.patience(SECOND)).await.is_ok());
    assert_eq!(began.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_for_the_sessions_endpoint_goes_by_the_policy() {
    use portolan::policy::{Epoch, Leadership};

    let (_teller, cluster) = cluster_of(0..3);
    let leadership = Leadership::new();
    leadership.announce(Placement::new("db-2"), Epoch::new(1));
    let builder = cluster.service("db").unwrap();
    let nodes = builder
        .policy(PrimaryReplica::by_leadership(&leadership))
        .nodes()
        .unwrap();
    let session = || Routing::session(Session::held_by("db-1"));
    let read = nodes.pick_for(session().read()).await.unwrap();
    assert_eq!(read.endpoint().placement().as_str(), "db-1");
    let write = nodes.pick_for(session().write()).await.unwrap();
    assert_eq!(write.endpoint().placement().as_str(), "db-2");
}

/// As [`Scripted`], and all requests are of a session that db-1 holds.
struct InSession;

impl<S: Service<u32, Error = Refused>> Protocol<u32, S> for InSession {
    type Response = S::Response;

    fn routing<'r>(&'r self, _: &'r u32) -> Routing<'r> {
        Routing::session(Session::held_by("db-1"))
    }

    fn respond(&self, response: S::Response, lease: Lease) -> S::Response {
        Protocol::<u32, S>::respond(&Scripted, response, lease)
    }

    fn fail(&self, refused: Refused) -> Failure<u32> {
        Protocol::<u32, S>::fail(&Scripted, refused)
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_pod_does_not_take_the_request_waits_before_it_moves() {
    let (teller, cluster) = cluster_of(0..3);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let builder = cluster.service("db").unwrap();
    let make = only_db_2(Sent::No, Arc::clone(&calls));
    let service = builder.build_with(make, InSession).unwrap();
    let began = Instant::now();
    assert_eq!(service.clone().oneshot(1).await.unwrap(), 1);
    // Once more at once, for it may have closed the connection and no more; then it is waited for.
    assert!(began.elapsed() >= 5 * SECOND, "{:?}", began.elapsed());
    let asked = calls.lock().unwrap().clone();
    assert_eq!(asked[..2], ["db-1", "db-1"]);
    assert_eq!(asked.last().unwrap(), "db-2");
    drop(teller);
}

#[test]
fn a_pin_takes_the_place_of_a_session_and_the_other_way_round() {
    let session = Session::held_by("db-1");
    let pinned = Routing::session(session.clone()).with_pin(portolan::Pin::Ordinal(2));
    assert_eq!(pinned, Routing::pinned_to_ordinal(2));
    assert_eq!(
        Routing::pinned_to("db-0").with_session(session.clone()),
        Routing::session(session.clone())
    );
    let own = Routing::pinned_to("db-0").or(Routing::session(session));
    assert_eq!(own, Routing::pinned_to("db-0"));
}

#[tokio::test(start_paused = true)]
async fn the_only_pod_of_its_stateful_set_is_waited_for() {
    let (teller, source) = channel();
    tell_of(&teller, &["shard-a-0", "shard-b-0"]);
    let nodes = nodes_of(&Cluster::from_source(source));
    let session = Session::held_by("shard-a-0").when_gone(Gone::Fail);
    assert!(holder(&nodes, session.clone()).await.is_ok());
    tell_of(&teller, &["shard-b-0"]);
    settle().await;
    let waiting = tokio::spawn({
        let nodes = nodes.clone();
        async move { holder(&nodes, session).await }
    });
    tokio::time::sleep(SECOND).await;
    tell_of(&teller, &["shard-a-0", "shard-b-0"]);
    assert_eq!(waiting.await.unwrap().unwrap(), "shard-a-0");
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_room_to_wait_a_session_moves() {
    let (_teller, cluster) = cluster_of([0, 2]);
    let builder = cluster.service("db").unwrap().max_waiting(3);
    let nodes = builder.nodes().unwrap();
    drop(nodes.pick("").await.unwrap());
    let session = || Session::held_by("db-1");
    for _ in 0..3 {
        let nodes = nodes.clone();
        tokio::spawn(async move { holder(&nodes, session()).await });
    }
    settle().await;
    let began = Instant::now();
    assert!(holder(&nodes, session()).await.is_ok());
    assert_eq!(began.elapsed(), Duration::ZERO);
    let failed = holder(&nodes, session().when_gone(Gone::Fail)).await;
    assert_eq!(*failed.unwrap_err().kind(), ErrorKind::TooManyWaiting);
}
