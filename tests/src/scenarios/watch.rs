//! Watches: how many there are, and what becomes of them.

use std::time::Duration;

use portolan::Freshness;
use portolan_kube::WatchOptions;
use tokio::time::Instant;

use crate::{
    arena::{Arena, eventually},
    caller::{Caller, names},
    failure::{Failure, Result},
    load::Load,
};

/// However many balancers of a process follow a Service, there is one watch; it goes with the last
/// of them.
pub async fn one_watch_for_all_balancers(arena: &Arena) -> Result {
    arena.headless("db").await?;
    arena
        .stateful_set("db", 2)
        .create()
        .await?
        .wait_ready(2)
        .await?;
    let cluster = arena.discovery()?;
    let mut callers = Vec::new();
    for service in ["db:http", "db:8080", "db"] {
        for _ in 0..10 {
            callers.push(Caller::new(&cluster.clone(), &arena.full(service))?);
        }
    }
    for caller in &callers {
        caller.until_pods(&["db-0", "db-1"]).await?;
    }
    expect_watches(arena, 1).await?;
    assert_eq!(arena.questions().lists("endpointslices"), 1);
    assert_eq!(arena.questions().lists("services"), 1);

    let last = callers.pop();
    drop(callers);
    expect_watches(arena, 1).await?;
    if let Some(last) = &last {
        last.get().await?;
    }
    drop(last);
    expect_watches(arena, 0).await?;

    let again = Caller::new(&cluster, &arena.full("db:http"))?;
    again.until_pods(&["db-0", "db-1"]).await?;
    expect_watches(arena, 1).await
}

/// Connections to the API server break: the watch goes on where it was, and nothing is missed.
pub async fn watches_that_are_cut(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena.stateful_set("db", 1).parallel().create().await?;
    set.wait_ready(1).await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0"]).await?;
    let load = Load::start(&caller, 100);
    for _ in 0..3 {
        arena.line().cut();
        set.scale(2).await?;
        caller.until_pods(&["db-0", "db-1"]).await?;
        arena.line().sever();
        set.scale(1).await?;
        set.wait_ready(1).await?;
        arena.line().mend();
        // Nobody told of db-1's end yet, but it refuses connections.
        caller.until_pods(&["db-0"]).await?;
    }
    caller
        .until("live again", |view| {
            matches!(view.freshness(), Freshness::Live)
        })
        .await?;
    load.until_answered_by(1, 50).await?;
    load.stop().await?.expect_no_failure()?;
    for resource in ["endpointslices", "services"] {
        let (lists, resumptions) = (
            arena.questions().lists(resource),
            arena.questions().resumptions(resource),
        );
        assert_eq!(
            lists, 1,
            "{resource}: a watch that is cut is no reason to list anew"
        );
        assert!(resumptions >= 3, "{resource}: {resumptions} resumptions");
    }
    Ok(())
}

/// Connections that stay open and say nothing, as behind a NAT that has forgotten them, are found
/// dead in seconds, and opened anew.
pub async fn watches_that_are_frozen(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena.stateful_set("db", 1).create().await?;
    set.wait_ready(1).await?;
    // The next request may find another connection that is frozen as well, the one that was listed on, say.
    let options = WatchOptions::default()
        .idle_timeout(Duration::from_secs(4))
        .request_timeout(Duration::from_secs(2));
    let caller = Caller::new(&arena.discovery_with(options)?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0"]).await?;
    // The list tells of the Pod before there is a watch that can be frozen.
    expect_watches(arena, 1).await?;

    arena.line().freeze();
    let frozen = Instant::now();
    set.scale(2).await?;
    caller.until_pods(&["db-0", "db-1"]).await?;
    let found = frozen.elapsed();
    // 4 s of silence, 2 s on another connection, and up to 1 s between two watches.
    assert!(found < Duration::from_secs(8), "found dead after {found:?}");
    Ok(())
}

/// The server does not remember as far back as the balancer left off (410 Gone): it lists anew, and
/// what is gone meanwhile is gone.
pub async fn history_that_is_forgotten(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena.stateful_set("db", 3).parallel().create().await?;
    set.wait_ready(3).await?;
    let options =
        WatchOptions::default().backoff(Duration::from_millis(100), Duration::from_millis(500));
    let caller = Caller::new(&arena.discovery_with(options)?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0", "db-1", "db-2"]).await?;

    arena.line().sever();
    set.scale(1).await?;
    set.wait_ready(1).await?;
    arena.forget_history().await?;
    let view = caller
        .until("discovery fails", |view| {
            matches!(view.freshness(), Freshness::Stale { .. })
        })
        .await?;
    assert!(
        names(&view).contains(&"db-0"),
        "a source that fails takes nothing away"
    );
    // The next events are after what was forgotten.
    set.scale(2).await?;
    set.wait_ready(2).await?;
    arena.line().mend();
    // While discovery fails, the same two may be left: those that cannot be reached are taken off.
    caller
        .until("db-0 and db-1, by discovery", |view| {
            matches!(view.freshness(), Freshness::Live) && names(view) == ["db-0", "db-1"]
        })
        .await?;
    let lists = arena.questions().lists("endpointslices");
    assert_eq!(lists, 2, "the first one, and one for what was forgotten");
    expect_watches(arena, 1).await
}

async fn expect_watches(arena: &Arena, wanted: usize) -> Result {
    for resource in ["endpointslices", "services"] {
        let what = format!("{wanted} watches of {resource}");
        // The server hears of a connection's end when it is told.
        eventually(&what, Duration::from_secs(5), async || {
            match arena.open_watches(resource).await? {
                open if open == wanted => Ok(()),
                open => Err(Failure::new(format_args!("there are {open}"))),
            }
        })
        .await?;
    }
    Ok(())
}
