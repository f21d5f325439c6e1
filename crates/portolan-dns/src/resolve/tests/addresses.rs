//! Addresses, aliases, and what is refused.

use super::*;

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

    // Port 0 is none.
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
