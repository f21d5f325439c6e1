//! Names that are no Service's.

use std::num::NonZeroU16;

use portolan_core::{HostResolver, Resolution, SourceErrorKind};
use portolan_dns::{Dns, IpFamilies};
use portolan_test::dns::DnsServer;

use crate::{News, client, failed, listed, next, present};

fn follow(dns: &Dns, host: &str) -> News {
    dns.follow(host, NonZeroU16::new(5432).unwrap())
}

async fn server(addresses: &[&str]) -> DnsServer {
    let server = DnsServer::start().await.unwrap();
    let zone = server.zone();
    zone.add_alias("db.example.com", "lb.example.net").unwrap();
    zone.add_alias("lb.example.net", "a.example.net").unwrap();
    for address in addresses {
        zone.add_address("a.example.net", address.parse().unwrap())
            .unwrap();
    }
    server
}

#[tokio::test]
async fn a_name_is_followed_through_its_aliases() {
    let server = server(&["203.0.113.1", "203.0.113.2"]).await;
    let dns = client(&server);
    for host in ["db.example.com", "db.example.com.", "DB.Example.com"] {
        let set = present(&mut follow(&dns, host)).await;
        assert_eq!(
            listed(&set),
            [
                "203.0.113.1 203.0.113.1:5432",
                "203.0.113.2 203.0.113.2:5432"
            ]
        );
    }
    let mut news = follow(&dns, "db.example.com");
    present(&mut news).await;
    server.zone().remove("a.example.net").unwrap();
    assert!(matches!(next(&mut news).await, Resolution::Absent));
}

#[tokio::test]
async fn one_address_of_each_family_is_one_host() {
    let server = server(&["203.0.113.1", "2001:db8::1"]).await;
    let dns = client(&server).with_ip_families(IpFamilies::PreferV6);
    let set = present(&mut follow(&dns, "db.example.com")).await;
    assert_eq!(listed(&set), ["2001:db8::1 [2001:db8::1]:5432"]);
    let alternate = "203.0.113.1:5432".parse().unwrap();
    assert_eq!(set[0].alternate(), Some(alternate));
}

#[tokio::test]
async fn aliases_in_a_circle_are_a_failure() {
    let server = DnsServer::start().await.unwrap();
    let zone = server.zone();
    zone.add_alias("a.example.com", "b.example.com").unwrap();
    zone.add_alias("b.example.com", "a.example.com").unwrap();
    let error = failed(&mut follow(&client(&server), "a.example.com")).await;
    assert_eq!(error.kind(), SourceErrorKind::Corrupt);
    assert!(error.to_string().contains("in a circle"), "{error}");
}

#[tokio::test]
async fn an_address_is_answered_without_asking() {
    let server = server(&[]).await;
    let dns = client(&server);
    for (host, expected) in [
        ("203.0.113.7", "203.0.113.7 203.0.113.7:5432"),
        ("2001:db8::7", "2001:db8::7 [2001:db8::7]:5432"),
    ] {
        assert_eq!(listed(&present(&mut follow(&dns, host)).await), [expected]);
    }
    assert_eq!(server.queries().total(), 0);
    let strict = Dns::with_nameservers([server.address()]).unwrap();
    for odd in ["127.0.0.1", "0.0.0.0", "255.255.255.255", "::1"] {
        let error = failed(&mut follow(&strict, odd)).await;
        assert_eq!(error.kind(), SourceErrorKind::Invalid, "{odd}");
    }
}

#[tokio::test]
async fn what_is_no_host_is_a_failure_and_not_asked_for() {
    let server = server(&[]).await;
    let dns = client(&server);
    for wrong in ["", ".", "two words", "a..b", &"x".repeat(300)] {
        let error = failed(&mut follow(&dns, wrong)).await;
        assert_eq!(error.kind(), SourceErrorKind::Invalid, "{wrong}");
    }
    assert_eq!(server.queries().total(), 0);
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_followed_there() {
    let server = server(&["127.0.0.1"]).await;
    let dns = Dns::with_nameservers([server.address()]).unwrap();
    let error = failed(&mut follow(&dns, "db.example.com")).await;
    assert_eq!(error.kind(), SourceErrorKind::Corrupt);
    assert!(
        error.to_string().contains("127.0.0.1 (loopback)"),
        "{error}"
    );
    assert_eq!(dns.rejected(), 1);
}
