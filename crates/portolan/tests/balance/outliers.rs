//! Endpoints that fail where others do not, and endpoints that have just come.

use std::time::Duration;

use portolan::{
    Routing,
    health::{OutlierEjection, SlowStart},
    policy::{Random, RoundRobin, Shard, Shards},
    retry::{Retry, RetryBudget},
};
use tokio::time::Instant;

use crate::{
    cluster_of,
    moody::{Ask, MS, Mood, READ, REFUSES, WRITE, World, ask, at},
    present,
};

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
