//! Discovery by DNS alone, all the way: a cluster, its DNS, and the balancer.
#![cfg(test)]

use std::{collections::BTreeMap, time::Duration};

use portolan::{
    Cluster, Freshness, Nodes, View,
    dns::{Dns, DnsOptions},
    policy::RoundRobin,
};
use portolan_test::{
    TestCluster,
    dns::{DnsServer, Fault},
};

const PORT: &str = "_http._tcp.db.shop.svc.cluster.local";

struct Stage {
    cluster: TestCluster,
    server: DnsServer,
    nodes: Nodes,
}

impl Stage {
    /// Three Pods of a StatefulSet, found by DNS.
    async fn set(options: DnsOptions) -> Self {
        let cluster = TestCluster::start().await.unwrap();
        let service = cluster
            .service("shop", "db")
            .headless()
            .port("http", 8080)
            .create()
            .await
            .unwrap();
        let db = cluster
            .stateful_set("shop", "db", 3)
            .port("http", 8080)
            .create()
            .await
            .unwrap();
        db.wait_ready(3).await.unwrap();
        service.wait_endpoints(3).await.unwrap();
        let server = cluster.serve_dns().await.unwrap();
        let dns = Dns::with_nameservers([server.address()])
            .unwrap()
            .with_options(options)
            .unwrap()
            .allow_loopback();
        let nodes = Cluster::from(dns)
            .service("db.shop:http")
            .unwrap()
            .policy(RoundRobin::new())
            .nodes()
            .unwrap();
        Self {
            cluster,
            server,
            nodes,
        }
    }

    /// How often each Pod is chosen.
    async fn spread(&self, picks: usize) -> BTreeMap<String, usize> {
        let mut spread = BTreeMap::new();
        for _ in 0..picks {
            let mut lease = self.nodes.pick("").await.unwrap();
            let pod = self.cluster.pod("shop", lease.pod().unwrap()).unwrap();
            assert_eq!(lease.address(), pod.address());
            *spread.entry(pod.name().to_owned()).or_default() += 1;
            lease.succeed();
        }
        spread
    }

    async fn until(&self, what: impl Fn(&View) -> bool) -> View {
        let mut observer = self.nodes.observe();
        let wait = async {
            loop {
                let view = observer.changed().await.unwrap();
                if what(&view) {
                    return view;
                }
            }
        };
        let patience = Duration::from_secs(20);
        tokio::time::timeout(patience, wait).await.unwrap()
    }
}

fn evenly(picks: usize) -> BTreeMap<String, usize> {
    ["db-0", "db-1", "db-2"]
        .map(|pod| (pod.to_owned(), picks))
        .into()
}

#[tokio::test]
async fn a_connection_that_fails_has_dns_asked_at_once() {
    let hour = Duration::from_secs(3600);
    let options = DnsOptions::default()
        .refresh_between(hour, hour)
        .suspect_interval(Duration::from_millis(10));
    let stage = Stage::set(options).await;
    assert_eq!(stage.spread(9).await, evenly(3));
    let queries = stage.server.queries();
    assert_eq!(queries.count(PORT, "SRV"), 1);
    let lease = stage.nodes.pick("").await.unwrap();
    stage.nodes.unreachable(lease);
    queries.wait(PORT, "SRV", 2).await;
}

#[tokio::test]
async fn while_dns_is_away_the_last_good_list_serves_and_its_age_is_told() {
    let quick = Duration::from_millis(20);
    let options = DnsOptions::default()
        .refresh_between(quick, quick)
        .backoff(quick, quick)
        .query_timeout(Duration::from_millis(200));
    let stage = Stage::set(options).await;
    stage.until(|view| view.endpoints().len() == 3).await;
    let mut began = None;
    for fault in [Fault::ServFail, Fault::Refused, Fault::Silence] {
        stage.server.faults().set(fault);
        let told = format!("{fault:?}");
        let view = stage
            .until(|view| match view.freshness() {
                Freshness::Stale { error, .. } => {
                    let error = error.to_string();
                    let silent = error.contains("did not answer in time");
                    error.to_lowercase().contains(&told.to_lowercase()) || silent
                }
                _ => false,
            })
            .await;
        let Freshness::Stale { since, .. } = view.freshness() else {
            panic!("{view:?}")
        };
        assert_eq!(
            since,
            began.get_or_insert(*since),
            "since the first failure"
        );
        assert_eq!(stage.spread(9).await, evenly(3), "{fault:?}");
    }
    stage.server.faults().clear();
    let is_live = |view: &View| matches!(view.freshness(), Freshness::Live);
    let view = stage.until(is_live).await;
    assert_eq!(view.endpoints().len(), 3);
}
