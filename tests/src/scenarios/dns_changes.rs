//! Changes of a Service, followed by DNS alone.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::DeleteParams};
use portolan::{Cluster, ErrorKind, Freshness, View, dns::DnsOptions};
use tokio::time::Instant;

use super::{
    dns::{PATIENCE, caller, hasty, headless, until_addresses},
    expect_error,
};
use crate::{
    arena::{Arena, eventually},
    caller::{Caller, names},
    failure::{Failure, Result},
    load::Load,
};

/// CoreDNS's own, and what a client may add to it by chance.
const TTL: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_secs(6);
/// Two busy cores.
const SLACK: Duration = Duration::from_secs(2);

fn is_absent(view: &View) -> bool {
    matches!(view.freshness(), Freshness::Absent)
}

/// More Pods and fewer: both are known as soon as the former answer has expired, and no request fails.
pub async fn scaling_is_followed_within_the_ttl(arena: &Arena) -> Result {
    let (_, set) = headless(arena, 2).await?;
    let caller = caller(arena, "db:http", DnsOptions::default()).await?;
    caller.until_pods(&["db-0", "db-1"]).await?;
    let load = Load::start(&caller, 50);
    load.until_answered_by(2, 20).await?;

    for (replicas, pods) in [
        (4_u32, &["db-0", "db-1", "db-2", "db-3"][..]),
        (1, &["db-0"]),
    ] {
        set.scale(replicas).await?;
        until_addresses(arena, "db", pods.len()).await?;
        let known = Instant::now();
        caller.until_pods(pods).await?;
        let late = known.elapsed();
        assert!(late <= LATEST + SLACK, "{late:?} after DNS knew");
        arena.note(format_args!(
            "{replicas} Pods known {} ms after DNS",
            late.as_millis()
        ));
    }
    load.stop().await?.expect_no_failure()
}

/// A headless Service whose Pods are all gone does not exist any more, to DNS; when they are back, it does.
pub async fn to_zero_and_back_in_dns(arena: &Arena) -> Result {
    let (_, set) = headless(arena, 2).await?;
    let by_name = caller(arena, "db:http", hasty()).await?;
    let by_number = caller(arena, "db:8080", hasty()).await?;
    by_name.until_pods(&["db-0", "db-1"]).await?;

    set.scale(0).await?;
    for caller in [&by_name, &by_number] {
        let view = caller.until("absent", is_absent).await?;
        assert_eq!(names(&view), [""; 0]);
    }
    // The virtual IP of another Service is there all the same, whoever is behind it.
    arena.service("web").port("http", 80).create().await?;
    let virtual_ip = caller(arena, "web:http", hasty()).await?;
    virtual_ip
        .until("the virtual IP", |view| view.endpoints().len() == 1)
        .await?;
    set.scale(2).await?;
    by_name.until_pods(&["db-0", "db-1"]).await?;
    by_number
        .until("both addresses", |view| view.endpoints().len() == 2)
        .await?;
    by_name.get().await?;
    by_number.get().await?;
    Ok(())
}

/// A Service that is deleted is told to be so, by an error; made again, it is used.
pub async fn deleted_and_made_again_in_dns(arena: &Arena) -> Result {
    let (service, _) = headless(arena, 2).await?;
    let patient = caller(arena, "db:http", hasty()).await?;
    patient.until_pods(&["db-0", "db-1"]).await?;
    service.delete().await?;
    let view = patient.until("absent", is_absent).await?;
    assert_eq!(names(&view), [""; 0]);
    let cluster = Cluster::from(arena.dns().await?.with_options(hasty())?);
    let error = expect_error(
        Caller::fail_fast(&cluster, &arena.full("db:http"))?
            .get()
            .await,
    )?;
    assert!(
        matches!(error.kind(), ErrorKind::NotFound { .. }),
        "{error}"
    );

    let service = arena.service("db").headless().port("http", 8080);
    service.create().await?;
    let view = patient.until_pods(&["db-0", "db-1"]).await?;
    assert!(matches!(view.freshness(), Freshness::Live), "{view:?}");
    patient.get().await?;
    Ok(())
}

/// All Pods are replaced one after the other, by others at other addresses, and no request fails, though
/// DNS is asked by its TTL only, and when connections fail.
pub async fn a_rolling_restart_by_dns_alone(arena: &Arena) -> Result {
    let service = arena.service("db").headless().port("http", 8080);
    service.create().await?;
    let set = arena.stateful_set("db", 3).create().await?;
    set.wait_ready(3).await?;
    let caller = caller(arena, "db:http", DnsOptions::default()).await?;
    caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
    let load = Load::start(&caller, 200);
    load.until_answered_by(3, 20).await?;

    set.roll().await?;
    set.wait_ready(3).await?;
    until_addresses(arena, "db", 3).await?;
    let ready = Instant::now();
    load.until_answered_by(6, 100).await?;
    let found = ready.elapsed();
    assert!(found <= LATEST + SLACK, "all of them after {found:?}");
    let record = load.stop().await?;
    record.expect_no_failure()?;
    assert_eq!(record.incarnations(), 6, "three old Pods, three new ones");
    Ok(())
}

/// A Pod that is replaced is missed by a connection that fails. Then DNS is asked at once, though its
/// answer would have held for an hour.
pub async fn a_pod_replaced_is_found_by_suspicion(arena: &Arena) -> Result {
    let hour = Duration::from_secs(3_600);
    let options = DnsOptions::default().refresh_between(hour, hour);
    headless(arena, 2).await?;
    // What it is told first is what it goes by.
    until_addresses(arena, "db", 2).await?;
    let caller = caller(arena, "db:http", options).await?;
    let before = caller.until_pods(&["db-0", "db-1"]).await?;
    let load = Load::start(&caller, 100);
    load.until_answered_by(2, 20).await?;

    let gone = arena.pod("db-1")?;
    let pods: Api<Pod> = Api::namespaced(arena.client(), arena.namespace());
    pods.delete("db-1", &DeleteParams::default()).await?;
    eventually("another Pod of that name", PATIENCE, async || {
        match arena.pod("db-1")?.uid() == gone.uid() {
            true => Err(Failure::new("the old one runs")),
            false => Ok(()),
        }
    })
    .await?;
    until_addresses(arena, "db", 2).await?;
    let known = Instant::now();
    let old: Vec<_> = before
        .endpoints()
        .iter()
        .map(|one| one.endpoint.address())
        .collect();
    let is_new = |view: &View| {
        view.endpoints().len() == 2
            && view
                .endpoints()
                .iter()
                .any(|one| !old.contains(&one.endpoint.address()))
    };
    caller.until("the new Pod", is_new).await?;
    let late = known.elapsed();
    assert!(
        late < TTL,
        "{late:?} after DNS knew, with a limit of one query a second"
    );
    arena.note(format_args!(
        "the new Pod known {} ms after DNS",
        late.as_millis()
    ));
    load.until_answered_by(3, 60).await?;
    load.stop().await?.expect_no_failure()
}
