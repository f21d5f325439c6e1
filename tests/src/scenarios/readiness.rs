//! Which Pods get requests, by their conditions.

use std::time::Duration;

use tokio::time::sleep;

use crate::{arena::Arena, caller::Caller, failure::Result, follow::Following, load::Load};

/// A Pod gets nothing from the moment that it is not ready, and its share again when it is.
pub async fn unready_pods_get_nothing(arena: &Arena) -> Result {
    arena.headless("db").await?;
    arena
        .stateful_set("db", 3)
        .create()
        .await?
        .wait_ready(3)
        .await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
    let following = Following::start(arena, &caller).await?;
    let load = Load::start(&caller, 200);
    load.until_answered_by(3, 20).await?;

    let pod = arena.pod("db-1")?;
    for _ in 0..5 {
        pod.set_ready(false);
        caller.until_pods(&["db-0", "db-2"]).await?;
        let before = pod.requests_served();
        for _ in 0..20 {
            assert_ne!(caller.get().await?.pod, "db-1");
        }
        let strays = pod.requests_served() - before;
        assert!(
            strays <= 8,
            "{strays} requests, more than the senders had in flight"
        );
        pod.set_ready(true);
        caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
    }

    let record = load.stop().await?;
    record.expect_no_failure()?;
    let followed = following.finish()?;
    followed.expect_obeyed(&record)?;
    followed.report(arena, 10)
}

/// With `publishNotReadyAddresses`, Pods get requests ready or not: their Service says so.
pub async fn published_though_not_ready(arena: &Arena) -> Result {
    arena
        .service("db")
        .headless()
        .port("http", 8080)
        .publish_not_ready()
        .create()
        .await?;
    let set = arena
        .stateful_set("db", 2)
        .parallel()
        .annotation("portolan.test/ready", "false");
    set.create().await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0", "db-1"]).await?;
    let load = Load::start(&caller, 200);
    load.until_answered_by(2, 100).await?;
    let record = load.stop().await?;
    record.expect_no_failure()?;
    record.expect_even(&["db-0", "db-1"])
}

/// A Pod that is being deleted gets no new request, though it would serve it, while what is in
/// flight there finishes.
pub async fn a_terminating_pod_gets_nothing_new(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena
        .stateful_set("db", 2)
        .pre_stop(Duration::from_secs(3))
        .create()
        .await?;
    set.wait_ready(2).await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0", "db-1"]).await?;
    let following = Following::start(arena, &caller).await?;

    let leaving = arena.pod("db-1")?;
    for pod in arena.pods() {
        pod.slow(Duration::from_secs(1));
    }
    // Of two at once, each gets one.
    let (first, second) = (caller.clone(), caller.clone());
    let in_flight = tokio::spawn(async move { tokio::join!(first.post(), second.post()) });
    while leaving.requests_in_flight() == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    set.scale(1).await?;
    caller.until_pods(&["db-0"]).await?;
    let served = leaving.requests_served();
    for pod in arena.pods() {
        pod.slow(Duration::ZERO);
    }
    let load = Load::of_posts(&caller, 200);
    let (first, second) = in_flight.await?;
    let mut pods = [first?.pod, second?.pod];
    pods.sort();
    assert_eq!(
        pods,
        ["db-0", "db-1"],
        "what was in flight finished, there too"
    );
    load.until_answered_by(1, 100).await?;
    assert!(arena.pod("db-1").is_ok(), "it still runs");
    assert_eq!(leaving.requests_served(), served);
    set.wait_ready(1).await?;

    let record = load.stop().await?;
    record.expect_no_failure()?;
    assert_eq!(record.by_pod().into_keys().collect::<Vec<_>>(), ["db-0"]);
    let followed = following.finish()?;
    followed.expect_obeyed(&record)?;
    followed.report(arena, 1)
}

/// Where no Pod is ready, those that are leaving and still serve get the requests: better than
/// nobody, as kube-proxy has it (KEP-1669).
pub async fn the_last_terminating_pod_serves_on(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena
        .stateful_set("db", 1)
        .pre_stop(Duration::from_secs(2))
        .create()
        .await?;
    set.wait_ready(1).await?;
    let caller = Caller::fail_fast(&arena.discovery()?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0"]).await?;
    let first = caller.get().await?;

    set.scale(0).await?;
    let leaving = caller
        .until("db-0 is terminating", |view| {
            let conditions = view.endpoints().iter().map(|one| one.endpoint.conditions());
            conditions
                .map(|it| (it.is_ready(), it.is_terminating()))
                .eq([(false, true)])
        })
        .await;
    leaving?;
    for _ in 0..50 {
        assert_eq!(caller.get().await?, first);
    }
    caller.until_pods(&[]).await?;
    Ok(())
}
