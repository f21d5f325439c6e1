//! What is counted and said of watches, and of what cannot be used.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing::subscriber::DefaultGuard;

use super::*;
use crate::IpFamilies;

/// What is logged at `WARN` and above, by this thread for as long as the guard lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines_with(&self, what: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter(|line| line.contains(what));
        lines.map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_left_out_said_once_and_counted() {
    let (log, _guard) = Log::start();
    let (mut stage, cluster) = cluster_with_service();
    let mut resolutions = follow(&cluster);
    let mut bad = slice("a", 5, &["a-0", "a-1"]);
    bad["endpoints"][1]["addresses"] = json!(["255.255.255.255"]);
    let ports = bad["ports"].as_array_mut().unwrap();
    ports.push(json!({ "name": "metrics", "port": 65_536 }));
    let listed = [bad.clone()];
    let (names, watch) =
        futures::join!(next_names(&mut resolutions), stage.slices.list(&listed, 7));
    assert_eq!(names, ["a-0"]);
    assert_eq!(cluster.watch_stats().rejected, 2);
    // The same again is nothing new.
    bad["metadata"]["resourceVersion"] = json!("8");
    watch.event("MODIFIED", &bad);
    bad["metadata"]["resourceVersion"] = json!("9");
    bad["endpoints"][0]["addresses"] = json!(["224.0.0.1"]);
    watch.event("MODIFIED", &bad);
    assert!(next_set(&mut resolutions).await.is_empty());
    assert_eq!(cluster.watch_stats().rejected, 2 + 3);
    let said = log.lines_with("left out what cannot be connected to");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("orders.shop") && said[0].contains("port 65536"));
    assert!(said[1].contains("total=5"), "{}", said[1]);
}

#[tokio::test(start_paused = true)]
async fn endpoints_of_the_other_family_are_said_once_for_each_view_and_counted() {
    let (log, _guard) = Log::start();
    let (mut stage, cluster) = cluster_with_service();
    let mut both = follow(&cluster);
    let mut six = follow(&cluster.clone().with_ip_families(IpFamilies::V6Only));
    let mut four = follow(&cluster.clone().with_ip_families(IpFamilies::V4Only));
    let listed = [slice("a", 5, &["a-0", "a-1"])];
    let (_, watch) = futures::join!(next_set(&mut both), stage.slices.list(&listed, 7));
    assert!(next_set(&mut six).await.is_empty());
    assert_eq!(next_set(&mut four).await.len(), 2);
    watch.event("MODIFIED", &slice("a", 8, &["a-0", "a-1", "a-2"]));
    assert_eq!(next_set(&mut four).await.len(), 3);
    let said = log.lines_with("only family in use");
    assert_eq!(said.len(), 1, "{said:?}");
    for part in ["orders.shop", "V6Only", "endpoints=2", "with_ip_families"] {
        assert!(said[0].contains(part), "{}", said[0]);
    }
    assert_eq!(cluster.watch_stats().wrong_family, 2);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_comes_with_the_next_slice_is_not_missed_too_early() {
    let (log, _guard) = Log::start();
    let (mut stage, cluster) = cluster_with_service();
    let mut six = follow(&cluster.clone().with_ip_families(IpFamilies::V6Only));
    let of_six = |name: &str, version: u64, pods: &[&str]| {
        let mut slice = slice(name, version, pods);
        slice["addressType"] = json!("IPv6");
        for (at, _) in pods.iter().enumerate() {
            slice["endpoints"][at]["addresses"] = json!([format!("fd00::{}", at + 1)]);
        }
        slice
    };
    let listed = [slice("four", 5, &["a-0"]), of_six("six", 6, &["a-0"])];
    let (set, watch) = futures::join!(next_set(&mut six), stage.slices.list(&listed, 7));
    assert_eq!(set.len(), 1);
    watch.event("MODIFIED", &slice("four", 8, &["a-0", "a-1"]));
    watch.event("MODIFIED", &of_six("six", 9, &["a-0", "a-1"]));
    assert_eq!(next_set(&mut six).await.len(), 2);
    assert_eq!(log.lines_with("only family in use"), [""; 0]);
    assert_eq!(cluster.watch_stats().wrong_family, 0);
}

#[tokio::test(start_paused = true)]
async fn lists_reconnects_and_failures_are_counted() {
    let (mut stage, cluster) = cluster_with_service();
    assert_eq!(cluster.watch_stats(), crate::WatchStats::default());
    let mut resolutions = follow(&cluster);
    let listed = [slice("a", 5, &["a-0"])];
    let (_, watch) = futures::join!(next_set(&mut resolutions), stage.slices.list(&listed, 7));
    let stats = cluster.watch_stats();
    assert_eq!((stats.services, stats.relists), (1, 0));
    assert_eq!((stats.reconnects, stats.failures), (0, 0));
    // It ends, which is no failure; it cannot be opened twice, which are two.
    drop(watch);
    drop(stage.slices.next().await);
    drop(stage.slices.next().await);
    let watch = stage.slices.resume(7).await;
    next_error(&mut resolutions).await;
    next_set(&mut resolutions).await;
    let stats = cluster.watch_stats();
    assert_eq!((stats.reconnects, stats.failures), (1, 2));
    // That the server does not remember is no failure, either.
    watch.error(410, "too old");
    let _watch = stage.slices.list(&[slice("b", 9, &["b-0"])], 9).await;
    next_set(&mut resolutions).await;
    let stats = cluster.clone().watch_stats();
    assert_eq!((stats.relists, stats.failures), (1, 2));
    drop(resolutions);
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(cluster.watch_stats().services, 0);
}
