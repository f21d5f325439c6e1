//! Retries, ejections, slow starts: what keeps requests from failing where an endpoint does.

use std::{collections::BTreeSet, time::Duration};

use portolan::{
    BuildError, Error, ErrorKind, Routing,
    admission::{Admission, ShedReason},
    health::{OutlierEjection, SlowStart},
    policy::{Random, RoundRobin, Shard, Shards},
    retry::{NotRetried, Pushback, Retry, RetryBackoff, RetryBudget},
};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::{
    cluster_of,
    moody::{Ask, Mood, READ, Reply, WRITE, World},
    present,
};

const MS: Duration = Duration::from_millis(1);
const REFUSES: Mood = Mood::Refuses(Pushback::Unsaid);

async fn ask(
    service: &portolan::Balance<crate::moody::Moody, crate::moody::Moods>,
    request: Ask,
) -> Result<Reply, Error> {
    service.clone().oneshot(request).await
}

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

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_takes_all_the_time_there_is_is_ejected() {
    let (_teller, cluster) = cluster_of(0..3);
    let world = World::default();
    world.set("db-1", Mood::Hangs);
    let retry = Retry::new().deadline(100 * MS);
    let builder = cluster.service("db").unwrap().policy(RoundRobin::new());
    let service = world.serve(builder.retry(retry).eject_outliers(OutlierEjection::new()));
    for _ in 0..60 {
        let _ = ask(&service, WRITE).await;
        tokio::task::yield_now().await;
    }
    // One more may be on its way while the driver hears of the fifth.
    let asked = at(&world.take_calls(), "db-1");
    assert!((5..=6).contains(&asked), "{asked}");
}

/// How many of the calls went there.
fn at(calls: &[String], name: &str) -> usize {
    calls.iter().filter(|one| *one == name).count()
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_where_others_do_not_is_left_alone_and_tried_again() {
    for mood in [REFUSES, Mood::BreaksOff] {
        let (_teller, cluster) = cluster_of(0..3);
        let world = World::default();
        world.set("db-1", mood);
        let builder = cluster.service("db").unwrap().policy(RoundRobin::new());
        let service = world.serve(builder.eject_outliers(OutlierEjection::new()));
        for _ in 0..100 {
            let _ = ask(&service, WRITE).await;
            tokio::task::yield_now().await;
        }
        let calls = world.take_calls();
        assert!(
            (5..8).contains(&at(&calls, "db-1")),
            "{mood:?} {}",
            at(&calls, "db-1")
        );
        assert!(calls.iter().rev().take(50).all(|one| one != "db-1"));
        // It comes back for a trial, after 5 to 6 s, and goes at the first failure.
        tokio::time::sleep(Duration::from_secs(6)).await;
        for _ in 0..100 {
            let _ = ask(&service, WRITE).await;
            tokio::task::yield_now().await;
        }
        assert!((1..4).contains(&at(&world.take_calls(), "db-1")));
        // It is well again, and stays.
        world.set("db-1", Mood::Serves);
        tokio::time::sleep(Duration::from_secs(13)).await;
        for _ in 0..30 {
            ask(&service, WRITE).await.unwrap();
        }
        assert_eq!(at(&world.take_calls(), "db-1"), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_done_besides_is_counted() {
    let (_teller, cluster) = cluster_of(0..3);
    let world = World::default();
    world.set("db-1", REFUSES);
    let retry = Retry::new().budget(RetryBudget::new(0.0, 1)); // ten, and one a second
    let builder = cluster.service("db").unwrap().policy(RoundRobin::new());
    let service = world.serve(builder.retry(retry).eject_outliers(OutlierEjection::new()));
    let observer = service.observe();
    assert_eq!(observer.counters(), portolan::Counters::default());
    for _ in 0..6 {
        ask(&service, READ).await.unwrap();
        tokio::task::yield_now().await;
    }
    let counters = observer.counters();
    let failed = at(&world.take_calls(), "db-1") as u64;
    assert_eq!((counters.retries, counters.retries_refused), (failed, 0));
    for _ in 0..30 {
        ask(&service, READ).await.unwrap();
        tokio::task::yield_now().await;
    }
    let counters = observer.counters();
    assert_eq!((counters.ejections, counters.returns), (1, 0));
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(observer.counters().returns, 1);
    // Nobody is left who could serve.
    (0..3).for_each(|ordinal| world.set(&format!("db-{ordinal}"), REFUSES));
    for _ in 0..100 {
        ask(&service, READ).await.unwrap();
    }
    let counters = observer.counters();
    assert!(counters.retries <= 16, "{counters:?}");
    assert!(counters.retries_refused >= 50, "{counters:?}");
    drop(service);
    assert_eq!(observer.counters(), counters);
}

#[tokio::test(start_paused = true)]
async fn where_all_fail_most_stay() {
    let (_teller, cluster) = cluster_of(0..6);
    let world = World::default();
    (0..6).for_each(|ordinal| world.set(&format!("db-{ordinal}"), REFUSES));
    let builder = cluster.service("db").unwrap().policy(RoundRobin::new());
    let service = world.serve(builder.eject_outliers(OutlierEjection::new()));
    for _ in 0..200 {
        ask(&service, WRITE).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(service.observe().view().endpoints().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_endpoint_is_ejected_has_its_requests_wait_and_spills_nothing() {
    let (_teller, cluster) = cluster_of(0..3);
    let world = World::default();
    let keyed = Ask {
        routing: || Routing::key("tenant-7"),
        ..WRITE
    };
    let policy = Shard::by_ordinal(Shards::fixed(3));
    let builder = cluster.service("db").unwrap().policy(policy);
    let service = world.serve(builder.eject_outliers(OutlierEjection::new()));
    let owner = ask(&service, keyed).await.unwrap().by;
    world.set(&owner, REFUSES);
    for _ in 0..5 {
        assert!(ask(&service, keyed).await.unwrap().refused.is_some());
    }
    tokio::time::sleep(MS).await;
    world.set(&owner, Mood::Serves);
    world.take_calls();
    let began = Instant::now();
    // It waits for its own, which is back when its time is over.
    let mut last = None;
    for _ in 0..4 {
        last = Some(ask(&service, keyed).await);
        if last.as_ref().is_some_and(Result::is_ok) {
            break;
        }
    }
    assert_eq!(last.unwrap().unwrap().by, owner);
    assert!(
        began.elapsed() >= Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    assert!(world.take_calls().iter().all(|one| *one == owner));
}

#[tokio::test(start_paused = true)]
async fn whoever_has_just_come_gets_little_at_first() {
    let (teller, cluster) = cluster_of(0..4);
    let world = World::default();
    let builder = cluster.service("db").unwrap().policy(Random::new());
    let service = world.serve(builder.slow_start(SlowStart::over(Duration::from_secs(10))));
    let share = async |who: &str| {
        for _ in 0..4000 {
            ask(&service, WRITE).await.unwrap();
        }
        at(&world.take_calls(), who) as f64 / 4000.0
    };
    // Those that were there from the start have their part at once.
    let first = share("db-0").await;
    assert!(
        (first - 0.25).abs() < 5.0 * (0.25 * 0.75 / 4000.0_f64).sqrt(),
        "{first}"
    );
    teller.tell(present(0..5));
    tokio::time::sleep(MS).await;
    let close = |got: f64, part: f64| {
        // A fifth, of which it gets this part; what falls on it again when it is drawn again is not much.
        let expected = 0.2 * part * (1.0 + 0.2 * (1.0 - part));
        (got - expected).abs() < 0.03
    };
    let (start, half) = (share("db-4").await, {
        tokio::time::sleep(Duration::from_secs(5)).await;
        share("db-4").await
    });
    assert!(close(start, 0.1), "{start}");
    assert!(close(half, 0.5), "{half}");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let whole = share("db-4").await;
    assert!(close(whole, 1.0), "{whole}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_answers_slowly_is_not_taken_for_one_that_fails() {
    let (_teller, cluster) = cluster_of(0..3);
    let world = World::default();
    world.set("db-0", Mood::ServesAfter(2000 * MS));
    let service = world.serve(cluster.service("db").unwrap().resilient());
    for _ in 0..30 {
        ask(&service, READ).await.unwrap();
    }
    assert_eq!(service.observe().view().endpoints().len(), 3);
}

#[tokio::test]
async fn nonsense_is_refused_when_the_balancer_is_built() {
    let (_teller, cluster) = cluster_of([0]);
    let builder = || cluster.service("db").unwrap();
    let nan = f64::NAN;
    let cases = [
        (builder().retry(Retry::new().tries(0)), "retry.tries"),
        (
            builder().retry(Retry::new().deadline(Duration::ZERO)),
            "retry.deadline",
        ),
        (
            builder().retry(Retry::new().budget(RetryBudget::new(-0.1, 1))),
            "retry.budget.share",
        ),
        (
            builder().retry(Retry::new().backoff(RetryBackoff::new(2 * MS, MS))),
            "retry.backoff",
        ),
        (
            builder().eject_outliers(OutlierEjection::new().with_panic_threshold(nan)),
            "outlier_ejection.panic_threshold",
        ),
        (
            builder().slow_start(SlowStart::over(Duration::ZERO)),
            "slow_start.window",
        ),
    ];
    for (builder, expected) in cases {
        match builder.nodes() {
            Err(BuildError::Setting { setting, .. }) => assert_eq!(setting, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_are_let_in_than_may_be_and_each_keeps_its_place_through_its_retries() {
    let (_teller, cluster) = cluster_of(0..2);
    let world = World::default();
    world.set("db-0", Mood::ServesAfter(100 * MS));
    world.set("db-1", Mood::ServesAfter(100 * MS));
    let admission = Admission::at_most(2).queue(1, 500 * MS);
    let builder = cluster.service("db").unwrap().admission(admission);
    let service = world.serve(builder.retry(Retry::new()));
    let asks: Vec<_> = (0..4)
        .map(|_| tokio::spawn(service.clone().oneshot(READ)))
        .collect();
    let began = Instant::now();
    let mut ends = Vec::new();
    for asked in asks {
        ends.push(
            asked
                .await
                .unwrap()
                .map_err(|error| error.kind().clone())
                .is_ok(),
        );
    }
    assert_eq!(ends, [true, true, true, false]);
    assert!(began.elapsed() >= 200 * MS && began.elapsed() < 205 * MS);
    let shed = {
        let _held: Vec<_> = (0..3)
            .map(|_| tokio::spawn(service.clone().oneshot(READ)))
            .collect();
        tokio::task::yield_now().await;
        ask(&service, READ).await.unwrap_err()
    };
    assert_eq!(*shed.kind(), ErrorKind::Shed(ShedReason::QueueFull));
    assert!(shed.is_unsent());
}

#[tokio::test(start_paused = true)]
async fn a_lease_keeps_its_place_until_it_is_dropped() {
    let (_teller, cluster) = cluster_of(0..2);
    let builder = cluster
        .service("db")
        .unwrap()
        .admission(Admission::at_most(1));
    let nodes = builder.nodes().unwrap();
    let lease = nodes.pick("a").await.unwrap();
    let shed = nodes.pick("a").await.unwrap_err();
    assert_eq!(*shed.kind(), ErrorKind::Shed(ShedReason::QueueFull));
    drop(lease);
    drop(nodes.pick("a").await.unwrap());
}

#[test]
fn without_the_runtime_of_its_timers_a_balancer_goes_on_or_says_so() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let home = runtime();
    let world = World::default();
    world.set("db-0", Mood::Hangs);
    let (_teller, cluster) = cluster_of([0]);
    let serve = |retry, queue| {
        let builder = cluster.service("db").unwrap().retry(retry);
        let admission = Admission::at_most(1).queue(queue, Duration::from_secs(60));
        world.serve(builder.admission(admission))
    };
    let short = Retry::new().deadline(MS);
    let long = Retry::new().deadline(Duration::from_secs(60));
    let (late, waits, nodes) = home.block_on(async {
        let (late, waits) = (serve(short, 0), serve(long, 1));
        let builder = cluster.service("db").unwrap();
        let admission = Admission::at_most(1).queue(1, Duration::from_secs(60));
        let nodes = builder.admission(admission).nodes().unwrap();
        // Their first snapshots are there.
        for service in [&late, &waits] {
            let mut asked = Box::pin(ask(service, READ));
            while world.take_calls().is_empty() {
                assert!(futures::poll!(&mut asked).is_pending());
                tokio::task::yield_now().await;
            }
        }
        drop(nodes.pick("a").await.unwrap());
        (late, waits, nodes)
    });
    let bare = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    bare.block_on(async {
        let mut first = Box::pin(ask(&waits, READ));
        assert!(futures::poll!(&mut first).is_pending());
        let mut second = Box::pin(ask(&waits, READ));
        assert!(futures::poll!(&mut second).is_pending());
        let mut alone = Box::pin(ask(&late, READ));
        assert!(futures::poll!(&mut alone).is_pending());
        let held = nodes.pick("a").await.unwrap();
        let mut third = Box::pin(nodes.pick("a"));
        assert!(futures::poll!(&mut third).is_pending());
        home.shutdown_background();
        assert!(futures::poll!(&mut first).is_pending());
        assert_eq!(*second.await.unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(*third.await.unwrap_err().kind(), ErrorKind::Closed);
        std::thread::sleep(2 * MS);
        let error = alone.await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::DeadlineExceeded);
        drop(held);
    });
}
