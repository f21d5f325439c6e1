//! SRV records and their targets.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

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
