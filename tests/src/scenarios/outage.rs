//! The API server is away. Requests do not depend on it.

use std::{convert::Infallible, time::Duration};

use k8s_openapi::api::core::v1::Service;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use portolan::{Freshness, View};
use portolan_kube::WatchOptions;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{arena::Arena, caller::Caller, failure::Result, load::Load};

fn is_stale(view: &View) -> bool {
    matches!(view.freshness(), Freshness::Stale { .. })
}

/// The API server dies in the middle of a rolling restart. The last good list serves; when the
/// server is back, the restart goes on, and the balancer with it.
pub async fn api_server_is_stopped_during_a_rollout(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena.stateful_set("db", 3).create().await?;
    set.wait_ready(3).await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    let before = caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
    let load = Load::start(&caller, 100);
    load.until_answered_by(before.endpoints().len(), 20).await?;

    set.roll().await?;
    let first_is_replaced = |view: &View| {
        let new = view.endpoints().iter().filter(|one| {
            let uid = one.endpoint.uid();
            before
                .endpoints()
                .iter()
                .all(|old| old.endpoint.uid() != uid)
        });
        new.count() > 0
    };
    caller
        .until("the first Pod is replaced", first_is_replaced)
        .await?;
    arena.stop_api().await?;
    let view = caller.until("discovery fails", is_stale).await?;
    assert!(!view.endpoints().is_empty(), "the last good list stays");
    sleep(Duration::from_millis(500)).await;
    caller.get().await?;
    arena.start_api().await?;

    set.wait_ready(3).await?;
    let all_are_replaced = |view: &View| {
        view.endpoints().len() == 3
            && matches!(view.freshness(), Freshness::Live)
            && view.endpoints().iter().all(|one| {
                let uid = one.endpoint.uid();
                before
                    .endpoints()
                    .iter()
                    .all(|old| old.endpoint.uid() != uid)
            })
    };
    tokio::select! {
        view = caller.until("all Pods are replaced", all_are_replaced) => drop(view?),
        failed = touch(arena, "db") => match failed? {},
    }
    load.until_answered_by(6, 100).await?;
    let record = load.stop().await?;
    record.expect_no_failure()?;
    assert_eq!(record.incarnations(), 6, "three old Pods, three new ones");
    Ok(())
}

/// The API server falls silent (SIGSTOP), and no connection breaks: that is found out in seconds,
/// the last good list serves, and afterwards everything goes on.
pub async fn api_server_is_paused(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena.stateful_set("db", 2).create().await?;
    set.wait_ready(2).await?;
    let options = WatchOptions::default()
        .idle_timeout(Duration::from_secs(3))
        .request_timeout(Duration::from_secs(1))
        .backoff(Duration::from_millis(100), Duration::from_millis(500));
    let caller = Caller::new(&arena.discovery_with(options)?, &arena.full("db:http"))?;
    let before = caller.until_pods(&["db-0", "db-1"]).await?;
    let load = Load::start(&caller, 100);
    load.until_answered_by(before.endpoints().len(), 20).await?;

    arena.pause_api().await?;
    let paused = Instant::now();
    let view = caller.until("discovery fails", is_stale).await?;
    let found = paused.elapsed();
    // 3 s of silence, up to 1 s between two watches, 1 s without an answer.
    assert!(found < Duration::from_secs(7), "found dead after {found:?}");
    assert_eq!(view.endpoints().len(), 2, "the last good list stays");
    arena.pod("db-1")?.kill();
    caller.until_pods(&["db-0"]).await?;
    arena.resume_api().await?;

    caller
        .until("live again", |view| {
            matches!(view.freshness(), Freshness::Live)
        })
        .await?;
    tokio::select! {
        view = caller.until_pods(&["db-0", "db-1"]) => drop(view?),
        failed = touch(arena, "db") => match failed? {},
    }
    set.scale(3).await?;
    caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
    load.until_answered_by(3, 100).await?;
    load.stop().await?.expect_no_failure()
}

/// Changes something about the Service each second, as whoever runs a cluster would.
///
/// The real controller of slices tries 15 times after a failure, further and further apart. After an
/// outage, each change of a Pod is a try, and what it reads may lag behind what it wrote for all of them:
/// then the slices stay as they are for a quarter of an hour, and no client could know better.
async fn touch(arena: &Arena, service: &str) -> Result<Infallible> {
    let services: Api<Service> = Api::namespaced(arena.client(), arena.namespace());
    let mut turn = 0_u64;
    loop {
        sleep(Duration::from_secs(1)).await;
        let note = json!({ "metadata": { "annotations": { "touched": turn.to_string() } } });
        services
            .patch(service, &PatchParams::default(), &Patch::Merge(note))
            .await?;
        turn += 1;
    }
}
