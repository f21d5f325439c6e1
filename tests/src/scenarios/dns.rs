//! What DNS says of a Service, and what becomes of it. On the real cluster this is CoreDNS.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_proto::{
    op::ResponseCode,
    rr::{RData, RecordType},
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, api::PostParams};
use portolan::{Cluster, Freshness, SourceErrorKind, View, dns::DnsOptions};
use portolan_test::{PodHandle, ServiceHandle, Workload};
use serde_json::{Value, json};

use super::expect_error;
use crate::{
    arena::{Arena, eventually},
    caller::{Caller, names},
    failure::{Failure, Result},
    load::Load,
    packets,
};

/// What Portolan says that it takes over UDP.
const PAYLOAD: u16 = 1232;
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

/// What is asked, and the code and number of records that must be answered.
type Expected<'a> = (&'a str, RecordType, ResponseCode, usize);

/// Which names exist, which have no records of a type, and which do not exist: both servers say the same.
pub async fn answers_are_those_of_coredns(arena: &Arena) -> Result {
    use RecordType::{A, AAAA, SRV, TXT};
    use ResponseCode::{NXDomain, NoError};
    headless(arena, 2).await?;
    let unready = arena.stateful_set("unready", 1).service_name("unready");
    let unready = unready.annotation("portolan.test/ready", "false");
    let portless = || arena.service("portless").headless().selecting("db");
    for service in [
        arena.service("unready").headless().port("http", 8080),
        arena.service("empty").headless().port("http", 8080),
        arena.service("web").port("http", 80).selecting("nobody"),
        arena
            .service("alias")
            .external_name(name(arena, "db").trim_end_matches('.')),
        portless(),
    ] {
        service.create().await?;
    }
    unready.create().await?;
    until_addresses(arena, "db", 2).await?;
    until_addresses(arena, "portless", 2).await?;
    until_addresses(arena, "web", 1).await?;
    eventually("the unready Pod runs", PATIENCE, async || {
        arena.pod("unready-0")
    })
    .await?;

    let expected: [Expected<'_>; 26] = [
        ("db", A, NoError, 2),
        ("db", AAAA, NoError, 0),
        ("db", TXT, NoError, 0),
        ("db", SRV, NoError, 2),
        ("_http._tcp.db", SRV, NoError, 2),
        ("_HTTP._TCP.DB", SRV, NoError, 2),
        ("_http._udp.db", SRV, NXDomain, 0),
        ("_grpc._tcp.db", SRV, NXDomain, 0),
        ("_http._tcp.db", A, NoError, 2),
        ("db-0.db", A, NoError, 1),
        ("db-2.db", A, NXDomain, 0),
        ("none", A, NXDomain, 0),
        ("_http._tcp.none", SRV, NXDomain, 0),
        // Headless Services without a ready Pod do not exist, as the specification has it.
        ("unready", A, NXDomain, 0),
        ("_http._tcp.unready", SRV, NXDomain, 0),
        ("unready-0.unready", A, NXDomain, 0),
        ("empty", A, NXDomain, 0),
        ("empty", AAAA, NXDomain, 0),
        ("_http._tcp.empty", SRV, NXDomain, 0),
        // A virtual IP is there, whoever is behind it.
        ("web", A, NoError, 1),
        ("_http._tcp.web", SRV, NoError, 1),
        // Nobody knows a port of these, and yet the names exist.
        ("portless", SRV, NoError, 0),
        ("_http._tcp.portless", SRV, NXDomain, 0),
        // The alias and the two addresses to which it leads.
        ("alias", A, NoError, 3),
        ("alias", SRV, NoError, 0),
        ("_http._tcp.alias", SRV, NXDomain, 0),
    ];
    let server = arena.nameserver().await?;
    let mut wrong = Vec::new();
    for (label, kind, code, count) in expected {
        let answer = packets::ask(server, &name(arena, label), kind, PAYLOAD).await?;
        let (said, records) = (answer.response_code, &answer.answers);
        if (said, records.len()) != (code, count) {
            wrong.push(format!("{kind} {label}: {said:?}, {records:?}"));
        }
        let soa = answer.authorities.iter();
        let denied = soa.filter(|record| matches!(record.data, RData::SOA(_)));
        if count == 0 && denied.count() != 1 {
            wrong.push(format!(
                "{kind} {label}: for how long? {:?}",
                answer.authorities
            ));
        }
        if let Some(record) = records.iter().find(|record| record.ttl != 5) {
            wrong.push(format!("{kind} {label}: {record:?}"));
        }
    }
    assert_eq!(wrong, [""; 0]);

    let answer = packets::ask(server, &name(arena, "_http._tcp.db"), SRV, PAYLOAD).await?;
    let glue: BTreeSet<IpAddr> = answer
        .additionals
        .iter()
        .filter_map(|r| r.data.ip_addr())
        .collect();
    let pods = arena.pods();
    let ready = pods.iter().filter(|pod| pod.name().starts_with("db-"));
    assert_eq!(
        glue,
        ready.map(PodHandle::ip).collect(),
        "addresses come along"
    );
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

/// A thousand addresses do not fit into a packet, which says so, and come whole by TCP. With a name for each
/// they do not fit into anything, and that is told.
pub async fn a_thousand_addresses(arena: &Arena) -> Result {
    let service = arena.service("db").headless().without_selector();
    service.port("http", 8080).create().await?;
    let slices: Api<EndpointSlice> = Api::namespaced(arena.client(), arena.namespace());
    for number in 0..10 {
        let slice = serde_json::from_value(slice_of_a_hundred(number))?;
        slices.create(&PostParams::default(), &slice).await?;
    }
    let (server, service) = (arena.nameserver().await?, name(arena, "db"));
    let in_a_packet = eventually("a packet is full", PATIENCE, async || {
        let answer = packets::ask(server, &service, RecordType::A, PAYLOAD).await?;
        match answer.truncation {
            true => Ok(answer.answers.len()),
            false => Err(Failure::new(answer.answers.len())),
        }
    })
    .await?;
    let options = || hasty().query_timeout(Duration::from_secs(10));
    let by_number = caller(arena, "db:8080", options()).await?;
    by_number
        .until("all of them", |view| view.endpoints().len() == 1_000)
        .await?;
    let by_name = caller(arena, "db:http", options()).await?;
    let refused = |view: &View| match view.freshness() {
        Freshness::Stale { error, .. } => error.kind() == SourceErrorKind::Invalid,
        _ => false,
    };
    let view = by_name.until("it is too long", refused).await?;
    assert!(view.endpoints().is_empty(), "a part of a list is none");
    arena.note(format_args!(
        "{in_a_packet} of 1,000 addresses in a packet of {PAYLOAD} bytes"
    ));
    Ok(())
}

fn slice_of_a_hundred(number: u32) -> Value {
    let endpoints: Vec<_> = (0..100)
        .map(|place| json!({"addresses": [format!("10.244.{}.{}", 200 + number, place + 1)]}))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("db-{number}"), "labels": {"kubernetes.io/service-name": "db"},
        },
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
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
