//! Discovery by DNS alone: what it finds of each kind of Service. On the real cluster this is CoreDNS.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use hickory_proto::rr::RecordType;
use portolan::{
    Candidate, Cluster, Endpoint, View,
    dns::{DnsOptions, IpFamilies},
};
use portolan_test::{PodHandle, ServiceHandle, Workload};

use super::expect_error;
use crate::{
    arena::{Arena, eventually},
    caller::{Caller, names},
    failure::{Failure, Result},
    load::Load,
    packets,
};

/// What Portolan says that it takes over UDP.
pub(super) const PAYLOAD: u16 = 1232;
/// For what CoreDNS knows as soon as its watches tell it. These may have broken with the API server, in the
/// scenario before, and then come back in their own time.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Looks five times a second, whatever the TTL: for stories that are not about when to look.
pub(super) fn hasty() -> DnsOptions {
    let often = Duration::from_millis(200);
    DnsOptions::default().refresh_between(often, often)
}

/// A client by DNS alone.
pub(super) async fn caller(arena: &Arena, service: &str, options: DnsOptions) -> Result<Caller> {
    let dns = arena.dns().await?.with_options(options)?;
    Caller::new(&Cluster::from(dns), &arena.full(service))
}

/// The complete name of something of this namespace in DNS.
pub(super) fn name(arena: &Arena, service: &str) -> String {
    format!("{service}.{}.svc.cluster.local.", arena.namespace())
}

/// Waits until DNS gives so many addresses for a Service. Its server has watches of its own, and may know
/// of a change sooner or later than anybody else.
pub(super) async fn until_addresses(arena: &Arena, service: &str, count: usize) -> Result {
    let (server, name) = (arena.nameserver().await?, name(arena, service));
    eventually("DNS knows", PATIENCE, async || {
        let answer = packets::ask(server, &name, RecordType::A, PAYLOAD).await?;
        match answer.answers.len() == count {
            true => Ok(()),
            false => Err(Failure::new(format_args!("{:?}", answer.answers))),
        }
    })
    .await
}

/// The Pods of a StatefulSet behind a headless Service, both named `db`, on a port `http`.
pub(super) async fn headless(arena: &Arena, replicas: u32) -> Result<(ServiceHandle, Workload)> {
    let service = arena.service("db").headless().port("http", 8080);
    let service = service.create().await?;
    let set = arena.stateful_set("db", replicas).parallel();
    let set = set.create().await?;
    set.wait_ready(replicas).await?;
    Ok((service, set))
}

/// The SRV records of a named port say of each Pod of a StatefulSet what the API says: its name, its
/// ordinal, its address and port. To ask takes no right, and the API server is not asked.
pub async fn pods_by_name_are_those_of_the_api(arena: &Arena) -> Result {
    headless(arena, 3).await?;
    let by_dns = caller(arena, "db:http", hasty()).await?;
    let of_dns = by_dns.until_pods(&["db-0", "db-1", "db-2"]).await?;
    let load = Load::start(&by_dns, 300);
    load.until_answered_by(3, 300).await?;
    let record = load.stop().await?;
    record.expect_no_failure()?;
    record.expect_even(&["db-0", "db-1", "db-2"])?;
    let asked = arena.questions();
    assert_eq!(asked.lists("services") + asked.lists("endpointslices"), 0);

    let by_api = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    let of_api = by_api.until_pods(&["db-0", "db-1", "db-2"]).await?;
    assert_eq!(told(&of_dns), told(&of_api));
    for (place, one) in of_dns.endpoints().iter().enumerate() {
        let pod = arena.pod(one.endpoint.placement().as_str())?;
        assert_eq!(one.endpoint.address(), pod.address());
        assert_eq!(one.endpoint.ordinal(), u32::try_from(place).ok());
        assert_eq!(one.endpoint.uid(), None, "DNS knows none");
    }
    Ok(())
}

/// The name, ordinal and address of each endpoint.
fn told(view: &View) -> Vec<(String, Option<u32>, SocketAddr)> {
    let all = view.endpoints().iter().map(|one| &one.endpoint);
    all.map(|one| {
        let name = one.placement().to_string();
        (name, one.ordinal(), one.address())
    })
    .collect()
}

/// By number, A records are all there is: each Pod goes by its address.
pub async fn pods_by_number_are_their_addresses(arena: &Arena) -> Result {
    headless(arena, 3).await?;
    let caller = caller(arena, "db:8080", hasty()).await?;
    let view = caller
        .until("three addresses", |view| view.endpoints().len() == 3)
        .await?;
    let ips: BTreeSet<String> = arena
        .pods()
        .iter()
        .map(|pod| pod.ip().to_string())
        .collect();
    let found: BTreeSet<String> = names(&view).into_iter().map(str::to_owned).collect();
    assert_eq!(found, ips);
    let load = Load::start(&caller, 200);
    load.until_answered_by(3, 60).await?;
    load.stop().await?.expect_no_failure()
}

/// Pods of a Deployment have no names of their own in DNS. The port that a name stands for is the Pods', and
/// not the one that the Service calls so.
pub async fn pods_of_a_deployment_go_by_their_addresses(arena: &Arena) -> Result {
    let service = arena.service("web").headless();
    service.port_to("http", 80, "http").create().await?;
    let deployment = arena.deployment("web", 2).create().await?;
    deployment.wait_ready(2).await?;
    let caller = caller(arena, "web:http", hasty()).await?;
    let view = caller
        .until("two Pods", |view| view.endpoints().len() == 2)
        .await?;
    let pods: BTreeSet<_> = arena.pods().iter().map(PodHandle::address).collect();
    let found = view.endpoints().iter().map(|one| one.endpoint.address());
    assert_eq!(found.collect::<BTreeSet<_>>(), pods);
    let by_address = |one: &Candidate| {
        one.endpoint.placement().as_str() == one.endpoint.address().ip().to_string()
    };
    assert!(view.endpoints().iter().all(by_address), "{view:?}");
    caller.get().await?;
    Ok(())
}

/// Of a Pod that has a name of its own, both addresses are known, the preferred one first.
pub async fn pods_with_two_addresses_in_dns(arena: &Arena) -> Result {
    if !arena.is_dual_stack() {
        arena.note("(skipped: Pods have no IPv6 addresses here)");
        return Ok(());
    }
    let service = arena.service("db").headless().port("http", 8080);
    let dual = service.with(&["spec", "ipFamilyPolicy"], "PreferDualStack");
    dual.create().await?;
    let set = arena.stateful_set("db", 2).create().await?;
    set.wait_ready(2).await?;
    let by_api = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    let whole = |view: &View| {
        let mut all = view.endpoints().iter();
        view.endpoints().len() == 2 && all.all(|one| one.endpoint.alternate().is_some())
    };
    let of_api = by_api.until("both addresses", whole).await?;
    for (families, v4_first) in [(IpFamilies::PreferV4, true), (IpFamilies::PreferV6, false)] {
        let dns = arena.dns().await?.with_options(hasty())?;
        let cluster = Cluster::from(dns.with_ip_families(families));
        let by_dns = Caller::new(&cluster, &arena.full("db:http"))?;
        let of_dns = by_dns.until("both addresses", whole).await?;
        for (one, other) in of_dns.endpoints().iter().zip(of_api.endpoints()) {
            let (one, other) = (&one.endpoint, &other.endpoint);
            assert_eq!(one.placement(), other.placement());
            assert_eq!(one.address().is_ipv4(), v4_first);
            let both = |endpoint: &Endpoint| {
                [Some(endpoint.address()), endpoint.alternate()]
                    .into_iter()
                    .collect::<BTreeSet<_>>()
            };
            assert_eq!(both(one), both(other));
        }
        by_dns.get().await?;
    }
    Ok(())
}

/// Pods that are not ready are in DNS where their Service publishes them.
pub async fn published_though_not_ready_in_dns(arena: &Arena) -> Result {
    let service = arena.service("db").headless().port("http", 8080);
    service.publish_not_ready().create().await?;
    let set = arena.stateful_set("db", 2).parallel();
    set.annotation("portolan.test/ready", "false")
        .create()
        .await?;
    let caller = caller(arena, "db:http", hasty()).await?;
    caller.until_pods(&["db-0", "db-1"]).await?;
    let load = Load::start(&caller, 200);
    load.until_answered_by(2, 40).await?;
    load.stop().await?.expect_no_failure()
}

/// An ExternalName that names another Service: the API says what it stands for, and the cluster's DNS where
/// that is, and both are followed. DNS alone finds it, too.
pub async fn an_alias_of_a_service(arena: &Arena) -> Result {
    headless(arena, 2).await?;
    let target = name(arena, "db");
    let alias = arena
        .service("alias")
        .external_name(target.trim_end_matches('.'));
    alias.create().await?;
    let dns = arena.dns().await?.with_options(hasty())?;
    let both = arena.discovery_of(|cluster| cluster.with_host_resolver(dns))?;
    let by_api = Caller::new(&both, &arena.full("alias:8080"))?;
    let by_dns = caller(arena, "alias:8080", hasty()).await?;
    for caller in [&by_api, &by_dns] {
        caller
            .until("both Pods", |view| view.endpoints().len() == 2)
            .await?;
        let load = Load::start(caller, 200);
        load.until_answered_by(2, 40).await?;
        load.stop().await?.expect_no_failure()?;
    }
    // An alias has no ports, so there is none to be named.
    let error = expect_error(caller(arena, "alias:http", hasty()).await?.get().await)?;
    assert!(error.to_string().contains("no port `http`"), "{error}");
    let unready = arena.pod("db-1")?;
    unready.set_ready(false);
    for caller in [&by_api, &by_dns] {
        caller
            .until("one of them", |view| view.endpoints().len() == 1)
            .await?;
        assert_eq!(caller.get().await?.pod, "db-0");
    }
    Ok(())
}
