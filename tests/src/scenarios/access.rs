//! Who may ask the API server, and what.

use std::time::Duration;

use portolan::{Freshness, Reach, SourceErrorKind, View};
use portolan_kube::{CLUSTER_ROLE, ROLE, WatchOptions};

use super::expect_error;
use crate::{
    access::Account,
    arena::Arena,
    caller::{Caller, names},
    failure::{Failure, Result},
    load::Load,
};

/// Trouble is noticed soon, and so is its end.
fn hasty() -> WatchOptions {
    WatchOptions::default()
        .idle_timeout(Duration::from_secs(4))
        .backoff(Duration::from_millis(100), Duration::from_millis(500))
}

/// An account without rights is told which verb on which resource it lacks, and gets the manifest
/// that grants it. Applied as it is printed, it does so, and nothing needs to be restarted.
pub async fn a_refusal_prints_the_role_that_mends_it(arena: &Arena) -> Result {
    arena.headless("db").await?;
    arena
        .stateful_set("db", 2)
        .create()
        .await?
        .wait_ready(2)
        .await?;
    let account = arena.account("app").await?;
    let cluster = arena.discovery_as(&account, hasty())?;
    let caller = Caller::fail_fast(&cluster, &arena.full("db:http"))?;
    let view = caller
        .until("a refusal", |view| failure(view).is_some())
        .await?;
    assert_eq!(
        failure(&view).map(|(kind, _)| kind),
        Some(SourceErrorKind::Forbidden)
    );

    let error = expect_error(caller.get().await)?;
    let said = error.to_string();
    let (refusal, manifest) = said
        .split_once('\n')
        .ok_or_else(|| Failure::new(format_args!("no manifest: {said}")))?;
    let namespace = format!("`{}`", arena.namespace());
    for part in ["may not list endpointslices", &account.user(), &namespace] {
        assert!(refusal.contains(part), "no {part} in: {refusal}");
    }
    arena.grant(manifest).await?;
    let view = caller.until_pods(&["db-0", "db-1"]).await?;
    assert!(matches!(view.freshness(), Freshness::Live), "{view:?}");
    caller.get().await?;
    Ok(())
}

/// An account that may see Services and slices, and no Nodes, is told of that where Nodes are wanted, and gets
/// the manifest that grants it.
pub async fn a_refusal_to_show_nodes_prints_the_role_that_mends_it(arena: &Arena) -> Result {
    arena
        .service("db")
        .port("http", 8080)
        .node_port()
        .create()
        .await?;
    let account = arena.account("app").await?;
    let role = ROLE.replace(
        "namespace: default # of the Service",
        &format!("namespace: {}", arena.namespace()),
    );
    arena.grant(&with_subject(&role, &account)).await?;
    let cluster = arena.discovery_as(&account, hasty())?;
    let caller = Caller::by(&cluster, &arena.full("db:http"), Reach::Nodes)?;
    let refused =
        |view: &View| failure(view).is_some_and(|(kind, _)| kind == SourceErrorKind::Forbidden);
    let view = caller.until("a refusal", refused).await?;
    let said = failure(&view).map(|(_, said)| said).unwrap_or_default();
    let (refusal, manifest) = said
        .split_once('\n')
        .ok_or_else(|| Failure::new(format_args!("no manifest: {said}")))?;
    for part in ["may not watch nodes", &account.user()] {
        assert!(refusal.contains(part), "no {part} in: {refusal}");
    }
    arena.grant(manifest).await?;
    let all = |view: &View| view.endpoints().len() == 3;
    let view = caller.until("all nodes", all).await?;
    assert!(matches!(view.freshness(), Freshness::Live), "{view:?}");
    Ok(())
}

/// The Role of `portolan-kube` is enough for everything: a Service, its slices, their changes.
pub async fn the_minimal_role_is_enough(arena: &Arena) -> Result {
    let account = arena.account("app").await?;
    let role = ROLE.replace(
        "namespace: default # of the Service",
        &format!("namespace: {}", arena.namespace()),
    );
    arena.grant(&with_subject(&role, &account)).await?;
    expect_enough(arena, &account).await
}

/// So is the ClusterRole.
pub async fn the_cluster_role_is_enough(arena: &Arena) -> Result {
    let account = arena.account("app").await?;
    arena.grant(&with_subject(CLUSTER_ROLE, &account)).await?;
    expect_enough(arena, &account).await
}

pub(super) fn with_subject(role: &str, account: &Account) -> String {
    role.replace(
        "name: default # who asks",
        &format!("name: {}", account.name()),
    )
    .replace(
        "namespace: default # of who asks",
        &format!("namespace: {}", account.namespace()),
    )
}

async fn expect_enough(arena: &Arena, account: &Account) -> Result {
    let service = arena
        .service("db")
        .headless()
        .port_to("http", 80, "http")
        .create()
        .await?;
    let set = arena.stateful_set("db", 1).create().await?;
    let cluster = arena.discovery_as(account, hasty())?;
    // By number: that takes the Service itself, too.
    let caller = Caller::new(&cluster, &arena.full("db:80"))?;
    caller.until_pods(&["db-0"]).await?;
    set.scale(2).await?;
    caller.until_pods(&["db-0", "db-1"]).await?;
    caller.get().await?;
    service.delete().await?;
    caller
        .until("absent", |view| {
            matches!(view.freshness(), Freshness::Absent)
        })
        .await?;
    Ok(())
}

/// A token that is not accepted any more is said to be so; the last good Pods serve on; a new token
/// is enough to go on.
pub async fn an_expired_token(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena.stateful_set("db", 1).create().await?;
    set.wait_ready(1).await?;
    let account = arena.account("app").await?;
    let role = ROLE.replace(
        "namespace: default # of the Service",
        &format!("namespace: {}", arena.namespace()),
    );
    arena.grant(&with_subject(&role, &account)).await?;
    let cluster = arena.discovery_as(&account, hasty())?;
    let caller = Caller::new(&cluster, &arena.full("db:http"))?;
    caller.until_pods(&["db-0"]).await?;
    let load = Load::start(&caller, 50);

    arena.revoke(&account).await?;
    // The open watches go on until they end.
    let unauthenticated = |view: &View| {
        failure(view).is_some_and(|(kind, _)| kind == SourceErrorKind::Unauthenticated)
    };
    let view = caller
        .until("the token is not accepted", unauthenticated)
        .await?;
    let said = failure(&view).map(|(_, said)| said).unwrap_or_default();
    assert!(said.contains("token"), "{said}");
    assert_eq!(view.endpoints().len(), 1, "the last good set stays");

    set.scale(2).await?;
    set.wait_ready(2).await?;
    arena.renew(&account).await?;
    // Of the two watches, that of the slices may be let in again first.
    let all_is_well = |view: &View| {
        names(view) == ["db-0", "db-1"] && matches!(view.freshness(), Freshness::Live)
    };
    caller.until("all is well again", all_is_well).await?;
    load.until_answered_by(2, 20).await?;
    load.stop().await?.expect_no_failure()
}

fn failure(view: &View) -> Option<(SourceErrorKind, String)> {
    match view.freshness() {
        Freshness::Stale { error, .. } => Some((error.kind(), error.to_string())),
        _ => None,
    }
}
