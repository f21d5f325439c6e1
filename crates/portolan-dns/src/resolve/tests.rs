//! What is asked, and what is made of the answers.

use std::time::Duration;

use portolan_core::EndpointSet;
use proptest::prelude::*;

use super::*;
use crate::fake::{FakeDns, address, alias, nothing, record, reply, srv};

const DB: &str = "db.shop.svc.cluster.local";
const PORT: &str = "_http._tcp.db.shop.svc.cluster.local";

fn below(label: &str) -> String {
    format!("{label}.{DB}")
}

struct Asked {
    result: Result<Resolved, SourceError>,
    queries: Vec<String>,
}

impl Asked {
    fn resolved(self) -> Resolved {
        self.result.unwrap()
    }

    /// `db-0 10.0.0.1:80` of each endpoint, in order.
    fn endpoints(self) -> Vec<String> {
        let endpoints = self.resolved().endpoints.expect("the Service is there");
        let set: EndpointSet = endpoints.into_iter().collect();
        set.iter()
            .map(|one| format!("{} {}", one.placement(), one.address()))
            .collect()
    }

    fn error(self) -> SourceError {
        self.result.unwrap_err()
    }
}

async fn ask_with(dns: &Arc<FakeDns>, text: &str, reading: Reading) -> Asked {
    dns.take_asked();
    let service: ServiceRef = text.parse().unwrap();
    let name = names::service(&service, None, &names::domain("cluster.local").unwrap()).unwrap();
    let question = Question::Service { service, name };
    let resolver = Resolver {
        asker: Arc::clone(dns),
        reading,
    };
    let resolved = resolver.resolve(&question).await;
    let mut queries = dns.take_asked();
    queries.sort();
    Asked {
        result: resolved.and_then(|resolved| resolved.unless_all_rejected(&question)),
        queries,
    }
}

fn reading() -> Reading {
    Reading {
        families: IpFamilies::PreferV4,
        allow_loopback: false,
        max_records: 100,
    }
}

async fn ask(dns: &Arc<FakeDns>, text: &str) -> Asked {
    ask_with(dns, text, reading()).await
}

/// Pods of a StatefulSet, whose addresses come along or do not.
fn stateful_set(dns: &FakeDns, pods: u8, glue: bool) {
    let mut answer = reply(Vec::new());
    for n in 0..pods {
        let pod = below(&format!("db-{n}"));
        let ip = format!("10.0.0.{n}");
        answer
            .answers
            .push(record(PORT, 5, srv(0, 100, 8080, &pod)));
        if glue {
            let along = record(&pod, 5, address(ip.parse().unwrap()));
            answer.additionals.push(along);
        } else {
            dns.set_addresses(&pod, &[&ip]);
        }
    }
    dns.set(PORT, RecordType::SRV, answer);
}

#[tokio::test]
async fn a_port_by_number_asks_for_the_addresses_alone() {
    let dns = Arc::new(FakeDns::default());
    dns.set_addresses(DB, &["10.0.0.2", "10.0.0.1"]);
    let asked = ask(&dns, "db.shop:80").await;
    let expected = [
        "A db.shop.svc.cluster.local.",
        "AAAA db.shop.svc.cluster.local.",
    ];
    assert_eq!(asked.queries, expected);
    assert_eq!(
        asked.endpoints(),
        ["10.0.0.1 10.0.0.1:80", "10.0.0.2 10.0.0.2:80"]
    );
}

#[tokio::test]
async fn a_family_that_is_not_wanted_is_not_asked_for() {
    let dns = Arc::new(FakeDns::default());
    dns.set_addresses(DB, &["10.0.0.1", "fd00::1"]);
    for (families, query, endpoint) in [
        (IpFamilies::V4Only, "A", "10.0.0.1 10.0.0.1:80"),
        (IpFamilies::V6Only, "AAAA", "fd00::1 [fd00::1]:80"),
    ] {
        let reading = Reading {
            families,
            ..reading()
        };
        let asked = ask_with(&dns, "db.shop:80", reading).await;
        assert_eq!(asked.queries, [format!("{query} {DB}.")]);
        assert_eq!(asked.endpoints(), [endpoint]);
    }
}

#[tokio::test]
async fn a_port_by_name_is_one_query_where_the_addresses_come_along() {
    let dns = Arc::new(FakeDns::default());
    stateful_set(&dns, 3, true);
    let asked = ask(&dns, "db.shop:http").await;
    assert_eq!(asked.queries, [format!("SRV {PORT}.")]);
    let resolved = asked.resolved();
    let endpoints = resolved.endpoints.unwrap();
    assert_eq!(endpoints.len(), 3);
    assert_eq!(endpoints[2].placement().as_str(), "db-2");
    assert_eq!(endpoints[2].ordinal(), Some(2));
    assert_eq!(endpoints[2].pod(), Some("db-2"));
    assert_eq!(endpoints[2].weight(), Weight::ONE);
    assert_eq!(endpoints[2].address(), "10.0.0.2:8080".parse().unwrap());
}

#[tokio::test(start_paused = true)]
async fn targets_without_addresses_are_looked_up_some_at_once() {
    let dns = Arc::new(FakeDns::default());
    stateful_set(&dns, 100, false);
    dns.set_delay(Duration::from_millis(1));
    let reading = Reading {
        max_records: 1000,
        ..reading()
    };
    let asked = ask_with(&dns, "db.shop:http", reading).await;
    assert_eq!(asked.queries.len(), 1 + 2 * 100, "each once");
    assert!(asked.endpoints().contains(&"db-7 10.0.0.7:8080".to_owned()));
    let most = dns.most_at_once();
    assert!((AT_ONCE..=2 * AT_ONCE).contains(&most), "{most}");
}

#[tokio::test]
async fn a_pod_that_has_just_left_is_left_out_and_one_that_cannot_be_asked_for_fails_the_whole() {
    let dns = Arc::new(FakeDns::default());
    stateful_set(&dns, 3, false);
    dns.forget(&below("db-1"));
    let left = ask(&dns, "db.shop:http").await;
    assert_eq!(
        left.endpoints(),
        ["db-0 10.0.0.0:8080", "db-2 10.0.0.2:8080"]
    );
    // No address is no name, for this purpose.
    dns.set_addresses(&below("db-1"), &[]);
    assert_eq!(ask(&dns, "db.shop:http").await.endpoints().len(), 2);
    for kind in [RecordType::A, RecordType::AAAA] {
        dns.fail(&below("db-1"), kind, SourceErrorKind::Unavailable);
        let error = ask(&dns, "db.shop:http").await.error();
        assert_eq!(error.kind(), SourceErrorKind::Unavailable);
        dns.set_addresses(&below("db-1"), &[]);
    }
}

#[tokio::test]
async fn nameless_pods_and_virtual_ips_are_known_by_their_addresses() {
    let dns = Arc::new(FakeDns::default());
    let pod = below("10-244-0-7");
    let mut answer = reply(vec![record(PORT, 5, srv(0, 100, 8080, &pod))]);
    let along = record(&pod, 5, address("10.244.0.7".parse().unwrap()));
    answer.additionals.push(along);
    dns.set(PORT, RecordType::SRV, answer);
    assert_eq!(
        ask(&dns, "db.shop:http").await.endpoints(),
        ["10.244.0.7 10.244.0.7:8080"]
    );
    dns.set(
        PORT,
        RecordType::SRV,
        reply(vec![record(PORT, 5, srv(0, 100, 80, DB))]),
    );
    dns.set_addresses(DB, &["10.96.0.7", "fd00:10:96::7"]);
    let endpoints = ask(&dns, "db.shop:http")
        .await
        .resolved()
        .endpoints
        .unwrap();
    assert_eq!(endpoints.len(), 1);
    assert_eq!(endpoints[0].placement().as_str(), "10.96.0.7");
    let alternate = "[fd00:10:96::7]:80".parse().unwrap();
    assert_eq!(endpoints[0].alternate(), Some(alternate));
}

#[tokio::test]
async fn the_first_priority_that_has_addresses_is_the_only_one_that_is_asked_for() {
    let dns = Arc::new(FakeDns::default());
    let answer = [(10, "first"), (20, "second"), (30, "third")]
        .map(|(priority, pod)| record(PORT, 5, srv(priority, 1, 80, &below(pod))));
    dns.set(PORT, RecordType::SRV, reply(answer.into()));
    for pod in ["first", "second", "third"] {
        dns.set_addresses(&below(pod), &["10.0.0.1"]);
    }
    let asked = ask(&dns, "db.shop:http").await;
    assert_eq!(asked.queries.len(), 3, "{:?}", asked.queries);
    assert_eq!(asked.endpoints(), ["first 10.0.0.1:80"]);
    dns.forget(&below("first"));
    let asked = ask(&dns, "db.shop:http").await;
    assert_eq!(asked.queries.len(), 5, "{:?}", asked.queries);
    assert_eq!(asked.endpoints(), ["second 10.0.0.1:80"]);
}

#[tokio::test]
async fn weights_count_where_they_differ() {
    for (weights, expected) in [
        ([7, 7], [1, 1]),
        ([0, 0], [1, 1]),
        ([3, 9], [3, 9]),
        ([0, 9], [1, 900]),
    ] {
        let dns = Arc::new(FakeDns::default());
        let answer: Vec<_> = weights
            .iter()
            .enumerate()
            .map(|(n, weight)| record(PORT, 5, srv(0, *weight, 80, &below(&format!("db-{n}")))))
            .collect();
        dns.set(PORT, RecordType::SRV, reply(answer));
        dns.set_addresses(&below("db-0"), &["10.0.0.1"]);
        dns.set_addresses(&below("db-1"), &["10.0.0.2"]);
        let endpoints = ask(&dns, "db.shop:http")
            .await
            .resolved()
            .endpoints
            .unwrap();
        let got: Vec<_> = endpoints.iter().map(|one| one.weight().value()).collect();
        assert_eq!(got, expected, "{weights:?}");
    }
}

#[tokio::test]
async fn without_a_port_the_only_one_is_taken_and_several_are_listed() {
    let dns = Arc::new(FakeDns::default());
    let target = below("db-0");
    dns.set_addresses(&target, &["10.0.0.1"]);
    let ports = |ports: &[u16]| {
        let records = ports
            .iter()
            .map(|port| record(DB, 5, srv(0, 1, *port, &target)));
        reply(records.collect())
    };
    dns.set(DB, RecordType::SRV, ports(&[5432]));
    let asked = ask(&dns, "db.shop").await;
    assert_eq!(asked.queries[2], format!("SRV {DB}."));
    assert_eq!(asked.endpoints(), ["db-0 10.0.0.1:5432"]);

    dns.set(DB, RecordType::SRV, ports(&[9100, 5432]));
    let error = ask(&dns, "db.shop").await.error();
    assert_eq!(error.kind(), SourceErrorKind::Invalid);
    assert!(error.to_string().ends_with(": 5432, 9100"), "{error}");

    // There, with addresses, and DNS knows no port of it.
    dns.set_addresses(DB, &["10.0.0.1"]);
    dns.set(DB, RecordType::SRV, nothing(true));
    let error = ask(&dns, "db.shop").await.error();
    assert_eq!(error.kind(), SourceErrorKind::Invalid);
    assert!(error.to_string().contains("`db.shop:8080`"), "{error}");

    dns.set_addresses(DB, &[]);
    assert!(ask(&dns, "db.shop").await.endpoints().is_empty());
    dns.forget(DB);
    assert!(ask(&dns, "db.shop").await.resolved().endpoints.is_none());
}

#[tokio::test]
async fn a_port_that_does_not_exist_is_told_from_a_service_that_does_not() {
    let dns = Arc::new(FakeDns::default());
    assert!(
        ask(&dns, "db.shop:http")
            .await
            .resolved()
            .endpoints
            .is_none()
    );
    dns.set_addresses(DB, &["10.0.0.1"]);
    let error = ask(&dns, "db.shop:http").await.error();
    assert_eq!(error.kind(), SourceErrorKind::Invalid);
    assert!(error.to_string().contains("no port `http`"), "{error}");
    dns.set_addresses(DB, &[]);
    assert!(ask(&dns, "db.shop:http").await.endpoints().is_empty());
    // What was found out before the failure is no answer.
    dns.fail(DB, RecordType::A, SourceErrorKind::Forbidden);
    let error = ask(&dns, "db.shop:http").await.error();
    assert_eq!(error.kind(), SourceErrorKind::Forbidden);
}

#[tokio::test]
async fn an_srv_record_that_says_there_is_nothing_is_an_empty_list() {
    let dns = Arc::new(FakeDns::default());
    dns.set(
        PORT,
        RecordType::SRV,
        reply(vec![record(PORT, 5, srv(0, 0, 0, "."))]),
    );
    assert!(ask(&dns, "db.shop:http").await.endpoints().is_empty());
}

#[tokio::test]
async fn aliases_are_followed_by_further_queries_where_the_answer_stops() {
    let dns = Arc::new(FakeDns::default());
    let open = |target: &str| {
        let mut open = reply(vec![record(DB, 9, alias(target))]);
        open.negative_ttl = None;
        open
    };
    for kind in [RecordType::A, RecordType::AAAA] {
        dns.set(DB, kind, open("db.example.com"));
    }
    dns.set_addresses("db.example.com", &["203.0.113.7"]);
    let resolved = ask(&dns, "db.shop:5432").await.resolved();
    assert_eq!(resolved.ttl, Some(5), "the least of all");
    assert_eq!(
        resolved.endpoints.unwrap()[0].address(),
        "203.0.113.7:5432".parse().unwrap()
    );
    // An alias to a name that does not exist is no name either.
    dns.forget("db.example.com");
    assert!(
        ask(&dns, "db.shop:5432")
            .await
            .resolved()
            .endpoints
            .is_none()
    );
    // A circle through several answers.
    for kind in [RecordType::A, RecordType::AAAA] {
        let mut back = reply(vec![record("db.example.com", 9, alias(DB))]);
        back.negative_ttl = None;
        dns.set("db.example.com", kind, back);
    }
    let error = ask(&dns, "db.shop:5432").await.error();
    assert_eq!(error.kind(), SourceErrorKind::Corrupt);
    assert!(error.to_string().contains("in a circle"), "{error}");
}

#[tokio::test]
async fn an_alias_whose_end_has_nothing_is_not_asked_for_again() {
    let dns = Arc::new(FakeDns::default());
    dns.set_addresses("db.example.com", &["203.0.113.7"]);
    let whole = vec![
        record(DB, 9, alias("db.example.com")),
        record("db.example.com", 9, address("203.0.113.7".parse().unwrap())),
    ];
    dns.set(DB, RecordType::A, reply(whole));
    dns.set(
        DB,
        RecordType::AAAA,
        reply(vec![record(DB, 9, alias("db.example.com"))]),
    );
    let asked = ask(&dns, "db.shop:5432").await;
    assert_eq!(asked.queries.len(), 2, "{:?}", asked.queries);
    assert_eq!(asked.endpoints().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_left_out_and_counted() {
    let dns = Arc::new(FakeDns::default());
    dns.set_addresses(
        DB,
        &["10.0.0.1", "127.0.0.1", "224.0.0.1", "::ffff:10.0.0.2"],
    );
    let resolved = ask(&dns, "db.shop:80").await.resolved();
    assert_eq!(resolved.endpoints.unwrap().len(), 1);
    assert_eq!(resolved.rejected.count, 3);

    // An A query that is answered by AAAA records.
    let wrong = vec![record(DB, 5, address("fd00::1".parse().unwrap()))];
    dns.set(DB, RecordType::A, reply(wrong));
    dns.set(DB, RecordType::AAAA, nothing(true));
    let error = ask(&dns, "db.shop:80").await.error();
    assert_eq!(error.kind(), SourceErrorKind::Corrupt);
    assert!(
        error.to_string().contains("fd00::1 (not of the family"),
        "{error}"
    );

    // Port 0, as CoreDNS has it for the named port of an ExternalName.
    dns.set(
        PORT,
        RecordType::SRV,
        reply(vec![record(PORT, 5, srv(0, 1, 0, DB))]),
    );
    let error = ask(&dns, "db.shop:http").await.error();
    assert_eq!(error.kind(), SourceErrorKind::Corrupt);
    assert!(error.to_string().contains("port 0"), "{error}");
}

#[tokio::test]
async fn a_target_that_is_no_hostname_gets_into_no_log() {
    let dns = Arc::new(FakeDns::default());
    stateful_set(&dns, 1, true);
    let odd = Name::from_labels([b"\x1b[31m".as_slice(), b"example"]).unwrap();
    let odd = RData::SRV(SRV::new(0, 1, 80, odd));
    dns.set(PORT, RecordType::SRV, reply(vec![record(PORT, 5, odd)]));
    let error = ask(&dns, "db.shop:http").await.error();
    assert_eq!(error.kind(), SourceErrorKind::Corrupt);
    assert!(
        error.to_string().contains("not the name of a host"),
        "{error}"
    );
    assert!(!error.to_string().contains('\x1b'), "{error:?}");
}

#[tokio::test]
async fn more_records_than_the_limit_are_a_failure() {
    let dns = Arc::new(FakeDns::default());
    let ips: Vec<_> = (0..=100).map(|n| format!("10.0.0.{n}")).collect();
    let ips: Vec<_> = ips.iter().map(String::as_str).collect();
    dns.set_addresses(DB, &ips);
    let error = ask(&dns, "db.shop:80").await.error();
    assert_eq!(error.kind(), SourceErrorKind::Corrupt);
    assert!(
        error.to_string().contains("101 records, and 100"),
        "{error}"
    );
    // Of SRV records, targets and addresses count.
    stateful_set(&dns, 51, true);
    let error = ask(&dns, "db.shop:http").await.error();
    assert!(error.to_string().contains("102 records"), "{error}");
    stateful_set(&dns, 50, true);
    assert_eq!(ask(&dns, "db.shop:http").await.endpoints().len(), 50);
}

#[tokio::test]
async fn the_least_ttl_of_all_that_was_used_counts() {
    let dns = Arc::new(FakeDns::default());
    stateful_set(&dns, 2, true);
    assert_eq!(ask(&dns, "db.shop:http").await.resolved().ttl, Some(5));
    let mut answer = reply(vec![record(PORT, 30, srv(0, 1, 80, &below("db-0")))]);
    answer.negative_ttl = None;
    let along = record(&below("db-0"), 3, address("10.0.0.1".parse().unwrap()));
    answer.additionals.push(along);
    // Of somebody else, and so of no importance.
    let stranger = record("x.example", 1, address("10.0.0.9".parse().unwrap()));
    answer.additionals.push(stranger);
    dns.set(PORT, RecordType::SRV, answer);
    assert_eq!(ask(&dns, "db.shop:http").await.resolved().ttl, Some(3));
}

/// A Pod as SRV records may show it.
#[derive(Clone, Debug)]
struct Shown {
    priority: u16,
    /// Whether its name is still there.
    there: bool,
    /// Whether its address comes along.
    along: bool,
}

fn shown() -> impl Strategy<Value = Shown> {
    (0u16..3, any::<bool>(), any::<bool>()).prop_map(|(priority, there, along)| Shown {
        priority,
        there,
        along,
    })
}

proptest! {
    #[test]
    fn the_set_is_the_first_priority_that_has_pods_whatever_the_order_and_the_way(
        pods in proptest::collection::vec(shown(), 0..8),
        turn in 0usize..8,
    ) {
        let dns = Arc::new(FakeDns::default());
        let mut answer = reply(Vec::new());
        for (n, pod) in pods.iter().enumerate() {
            let name = below(&format!("db-{n}"));
            let ip = format!("10.0.0.{n}");
            answer.answers.push(record(PORT, 5, srv(pod.priority, 1, 80, &name)));
            match (pod.there, pod.along) {
                (true, true) => {
                    let along = record(&name, 5, address(ip.parse().unwrap()));
                    answer.additionals.push(along);
                }
                (true, false) => dns.set_addresses(&name, &[&ip]),
                (false, _) => {}
            }
        }
        let by = turn % pods.len().max(1);
        answer.answers.rotate_left(by);
        dns.set(PORT, RecordType::SRV, answer);

        let first = pods.iter().filter(|pod| pod.there).map(|pod| pod.priority).min();
        let naive: Vec<_> = pods
            .iter()
            .enumerate()
            .filter(|(_, pod)| pod.there && Some(pod.priority) == first)
            .map(|(n, _)| format!("db-{n} 10.0.0.{n}:80"))
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let asked = runtime.block_on(ask(&dns, "db.shop:http"));
        prop_assert_eq!(asked.endpoints(), naive);
    }
}
