//! Servers that fail and lie.

use std::time::Duration;

use portolan_core::{Resolution, SourceErrorKind};
use portolan_dns::Dns;
use portolan_test::dns::{DnsServer, Fault};

use crate::{DB, client, failed, hasty, listed, next, present, watch};

async fn server() -> DnsServer {
    let server = DnsServer::start().await.unwrap();
    server
        .zone()
        .add_address(DB, "10.0.0.1".parse().unwrap())
        .unwrap();
    server
}

/// What a fault looks like, between two times that all goes well.
async fn looks(fault: Fault) -> (SourceErrorKind, String) {
    let server = server().await;
    let mut news = watch(&client(&server), "db.shop:80");
    let before = present(&mut news).await;
    server.faults().set(fault);
    let error = failed(&mut news).await;
    server.faults().clear();
    let after = present(&mut news).await;
    assert!(after.is_same(&before), "the last good set is the one");
    assert!(
        error.to_string().contains(&server.address().to_string()),
        "{error}"
    );
    (error.kind(), error.to_string())
}

#[tokio::test]
async fn a_server_that_fails() {
    let (kind, told) = looks(Fault::ServFail).await;
    assert_eq!(kind, SourceErrorKind::Unavailable);
    assert!(told.contains("SERVFAIL"), "{told}");
}

#[tokio::test]
async fn a_server_that_refuses() {
    let (kind, told) = looks(Fault::Refused).await;
    assert_eq!(kind, SourceErrorKind::Forbidden);
    assert!(told.contains("REFUSED"), "{told}");
}

#[tokio::test]
async fn a_server_that_is_silent() {
    let (kind, told) = looks(Fault::Silence).await;
    assert_eq!(kind, SourceErrorKind::Unavailable);
    assert!(told.contains("did not answer in time"), "{told}");
}

#[tokio::test]
async fn a_server_that_sends_garbage() {
    let (kind, told) = looks(Fault::Garbage).await;
    assert_eq!(kind, SourceErrorKind::Corrupt);
    assert!(told.contains("no DNS message"), "{told}");
}

#[tokio::test]
async fn a_forger_that_guesses_ids_or_questions_is_not_believed() {
    for fault in [Fault::WrongId, Fault::WrongQuestion] {
        // It is left aside, in case that the right answer comes yet.
        let (kind, told) = looks(fault).await;
        assert_eq!(kind, SourceErrorKind::Unavailable, "{fault:?}");
        assert!(told.contains("did not answer in time"), "{told}");
    }
}

#[tokio::test]
async fn a_truncated_answer_without_tcp_is_no_answer() {
    let (kind, told) = looks(Fault::TruncatedWithoutTcp).await;
    assert_eq!(kind, SourceErrorKind::Invalid, "{told}");
    assert!(told.contains("does not serve TCP"), "{told}");
}

#[tokio::test]
async fn a_tcp_connection_that_has_died_in_silence_is_given_up_for_a_new_one() {
    let server = DnsServer::start().await.unwrap();
    for n in 0..100_u8 {
        let ip = [10, 0, 0, n].into();
        server.zone().add_address(DB, ip).unwrap();
    }
    let mut news = watch(&client(&server), "db.shop:80");
    let before = present(&mut news).await;
    assert!(server.queries().over_tcp() > 0);
    server.faults().set(Fault::StalledTcp);
    failed(&mut news).await;
    server.faults().clear();
    assert!(present(&mut news).await.is_same(&before));
}

#[tokio::test]
async fn a_storm_of_nxdomain_is_said_once_and_gone_through() {
    let server = server().await;
    let mut news = watch(&client(&server), "db.shop:80");
    present(&mut news).await;
    server.faults().set_for_next(40, Fault::NxDomain);
    let said = next(&mut news).await;
    assert!(matches!(said, Resolution::Absent), "{said:?}");
    assert_eq!(listed(&present(&mut news).await), ["10.0.0.1 10.0.0.1:80"]);
    assert!(server.queries().total() >= 40);
}

#[tokio::test]
async fn nothing_and_absence_are_two_things() {
    let server = server().await;
    let mut news = watch(&client(&server), "db.shop:80");
    present(&mut news).await;
    server.zone().remove(DB).unwrap();
    server.zone().add_empty(DB).unwrap();
    assert!(present(&mut news).await.is_empty());
    server.zone().remove(DB).unwrap();
    let said = next(&mut news).await;
    assert!(matches!(said, Resolution::Absent), "{said:?}");
}

#[tokio::test]
async fn a_server_that_is_slow_but_not_too_slow_is_waited_for() {
    let server = server().await;
    server.faults().set(Fault::Slow(Duration::from_millis(50)));
    assert_eq!(
        present(&mut watch(&client(&server), "db.shop:80"))
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn one_target_that_cannot_be_asked_for_fails_the_whole() {
    let server = DnsServer::start().await.unwrap();
    server.set_glue(false);
    for n in 0..3 {
        let pod = format!("db-{n}.{DB}");
        let srv = format!("_http._tcp.{DB}");
        server.zone().add_srv(&srv, &pod, 80).unwrap();
        let ip = format!("10.0.0.{n}").parse().unwrap();
        server.zone().add_address(&pod, ip).unwrap();
    }
    let pod = format!("db-1.{DB}");
    server.faults().set_for(&pod, Fault::ServFail).unwrap();
    let mut news = watch(&client(&server), "db.shop:http");
    let error = failed(&mut news).await;
    assert!(error.to_string().contains(&pod), "{error}");
    server.faults().clear();
    assert_eq!(present(&mut news).await.len(), 3);
    // One that is not there has just left.
    server.zone().remove(&pod).unwrap();
    assert_eq!(
        listed(&present(&mut news).await),
        ["db-0 10.0.0.0:80", "db-2 10.0.0.2:80"]
    );
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_fails_and_then_asked_first() {
    for fault in [Fault::Silence, Fault::ServFail, Fault::Refused] {
        let (bad, good) = (server().await, server().await);
        bad.faults().set(fault);
        let dns = Dns::with_nameservers([bad.address(), good.address()])
            .unwrap()
            .with_options(hasty())
            .unwrap();
        assert_eq!(present(&mut watch(&dns, "db.shop:80")).await.len(), 1);
        let asked = bad.queries().total();
        assert!(asked > 0);
        assert_eq!(present(&mut watch(&dns, "db.shop:80")).await.len(), 1);
        assert_eq!(bad.queries().total(), asked, "{fault:?}");
        // And back, when the other one fails.
        bad.faults().clear();
        good.faults().set(fault);
        assert_eq!(present(&mut watch(&dns, "db.shop:80")).await.len(), 1);
    }
}

#[tokio::test]
async fn where_all_servers_fail_each_is_told() {
    let (one, two) = (server().await, server().await);
    one.faults().set(Fault::Refused);
    two.faults().set(Fault::ServFail);
    let dns = Dns::with_nameservers([one.address(), two.address()]).unwrap();
    let error = failed(&mut watch(&dns, "db.shop:80")).await;
    for server in [&one, &two] {
        let address = server.address().to_string();
        assert!(error.to_string().contains(&address), "{error}");
    }
}

#[tokio::test]
async fn nobody_listens() {
    let address = server().await.address();
    let dns = Dns::with_nameservers([address]).unwrap();
    let error = failed(&mut watch(&dns, "db.shop:80")).await;
    assert_eq!(error.kind(), SourceErrorKind::Unavailable, "{error}");
}

#[test]
fn without_servers_there_is_no_dns() {
    let error = Dns::with_nameservers([]).unwrap_err();
    assert!(error.to_string().contains("10.96.0.10:53"), "{error}");
}
