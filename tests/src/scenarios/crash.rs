//! Pods that die without a word: nobody has told the client before.

use std::time::Duration;

use tokio::time::sleep;

use crate::{arena::Arena, caller::Caller, failure::Result, follow::Following, load::Load};

/// Kill -9 of a Pod's container under load: connections are reset, new ones refused, until it is
/// started again in the same Pod.
pub async fn a_pod_is_killed(arena: &Arena) -> Result {
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
    load.until_answered_by(3, 50).await?;

    arena.pod("db-1")?.kill();
    caller.until_pods(&["db-0", "db-2"]).await?;
    caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
    let again = Load::start(&caller, 200);
    again.until_answered_by(3, 150).await?;
    again.stop().await?.expect_even(&["db-0", "db-1", "db-2"])?;

    let record = load.stop().await?;
    record.expect_no_failure()?;
    assert_eq!(
        record.incarnations(),
        3,
        "a killed container's Pod is the same Pod"
    );
    following.finish()?.report(arena, 1)
}

/// Each Pod in turn, the only ones left serving meanwhile.
pub async fn every_pod_is_killed_in_turn(arena: &Arena) -> Result {
    arena.headless("db").await?;
    arena
        .stateful_set("db", 2)
        .create()
        .await?
        .wait_ready(2)
        .await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0", "db-1"]).await?;
    let load = Load::start(&caller, 200);
    load.until_answered_by(2, 20).await?;
    for (killed, left) in [("db-0", "db-1"), ("db-1", "db-0")] {
        arena.pod(killed)?.kill();
        caller.until_pods(&[left]).await?;
        caller.until_pods(&["db-0", "db-1"]).await?;
    }
    // Both at once: requests wait for whichever is back first.
    for pod in arena.pods() {
        pod.kill();
    }
    caller.until_pods(&["db-0", "db-1"]).await?;
    let record = load.stop().await?;
    record.expect_no_failure()
}

/// The only Pod there is: what it broke off is asked of it again when it is back.
pub async fn the_only_pod_is_killed(arena: &Arena) -> Result {
    arena.headless("db").await?;
    arena
        .stateful_set("db", 1)
        .create()
        .await?
        .wait_ready(1)
        .await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0"]).await?;
    let load = Load::start(&caller, 100);
    load.until_answered_by(1, 20).await?;

    let pod = arena.pod("db-0")?;
    pod.slow(Duration::from_millis(200));
    while pod.requests_in_flight() < 4 {
        sleep(Duration::from_millis(5)).await;
    }
    pod.kill();
    pod.slow(Duration::ZERO);
    let killed = load.sent();
    load.until_answered_by(1, killed + 50).await?;

    let record = load.stop().await?;
    record.expect_no_failure()?;
    assert_eq!(record.incarnations(), 1);
    Ok(())
}
