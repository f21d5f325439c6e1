//! What the DNS server says, by bare packets. The real one is CoreDNS, the other one does as it does.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use hickory_proto::{
    op::ResponseCode,
    rr::{RData, RecordType},
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, api::PostParams};
use portolan::{Freshness, SourceErrorKind, View};
use portolan_test::PodHandle;
use serde_json::{Value, json};

use super::dns::{PATIENCE, PAYLOAD, caller, hasty, headless, name, until_addresses};
use crate::{
    arena::{Arena, eventually},
    failure::{Failure, Result},
    packets,
};

/// How long CoreDNS has its answers hold, in seconds, if it is not told otherwise.
const TTL: u32 = 5;

/// What is asked, and the code and number of records that must be answered.
type Expected<'a> = (&'a str, RecordType, ResponseCode, usize);

/// Which names exist, which have no records of a type, and which do not exist: both servers say the same.
pub async fn names_have_records_or_none_or_do_not_exist(arena: &Arena) -> Result {
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
    let six = arena.service("six").headless().without_selector();
    let six = six.with(&["spec", "ipFamilies"], json!(["IPv6"]));
    six.port("http", 8080).create().await?;
    let slices: Api<EndpointSlice> = Api::namespaced(arena.client(), arena.namespace());
    let endpoints = json!([{"addresses": ["fd00:10:244::"]}]);
    let slice = serde_json::from_value(slice("six", 0, "IPv6", endpoints))?;
    slices.create(&PostParams::default(), &slice).await?;
    unready.create().await?;
    until_addresses(arena, "db", 2).await?;
    until_addresses(arena, "portless", 2).await?;
    until_addresses(arena, "web", 1).await?;
    eventually("the unready Pod runs", PATIENCE, async || {
        arena.pod("unready-0")
    })
    .await?;

    let expected: [Expected<'_>; 29] = [
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
        // A name ends in no hyphen.
        ("six", AAAA, NoError, 1),
        ("six", A, NoError, 0),
        ("fd00-10-244--0.six", AAAA, NoError, 1),
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
        // For how long to believe that there is nothing (RFC 2308).
        let holds = answer
            .authorities
            .iter()
            .find_map(|record| match &record.data {
                RData::SOA(soa) => Some((record.ttl, soa.minimum)),
                _ => None,
            });
        if count == 0 && holds != Some((TTL, TTL)) {
            wrong.push(format!("{kind} {label}: {:?}", answer.authorities));
        }
        if let Some(record) = records.iter().find(|record| record.ttl != TTL) {
            wrong.push(format!("{kind} {label}: {record:?}"));
        }
    }
    assert_eq!(wrong, [""; 0]);

    let answer = packets::ask(server, &name(arena, "_http._tcp.db"), SRV, PAYLOAD).await?;
    let said: BTreeSet<_> = answer
        .answers
        .iter()
        .map(|record| record.data.to_string())
        .collect();
    // Priority, weight, port, target.
    let line = |pod| format!("0 50 8080 {}", name(arena, &format!("{pod}.db")));
    assert_eq!(said, ["db-0", "db-1"].map(line).into());
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

/// A thousand addresses do not fit into a packet, which says so, and come whole by TCP. With a name for each
/// they do not fit into anything, and that is told.
pub async fn a_thousand_addresses(arena: &Arena) -> Result {
    let service = arena.service("db").headless().without_selector();
    service.port("http", 8080).create().await?;
    let slices: Api<EndpointSlice> = Api::namespaced(arena.client(), arena.namespace());
    for number in 0..10 {
        let endpoint = |place| json!({"addresses": [format!("10.244.{}.{place}", 200 + number)]});
        let endpoints: Value = (1..=100).map(endpoint).collect();
        let slice = serde_json::from_value(slice("db", number, "IPv4", endpoints))?;
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

fn slice(service: &str, number: u32, kind: &str, endpoints: Value) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-{number}"),
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": kind, "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}
