//! Second tries while the first is on its way.

use std::time::Duration;

use portolan::{
    Balance, BuildError, Cluster, ErrorKind, Routing, Wait,
    hedge::Hedge,
    policy::Random,
    retry::{Pushback, Retry, RetryBudget},
};
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt};

use crate::{
    cluster_of,
    moody::{Ask, Mood, Moods, Moody, READ, WRITE, World},
    present,
};

const MS: Duration = Duration::from_millis(1);
const SLOW: Mood = Mood::ServesAfter(Duration::from_secs(2));

/// Three endpoints that answer within 10 ms, as the balancer knows by now.
async fn known(cluster: &Cluster, world: &World, retry: Retry) -> Balance<Moody, Moods> {
    (0..3).for_each(|ordinal| world.set(&format!("db-{ordinal}"), Mood::ServesAfter(10 * MS)));
    let builder = cluster.service("db").unwrap().policy(Random::new());
    let builder = builder.hedge(Hedge::at_quantile(0.9)).retry(retry);
    let service = world.serve(builder);
    for _ in 0..150 {
        service.clone().oneshot(READ).await.unwrap();
    }
    sleep(Duration::from_secs(5)).await;
    world.take_calls();
    service
}

/// Asks until the endpoint has been asked first.
async fn ask_there(
    service: &Balance<Moody, Moods>,
    world: &World,
    who: &str,
) -> (String, Duration, Vec<String>) {
    // That it is not among a hundred at random, nobody will see.
    for _ in 0..100 {
        let began = Instant::now();
        let reply = service.clone().oneshot(READ).await.unwrap();
        let calls = world.take_calls();
        if calls[0] == who {
            return (reply.by, began.elapsed(), calls);
        }
    }
    panic!("{who} was never asked");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_longer_than_most_is_tried_elsewhere_as_well() {
    let (_teller, cluster) = cluster_of(0..3);
    let world = World::default();
    let service = known(&cluster, &world, Retry::new()).await;
    // Where all is well, nothing is sent twice.
    for _ in 0..30 {
        service.clone().oneshot(READ).await.unwrap();
    }
    assert_eq!(world.take_calls().len(), 30);
    for mood in [SLOW, Mood::Hangs] {
        world.set("db-1", mood);
        let (by, took, calls) = ask_there(&service, &world, "db-1").await;
        assert_ne!(by, "db-1");
        assert_eq!(calls.len(), 2);
        assert!(took >= 20 * MS && took < 25 * MS, "{took:?}");
        // The other try is over.
        let view = service.observe().view();
        assert!(
            view.endpoints()
                .iter()
                .all(|one| one.state.in_flight() == 0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_sent_twice_is_not_and_what_has_one_place_stays_there() {
    let (_teller, cluster) = cluster_of(0..3);
    let world = World::default();
    let service = known(&cluster, &world, Retry::new()).await;
    (0..3).for_each(|ordinal| world.set(&format!("db-{ordinal}"), Mood::ServesAfter(500 * MS)));
    let pinned = Ask {
        routing: || Routing::pinned_to("db-1"),
        ..READ
    };
    for request in [WRITE, pinned] {
        service.clone().oneshot(request).await.unwrap();
        assert_eq!(world.take_calls().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_two_that_fails_leaves_the_other() {
    let (_teller, cluster) = cluster_of(0..3);
    let world = World::default();
    let service = known(&cluster, &world, Retry::new()).await;
    // The second try fails, however it does, and the first answers at last.
    world.set("db-0", SLOW);
    for bad in [Mood::BreaksOff, Mood::Refuses(Pushback::Unsaid)] {
        world.set("db-1", bad);
        world.set("db-2", bad);
        for _ in 0..20 {
            let began = Instant::now();
            let reply = service.clone().oneshot(READ).await;
            if world.take_calls()[0] == "db-0" {
                let reply = reply.unwrap();
                let answered_late = began.elapsed() >= 2000 * MS;
                assert_eq!((&*reply.by, answered_late), ("db-0", true), "{bad:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_that_fails_leaves_the_second() {
    let (_teller, cluster) = cluster_of(0..2);
    let world = World::default();
    let service = known(&cluster, &world, Retry::new().tries(1)).await;
    let breaks = Mood::BreaksOffAfter(100 * MS);
    world.set("db-0", breaks);
    world.set("db-1", Mood::ServesAfter(300 * MS));
    let (by, took, calls) = ask_there(&service, &world, "db-0").await;
    assert_eq!((&*by, calls.len()), ("db-1", 2));
    assert!(took > 300 * MS && took < 330 * MS, "{took:?}");
    // Where both fail, the error tells of both.
    world.set("db-1", breaks);
    let error = service.clone().oneshot(READ).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Failed);
    assert_eq!(error.attempts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn where_all_are_slow_second_tries_keep_to_the_budget() {
    let (_teller, cluster) = cluster_of(0..3);
    let world = World::default();
    let tight = Retry::new().budget(RetryBudget::new(0.1, 0));
    let service = known(&cluster, &world, tight).await;
    (0..3).for_each(|ordinal| world.set(&format!("db-{ordinal}"), Mood::ServesAfter(300 * MS)));
    // What most take is found anew every 5 s: until then, each takes too long.
    let asks: Vec<_> = (0..400)
        .map(|_| tokio::spawn(service.clone().oneshot(READ)))
        .collect();
    for ask in asks {
        ask.await.unwrap().unwrap();
    }
    // A tenth of the 150 before.
    assert_eq!(world.take_calls().len(), 415);
}

#[tokio::test]
async fn nonsense_is_refused() {
    let (_teller, cluster) = cluster_of([0]);
    for quantile in [0.0, 1.0, -1.0, f64::NAN] {
        let builder = cluster
            .service("db")
            .unwrap()
            .hedge(Hedge::at_quantile(quantile));
        match builder.nodes() {
            Err(BuildError::Setting { setting, .. }) => assert_eq!(setting, "hedge.quantile"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_try_that_broke_off_is_not_taken_for_one_that_was_away() {
    let (teller, cluster) = cluster_of([0]);
    let world = World::default();
    let builder = cluster.service("db").unwrap().policy(Random::new());
    // What takes long is forgotten while somebody waits.
    let builder = builder.hedge(Hedge::at_quantile(0.9)).wait(Wait::FailFast);
    let service = world.serve(builder.retry(Retry::new().tries(10)));
    world.set("db-0", Mood::ServesAfter(10 * MS));
    for _ in 0..150 {
        service.clone().oneshot(READ).await.unwrap();
    }
    sleep(Duration::from_secs(5)).await;
    // This one came later than the first.
    teller.tell(present(0..2));
    sleep(MS).await;
    world.set("db-0", Mood::BreaksOffAfter(100 * MS));
    world.set("db-1", Mood::BreaksOff);
    world.take_calls();
    loop {
        service.clone().oneshot(READ).await.unwrap_err();
        let calls = world.take_calls();
        assert_eq!(calls.len(), 2, "{calls:?}");
        if calls[0] == "db-0" {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_be_tried_once_is_not_tried_elsewhere_as_well() {
    let (_teller, cluster) = cluster_of(0..2);
    let world = World::default();
    (0..2).for_each(|ordinal| world.set(&format!("db-{ordinal}"), Mood::ServesAfter(10 * MS)));
    let builder = cluster.service("db").unwrap().max_attempts(1);
    let service = world.serve(builder.hedge(Hedge::at_quantile(0.9)));
    for _ in 0..150 {
        service.clone().oneshot(READ).await.unwrap();
    }
    sleep(Duration::from_secs(5)).await;
    world.take_calls();
    world.set("db-0", SLOW);
    world.set("db-1", Mood::BreaksOff);
    for _ in 0..20 {
        let answered = service.clone().oneshot(READ).await.is_ok();
        let calls = world.take_calls();
        assert_eq!(calls.len(), 1);
        assert_eq!(answered, calls[0] == "db-0");
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_try_is_over_when_the_answer_is_there_whoever_keeps_the_future() {
    let (_teller, cluster) = cluster_of(0..3);
    let world = World::default();
    let service = known(&cluster, &world, Retry::new()).await;
    (0..3).for_each(|ordinal| world.set(&format!("db-{ordinal}"), Mood::ServesAfter(50 * MS)));
    let mut request = Box::pin(service.clone().call(READ));
    request.as_mut().await.unwrap();
    assert_eq!(world.take_calls().len(), 2);
    let view = service.observe().view();
    let in_flight = |of: &portolan::View| -> u32 {
        of.endpoints().iter().map(|one| one.state.in_flight()).sum()
    };
    assert_eq!(in_flight(&view), 0);
    drop(request);
}
