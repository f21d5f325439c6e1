//! DNS fails, or stands in for the API while that does.

use std::time::Duration;

use portolan::{
    Cluster, Freshness, View,
    source::{self, FirstOf},
};
use portolan_kube::WatchOptions;
use portolan_test::PodHandle;

use super::dns::{caller, hasty, headless, until_addresses};
use crate::{arena::Arena, caller::Caller, failure::Result, load::Load};

const ALL: [&str; 3] = ["db-0", "db-1", "db-2"];

fn is_stale(view: &View) -> bool {
    matches!(view.freshness(), Freshness::Stale { .. })
}

fn is_live(view: &View) -> bool {
    matches!(view.freshness(), Freshness::Live)
}

/// The DNS server falls silent. That is told, the last good list serves, even as Pods fail; when the server
/// speaks again, it is believed.
pub async fn dns_falls_silent(arena: &Arena) -> Result {
    without_dns(arena, Arena::pause_dns, Arena::resume_dns).await
}

/// The same of a DNS server that is ended as by a crash, and started again.
pub async fn dns_is_killed(arena: &Arena) -> Result {
    without_dns(arena, Arena::stop_dns, Arena::start_dns).await
}

async fn without_dns(
    arena: &Arena,
    fail: impl AsyncFn(&Arena) -> Result,
    recover: impl AsyncFn(&Arena) -> Result,
) -> Result {
    headless(arena, 3).await?;
    let often = Duration::from_millis(200);
    let options = hasty().query_timeout(often).backoff(often, often);
    let caller = caller(arena, "db:http", options).await?;
    caller.until_pods(&ALL).await?;
    let load = Load::start(&caller, 100);
    load.until_answered_by(3, 20).await?;

    fail(arena).await?;
    let view = caller.until("discovery fails", is_stale).await?;
    assert_eq!(view.endpoints().len(), 3, "the last good list stays");
    let sent = load.sent();
    arena.pod("db-1")?.kill();
    load.until_answered_by(3, sent + 100).await?;
    recover(arena).await?;

    let is_whole = |view: &View| is_live(view) && view.endpoints().len() == 3;
    caller.until("live again", is_whole).await?;
    load.stop().await?.expect_no_failure()
}

/// The API first, DNS while it fails; both in a hurry.
///
/// # Errors
/// What the cluster says.
pub async fn both(arena: &Arena) -> Result<FirstOf> {
    let soon = Duration::from_millis(500);
    let options = WatchOptions::default()
        .idle_timeout(Duration::from_secs(3))
        .backoff(Duration::from_millis(100), soon);
    let dns = arena.dns().await?.with_options(hasty())?;
    let both = source::first_of(arena.kube(options)?, dns);
    Ok(both.grace(soon).settle(soon))
}

/// The client is cut off from the API server while all Pods restart. New ones are found by DNS, and when the
/// API is back, those that it knows are the same to it: no connection is lost.
pub async fn a_rolling_restart_that_the_api_cannot_tell_of(arena: &Arena) -> Result {
    let service = arena.service("db").headless().port("http", 8080);
    service.create().await?;
    let set = arena.stateful_set("db", 3).create().await?;
    set.wait_ready(3).await?;
    let cluster = Cluster::from_source(both(arena).await?);
    let caller = Caller::over_http2(&cluster, &arena.full("db:http"))?;
    let before = caller.until_pods(&ALL).await?;
    let load = Load::start(&caller, 100);
    load.until_answered_by(3, 20).await?;

    arena.line().sever();
    set.roll().await?;
    set.wait_ready(3).await?;
    until_addresses(arena, "db", 3).await?;
    load.until_answered_by(6, 100).await?;
    let is_new = |view: &View| {
        let new = |address| {
            let mut old = before.endpoints().iter();
            old.all(|one| one.endpoint.address() != address)
        };
        let endpoints = view.endpoints();
        is_live(view)
            && endpoints.len() == 3
            && endpoints.iter().all(|one| new(one.endpoint.address()))
    };
    let by_dns = caller.until("all are new, by DNS", is_new).await?;
    // All have been connected to; whatever is connected to anew from here on fails.
    arena.pods().iter().for_each(PodHandle::refuse);
    arena.line().mend();

    let knows_uids = |view: &View| {
        let mut endpoints = view.endpoints().iter();
        is_live(view) && endpoints.len() == 3 && endpoints.all(|one| one.endpoint.uid().is_some())
    };
    let by_api = caller.until("the API is back", knows_uids).await?;
    for (one, other) in by_dns.endpoints().iter().zip(by_api.endpoints()) {
        assert_eq!(one.endpoint.placement(), other.endpoint.placement());
        assert_eq!(one.endpoint.address(), other.endpoint.address());
    }
    let sent = load.sent();
    load.until_answered_by(6, sent + 100).await?;
    caller.until_pods(&ALL).await?;
    load.stop().await?.expect_no_failure()
}

/// The API server itself is down, and with it what DNS learns. What DNS knew serves, by the same
/// incarnations before, meanwhile and afterwards.
pub async fn the_api_server_is_stopped(arena: &Arena) -> Result {
    headless(arena, 3).await?;
    until_addresses(arena, "db", 3).await?;
    let cluster = Cluster::from_source(both(arena).await?);
    let caller = Caller::over_http2(&cluster, &arena.full("db:http"))?;
    let before = caller.until_pods(&ALL).await?;
    let load = Load::start(&caller, 100);
    load.until_answered_by(3, 20).await?;
    // All have been connected to; whatever is connected to anew from here on fails.
    arena.pods().iter().for_each(PodHandle::refuse);

    arena.stop_api().await?;
    caller.until("the API fails", is_stale).await?;
    let view = caller.until("by DNS", is_live).await?;
    assert_eq!(incarnations(&view), incarnations(&before));
    let sent = load.sent();
    load.until_answered_by(3, sent + 50).await?;
    arena.start_api().await?;

    let sent = load.sent();
    load.until_answered_by(3, sent + 200).await?;
    let view = caller.until("live", is_live).await?;
    assert_eq!(incarnations(&view), incarnations(&before));
    caller.until_pods(&ALL).await?;
    load.stop().await?.expect_no_failure()
}

fn incarnations(view: &View) -> Vec<String> {
    let all = view.endpoints().iter();
    all.map(|one| format!("{:?}", one.endpoint.incarnation()))
        .collect()
}
