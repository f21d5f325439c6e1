//! Rolling restarts under a steady load: no request fails.

use std::{collections::HashSet, time::Duration};

use portolan::{Nodes, Placement, policy::RingHash};

use crate::{arena::Arena, caller::Caller, failure::Result, follow::Following, load::Load};

/// The Pods of a StatefulSet restart one after the other, without a pause between deletion and
/// SIGTERM: what a Pod may have dropped with its connections is asked of another one.
pub async fn a_stateful_set_restarts(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena.stateful_set("db", 3).create().await?;
    set.wait_ready(3).await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
    let following = Following::start(arena, &caller).await?;
    let load = Load::start(&caller, 200);
    load.until_answered_by(3, 20).await?;

    set.roll().await?;
    set.wait_ready(3).await?;
    caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
    load.until_answered_by(6, 100).await?;

    let record = load.stop().await?;
    record.expect_no_failure()?;
    assert_eq!(record.incarnations(), 6, "three old Pods, three new ones");
    let followed = following.finish()?;
    followed.expect_obeyed(&record)?;
    followed.report(arena, 6)
}

/// The same of Pods that serve on for a moment, as real ones should: then not even a request that
/// may be sent only once fails.
pub async fn a_stateful_set_restarts_in_good_order(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena
        .stateful_set("db", 3)
        .pre_stop(Duration::from_secs(1))
        .create()
        .await?;
    set.wait_ready(3).await?;
    let caller = Caller::over_http2(&arena.discovery()?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
    let following = Following::start(arena, &caller).await?;
    let load = Load::of_posts(&caller, 200);
    load.until_answered_by(3, 20).await?;

    set.roll().await?;
    set.wait_ready(3).await?;
    caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
    load.until_answered_by(6, 100).await?;

    let record = load.stop().await?;
    record.expect_no_failure()?;
    assert_eq!(record.incarnations(), 6, "three old Pods, three new ones");
    let followed = following.finish()?;
    followed.expect_obeyed(&record)?;
    followed.report(arena, 6)
}

/// A Deployment restarts by surging: new Pods come, of other names, before old ones go.
pub async fn a_deployment_restarts(arena: &Arena) -> Result {
    arena
        .service("web")
        .port_to("http", 80, "http")
        .create()
        .await?;
    let deployment = arena.deployment("web", 3).create().await?;
    deployment.wait_ready(3).await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("web:http"))?;
    caller
        .until("three endpoints", |view| view.endpoints().len() == 3)
        .await?;
    let following = Following::start(arena, &caller).await?;
    let load = Load::start(&caller, 200);
    load.until_answered_by(3, 20).await?;

    deployment.roll().await?;
    deployment.wait_ready(3).await?;
    caller
        .until("three endpoints", |view| view.endpoints().len() == 3)
        .await?;
    load.until_answered_by(6, 100).await?;

    let record = load.stop().await?;
    record.expect_no_failure()?;
    let answered = record.incarnations();
    assert!(
        answered >= 6,
        "three old Pods and three new ones, or more: {answered}"
    );
    let followed = following.finish()?;
    followed.expect_obeyed(&record)?;
    followed.report(arena, 6)
}

/// The Pods come back under their names, with other UIDs and addresses: each key is where it was.
pub async fn a_stateful_set_restarts_and_no_key_moves(arena: &Arena) -> Result {
    arena.headless("cache").await?;
    let set = arena.stateful_set("cache", 3).create().await?;
    set.wait_ready(3).await?;
    let cluster = arena.discovery()?;
    let service = cluster.service(arena.full("cache:http"))?;
    let cache = service.policy(RingHash::new()).nodes()?;
    let (before, old) = owners(&cache, &HashSet::new()).await?;

    set.roll().await?;
    set.wait_ready(3).await?;
    let (after, new) = owners(&cache, &old).await?;
    assert!(old.is_disjoint(&new));
    assert_eq!(before, after);
    Ok(())
}

/// Whose each of 300 keys is, once there are three Pods and none of the old ones; and the Pods' UIDs.
async fn owners(cache: &Nodes, old: &HashSet<String>) -> Result<(Vec<Placement>, HashSet<String>)> {
    let mut observer = cache.observe();
    let uids = loop {
        let view = observer.view();
        let uids = view.endpoints().iter().filter_map(|one| one.endpoint.uid());
        let uids: HashSet<_> = uids.map(ToString::to_string).collect();
        if uids.len() == 3 && uids.is_disjoint(old) {
            break uids;
        }
        let changed = tokio::time::timeout(Duration::from_secs(60), observer.changed());
        changed.await?.ok_or("the balancer is gone")?;
    };
    let mut owners = Vec::new();
    for key in 0..300_u32 {
        let lease = cache.pick(key.to_be_bytes()).await?;
        owners.push(lease.endpoint().placement().clone());
    }
    Ok((owners, uids))
}
