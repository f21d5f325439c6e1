//! Retries of what was refused or not answered: to whom, how often, after which pause.

use std::{collections::BTreeSet, time::Duration};

use portolan::{
    ErrorKind, Routing,
    policy::{Random, RoundRobin, Shard, Shards},
    retry::{NotRetried, Pushback, Retry, RetryBackoff, RetryBudget},
};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::{
    cluster_of,
    moody::{Ask, MS, Mood, READ, REFUSES, WRITE, World, ask, at},
};

#[tokio::test(start_paused = true)]
async fn who_cannot_serve_is_passed_over_for_another() {
    for mood in [REFUSES, Mood::BreaksOff] {
        let (_teller, cluster) = cluster_of(0..3);
        let world = World::default();
        world.set("db-0", mood);
        world.set("db-1", mood);
        let builder = cluster.service("db").unwrap().policy(RoundRobin::new());
        let service = world.serve(builder.retry(Retry::new()));
        for _ in 0..20 {
            let reply = ask(&service, READ).await.unwrap();
            assert_eq!((&*reply.by, reply.refused), ("db-2", None));
            let calls = world.take_calls();
            let different: BTreeSet<_> = calls.iter().collect();
            assert_eq!(different.len(), calls.len(), "{calls:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_sent_twice_is_not() {
    let (_teller, cluster) = cluster_of(0..3);
    let world = World::default();
    (0..3).for_each(|ordinal| world.set(&format!("db-{ordinal}"), REFUSES));
    let service = world.serve(cluster.service("db").unwrap().retry(Retry::new()));
    let reply = ask(&service, WRITE).await.unwrap();
    assert!(reply.refused.is_some());
    assert_eq!(world.take_calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_retries_every_answer_is_one() {
    let (_teller, cluster) = cluster_of(0..3);
    let world = World::default();
    (0..3).for_each(|ordinal| world.set(&format!("db-{ordinal}"), REFUSES));
    let service = world.serve(cluster.service("db").unwrap());
    assert!(ask(&service, READ).await.unwrap().refused.is_some());
    assert_eq!(world.take_calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_all_refuse_the_last_answer_stands_after_so_many_tries() {
    let (_teller, cluster) = cluster_of(0..5);
    let world = World::default();
    (0..5).for_each(|ordinal| world.set(&format!("db-{ordinal}"), REFUSES));
    let retry = Retry::new().tries(4);
    let service = world.serve(cluster.service("db").unwrap().retry(retry));
    let reply = ask(&service, READ).await.unwrap();
    let calls = world.take_calls();
    assert_eq!(calls.len(), 4);
    assert_eq!(calls.last(), Some(&reply.by));
    assert_eq!(calls.iter().collect::<BTreeSet<_>>().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn where_all_break_off_the_error_says_who_was_tried_and_why_no_more_were() {
    let (_teller, cluster) = cluster_of(0..5);
    let world = World::default();
    (0..5).for_each(|ordinal| world.set(&format!("db-{ordinal}"), Mood::BreaksOff));
    let service = world.serve(cluster.service("db").unwrap().retry(Retry::new()));
    let error = ask(&service, READ).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Failed);
    assert_eq!(error.not_retried(), Some(NotRetried::TriesSpent));
    assert_eq!(error.attempts().len(), 3);
    let said = error.to_string();
    assert!(said.contains("sent as often as it may be"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn retries_stay_in_their_shard_and_at_their_pin() {
    let pinned = Ask {
        routing: || Routing::pinned_to("db-1"),
        ..READ
    };
    // Of three shards by modulo; the first is found by trying.
    let keyed = Ask {
        routing: || Routing::key("tenant-7"),
        ..READ
    };
    for request in [pinned, keyed] {
        let (_teller, cluster) = cluster_of(0..3);
        let world = World::default();
        let policy = Shard::by_ordinal(Shards::fixed(3));
        let builder = cluster.service("db").unwrap().policy(policy);
        let service = world.serve(builder.retry(Retry::new()));
        let owner = ask(&service, request).await.unwrap().by;
        world.take_calls();
        world.set(&owner, REFUSES);
        let reply = ask(&service, request).await.unwrap();
        assert!(reply.refused.is_some());
        assert_eq!(world.take_calls(), vec![owner.clone(); 3]);
        // It is better by the next try.
        let asks = tokio::spawn(service.clone().oneshot(request));
        while world.take_calls().is_empty() {
            tokio::task::yield_now().await;
        }
        world.set(&owner, Mood::Serves);
        assert!(asks.await.unwrap().unwrap().refused.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_are_as_long_as_they_are_told_to_be() {
    let pause = |mood, retry: Retry| async move {
        let (_teller, cluster) = cluster_of([0]);
        let world = World::default();
        world.set("db-0", mood);
        let service = world.serve(cluster.service("db").unwrap().retry(retry.tries(2)));
        let began = Instant::now();
        ask(&service, READ).await.unwrap();
        (began.elapsed(), world.take_calls().len())
    };
    let after = |time| Mood::Refuses(Pushback::After(time));
    let (took, calls) = pause(after(200 * MS), Retry::new()).await;
    assert!(
        took >= 200 * MS && took <= 222 * MS && calls == 2,
        "{took:?}"
    );
    let year = Duration::from_secs(365 * 86_400);
    assert_eq!(pause(after(year), Retry::new()).await, (Duration::ZERO, 1));
    assert_eq!(pause(after(Duration::MAX), Retry::new()).await.1, 1);
    let never = Mood::Refuses(Pushback::Never);
    assert_eq!(pause(never, Retry::new()).await, (Duration::ZERO, 1));
    let at_once = RetryBackoff::new(Duration::ZERO, Duration::ZERO);
    let (took, calls) = pause(REFUSES, Retry::new().backoff(at_once)).await;
    assert_eq!((took, calls), (Duration::ZERO, 2));
    let (took, calls) = pause(REFUSES, Retry::new()).await;
    assert!(took <= 27 * MS && calls == 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn where_everything_fails_retries_keep_to_their_budget() {
    for mood in [REFUSES, Mood::BreaksOff] {
        let (_teller, cluster) = cluster_of(0..10);
        let world = World::default();
        (0..10).for_each(|ordinal| world.set(&format!("db-{ordinal}"), mood));
        let retry = Retry::new().budget(RetryBudget::new(0.2, 1));
        let service = world.serve(cluster.service("db").unwrap().retry(retry));
        // A hundred a second, for a minute.
        let mut spent = 0;
        for _ in 0..6000 {
            if let Err(error) = ask(&service, READ).await {
                spent += usize::from(error.not_retried() == Some(NotRetried::BudgetSpent));
            }
            tokio::time::advance(10 * MS).await;
        }
        let retries = world.take_calls().len() - 6000;
        // Between a fifth of what was asked, less the last window, and that and the floor.
        assert!((900..=1300).contains(&retries), "{retries}");
        assert!(matches!(mood, Mood::Refuses(_)) || spent > 4000, "{spent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_holds_for_all_tries_together() {
    let (_teller, cluster) = cluster_of(0..2);
    let world = World::default();
    world.set("db-0", Mood::Hangs);
    world.set("db-1", Mood::Hangs);
    let retry = Retry::new().deadline(300 * MS);
    let service = world.serve(cluster.service("db").unwrap().retry(retry));
    let began = Instant::now();
    let error = ask(&service, READ).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::DeadlineExceeded);
    let took = began.elapsed();
    assert!(took >= 300 * MS && took < 303 * MS, "{took:?}");
    // Whoever waited for it is not in flight any more.
    let view = service.observe().view();
    assert!(
        view.endpoints()
            .iter()
            .all(|one| one.state.in_flight() == 0)
    );
    // A pause that is longer than what is left would be for nothing: the answer stands.
    world.set("db-0", Mood::Refuses(Pushback::After(900 * MS)));
    world.set("db-1", Mood::Refuses(Pushback::After(900 * MS)));
    let began = Instant::now();
    let reply = ask(&service, READ).await.unwrap();
    assert!(reply.refused.is_some() && began.elapsed().is_zero());
    assert_eq!(service.observe().counters().retries, 0);
}

#[tokio::test(start_paused = true)]
async fn no_more_endpoints_are_tried_than_may_be_however_often_it_is_sent() {
    let (_teller, cluster) = cluster_of(0..5);
    let world = World::default();
    (0..5).for_each(|ordinal| world.set(&format!("db-{ordinal}"), REFUSES));
    let builder = cluster.service("db").unwrap().max_attempts(2);
    let service = world.serve(builder.retry(Retry::new().tries(5)));
    assert!(ask(&service, READ).await.unwrap().refused.is_some());
    assert_eq!(world.take_calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_answered_is_asked_again_before_who_broke_off_whichever_came_first() {
    let (_teller, cluster) = cluster_of(0..2);
    let world = World::default();
    world.set("db-0", REFUSES);
    world.set("db-1", Mood::BreaksOff);
    let builder = cluster.service("db").unwrap().policy(Random::new());
    let service = world.serve(builder.retry(Retry::new()));
    for _ in 0..20 {
        let began = Instant::now();
        let reply = ask(&service, READ).await.unwrap();
        assert_eq!(&*reply.by, "db-0");
        let calls = world.take_calls();
        assert_eq!((calls.len(), at(&calls, "db-1")), (3, 1), "{calls:?}");
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}
