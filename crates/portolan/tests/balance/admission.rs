//! How many requests are let in, and where they wait.

use std::time::Duration;

use portolan::{
    ErrorKind,
    admission::{Admission, ShedReason},
    retry::Retry,
};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::{
    cluster_of,
    moody::{MS, Mood, READ, World, ask},
};

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
