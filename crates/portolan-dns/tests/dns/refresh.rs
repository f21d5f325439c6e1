//! When the server is asked, and for what.

use std::time::{Duration, Instant};

use portolan_core::{HostResolver, Source};
use portolan_dns::{Dns, DnsOptions, Error};
use portolan_test::dns::DnsServer;

use crate::{DB, client, listed, next, present, watch};

async fn server() -> DnsServer {
    let server = DnsServer::start().await.unwrap();
    server
        .zone()
        .add_address(DB, "10.0.0.1".parse().unwrap())
        .unwrap();
    server
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn a_ttl_of_0_is_held_to_the_floor_and_one_of_a_year_to_the_cap() {
    for ttl in [Duration::ZERO, secs(365 * 86_400)] {
        let server = server().await;
        server.set_ttl(ttl);
        let mut news = watch(&client(&server), "db.shop:80");
        let start = Instant::now();
        let asking = tokio::spawn(async move {
            loop {
                next(&mut news).await;
            }
        });
        server.queries().wait(DB, "A", 6).await;
        assert!(start.elapsed() >= Duration::from_millis(5 * 20), "{ttl:?}");
        asking.abort();
    }
}

#[tokio::test]
async fn only_complete_names_are_asked_for_and_nothing_twice() {
    let server = server().await;
    let dns = Dns::with_nameservers([server.address()])
        .unwrap()
        .with_namespace("shop");
    for service in ["db:80", "db.shop:80", "db.shop.svc.cluster.local:80"] {
        server.queries().reset();
        present(&mut watch(&dns, service)).await;
        assert_eq!(
            server.queries().asked(),
            [format!("A {DB}."), format!("AAAA {DB}.")]
        );
        assert_eq!(server.queries().total(), 2);
    }
    let elsewhere = dns.with_cluster_domain("example.org").unwrap();
    server.queries().reset();
    next(&mut watch(&elsewhere, "db:http")).await;
    assert_eq!(
        server.queries().asked(),
        [
            "SRV _http._tcp.db.shop.svc.example.org.",
            "A db.shop.svc.example.org.",
            "AAAA db.shop.svc.example.org.",
        ]
    );
}

#[tokio::test]
async fn a_suspicion_brings_a_look_long_before_the_answer_expires() {
    let server = server().await;
    let options = DnsOptions::default()
        .refresh_between(secs(3600), secs(3600))
        .suspect_interval(Duration::from_millis(10));
    let dns = Dns::with_nameservers([server.address()])
        .unwrap()
        .with_options(options)
        .unwrap();
    // By several streams of the Service, whatever they call it.
    let mut streams = [
        watch(&dns, "db.shop:80"),
        watch(&dns.clone(), "db.shop.svc.cluster.local:81"),
    ];
    for news in &mut streams {
        present(news).await;
    }
    server.zone().remove(DB).unwrap();
    let moved = "10.0.0.2".parse().unwrap();
    server.zone().add_address(DB, moved).unwrap();
    dns.suspect(&"other.shop".parse().unwrap());
    dns.suspect(&"db.shop:http".parse().unwrap());
    for (news, port) in streams.iter_mut().zip([80, 81]) {
        let set = present(news).await;
        assert_eq!(listed(&set), [format!("10.0.0.2 10.0.0.2:{port}")]);
    }
}

#[tokio::test]
async fn so_does_one_of_a_name_that_is_no_services() {
    let server = server().await;
    let options = DnsOptions::default()
        .refresh_between(secs(3600), secs(3600))
        .suspect_interval(Duration::from_millis(10));
    let dns = Dns::with_nameservers([server.address()])
        .unwrap()
        .with_options(options)
        .unwrap();
    let mut news = dns.follow(DB, std::num::NonZeroU16::new(80).unwrap());
    present(&mut news).await;
    server.zone().remove(DB).unwrap();
    let moved = "10.0.0.2".parse().unwrap();
    server.zone().add_address(DB, moved).unwrap();
    dns.suspect_host(&format!("{DB}."));
    let set = present(&mut news).await;
    assert_eq!(listed(&set), ["10.0.0.2 10.0.0.2:80"]);
}

#[test]
fn the_systems_own_configuration_is_read_or_the_error_says_what_to_do() {
    match Dns::from_system() {
        Ok(dns) => assert!(format!("{dns:?}").contains("nameservers: ["), "{dns:?}"),
        Err(error @ Error::SystemConfig { .. }) => {
            let told = error.to_string();
            assert!(told.contains("`Dns::with_nameservers`"), "{told}");
        }
        Err(other) => panic!("{other}"),
    }
}
