//! Services of many Pods.

use std::{net::Ipv4Addr, time::Duration};

use portolan_core::SourceErrorKind;
use portolan_dns::Dns;
use portolan_test::dns::DnsServer;

use crate::{DB, failed, hasty, present, watch};

/// The server is a debug build and has thousands of records to write.
fn client(server: &DnsServer) -> Dns {
    let options = hasty().query_timeout(Duration::from_secs(10));
    crate::client(server).with_options(options).unwrap()
}

fn ip(n: u16) -> Ipv4Addr {
    let [high, low] = n.to_be_bytes();
    Ipv4Addr::new(10, 1, high, low)
}

async fn by_number(pods: u16) -> DnsServer {
    let server = DnsServer::start().await.unwrap();
    for n in 0..pods {
        server.zone().add_address(DB, ip(n).into()).unwrap();
    }
    server
}

async fn by_name(pods: u16) -> DnsServer {
    let server = DnsServer::start().await.unwrap();
    for n in 0..pods {
        let pod = format!("db-{n}.{DB}");
        let srv = format!("_http._tcp.{DB}");
        server.zone().add_srv(&srv, &pod, 80).unwrap();
        server.zone().add_address(&pod, ip(n).into()).unwrap();
    }
    server
}

#[tokio::test]
async fn two_thousand_pods_come_by_tcp_and_whole() {
    let server = by_number(2000).await;
    let set = present(&mut watch(&client(&server), "db.shop:80")).await;
    assert_eq!(set.len(), 2000);
    assert!(server.queries().over_tcp() >= 1);
}

#[tokio::test]
async fn what_fits_into_a_packet_needs_no_tcp() {
    // 1232 bytes, of which a record takes 16.
    let server = by_number(70).await;
    let set = present(&mut watch(&client(&server), "db.shop:80")).await;
    assert_eq!(set.len(), 70);
    assert_eq!(server.queries().over_tcp(), 0);
}

#[tokio::test]
async fn eight_hundred_pods_by_name_come_whole_with_their_addresses() {
    let server = by_name(800).await;
    let dns = client(&server);
    let set = present(&mut watch(&dns, "db.shop:http")).await;
    assert_eq!(set.len(), 800);
    let known = set.iter().filter(|one| one.ordinal().is_some()).count();
    assert_eq!(known, 800);
    assert_eq!(
        server.queries().asked(),
        [format!("SRV _http._tcp.{DB}.")],
        "and no query for each"
    );
}

#[tokio::test]
async fn what_does_not_fit_into_tcp_is_a_failure_and_no_part_of_a_list() {
    let server = by_name(2000).await;
    let error = failed(&mut watch(&client(&server), "db.shop:http")).await;
    assert_eq!(error.kind(), SourceErrorKind::Invalid);
    assert!(error.to_string().contains("and for TCP too"), "{error}");
}

#[tokio::test]
async fn hundreds_of_targets_without_addresses_are_looked_up_one_by_one() {
    let server = by_name(300).await;
    server.set_glue(false);
    let set = present(&mut watch(&client(&server), "db.shop:http")).await;
    assert_eq!(set.len(), 300);
}
