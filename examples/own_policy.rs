//! A policy of one's own: a canary gets its share of the requests, and no more.
//!
//! ```sh
//! cargo run --example own_policy
//! ```
#![allow(clippy::print_stdout, reason = "it is there to be looked at")]

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use portolan::{
    Candidate, Nodes, PickContext, Picker, Policy, Verdict,
    policy::{Candidates, Changes, Group, Index, PeakEwma},
};
use portolan_test::TestCluster;
use serde_json::json;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// So many of a hundred requests go to the Pods that are labelled as the canary, and the others to the others. Among
/// either, the policy that it is put over chooses.
#[derive(Debug)]
struct Canary(u64, Arc<dyn Policy>);

impl Policy for Canary {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let is_canary = |one: &Candidate| one.endpoint.label("track") == Some("canary");
        let canary = Group::of(candidates, is_canary, &self.1);
        let stable = Group::of(candidates, |one| !is_canary(one), &self.1);
        Arc::new(CanaryPicker(self.0, canary, stable))
    }

    fn changes(&self) -> Option<Changes> {
        self.1.changes()
    }

    fn is_by_identity(&self) -> bool {
        self.1.is_by_identity()
    }
}

#[derive(Debug)]
struct CanaryPicker(u64, Group, Group);

impl Picker for CanaryPicker {
    fn pick(&self, context: &PickContext<'_>) -> Verdict {
        let Self(percent, canary, stable) = self;
        match (context.entropy % 100 < *percent).then(|| canary.pick(context)) {
            Some(Verdict::Use(index)) => Verdict::Use(index),
            _ => stable.pick(context),
        }
    }

    fn admits(&self, index: Index, context: &PickContext<'_>) -> bool {
        self.1.admits(index, context) && self.2.admits(index, context)
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let kubernetes = TestCluster::start().await?;
    let service = kubernetes.service("shop", "web").port("http", 8080);
    let service = service.create().await?;
    let pods = kubernetes.stateful_set("shop", "web", 4).port("http", 8080);
    pods.create().await?;
    service.wait_endpoints(4).await?;
    label(&kubernetes, "web-3", "canary").await?;

    // In a Pod this is `portolan::kube::Cluster::infer().await?`. It has to tell the label that the policy goes by.
    let cluster = portolan::kube::Cluster::from(kubernetes.client()).with_pod_labels(["track"]);
    let web = portolan::Cluster::from(cluster)
        .service("web.shop:http")?
        .policy(Canary(10, Arc::new(PeakEwma::new())))
        .nodes()?;

    let counts = count(&web).await?;
    println!("web-3 is the canary, for 10% of the requests: {counts:?}");
    let canary = counts.get("web-3").copied().unwrap_or_default();
    match canary {
        // Five standard deviations.
        53..=147 => Ok(()),
        _ => Err(format!("{canary} of 1000 requests went to the canary").into()),
    }
}

/// Whom a thousand requests go to.
async fn count(web: &Nodes) -> Outcome<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for _ in 0..1000 {
        let lease = web.pick("").await?;
        let pod = lease.endpoint().placement().to_string();
        *counts.entry(pod).or_default() += 1;
    }
    Ok(counts)
}

async fn label(kubernetes: &TestCluster, pod: &str, track: &str) -> kube::Result<()> {
    let pods: Api<Pod> = Api::namespaced(kubernetes.client(), "shop");
    let labels = json!({ "metadata": { "labels": { "track": track } } });
    pods.patch(pod, &PatchParams::default(), &Patch::Merge(labels))
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use portolan::{
        Endpoint, EndpointState, Intent, Measurement, Placement, Time,
        policy::{
            Epoch, Leadership, PrimaryReplica, RoundRobin, Shard, ShardMap, ShardMaps, Sharding,
            Shards,
        },
    };

    use super::*;

    const SOURCE: &str = include_str!("own_policy.rs");

    /// The promise: from the first `struct` to the end of the last `impl`.
    #[test]
    fn it_takes_less_than_30_lines() {
        let start = SOURCE.find("struct Canary(").unwrap();
        let end = SOURCE.find("#[tokio::main]").unwrap();
        let lines = SOURCE[start..end].lines();
        let lines = lines.filter(|line| !line.trim().is_empty()).count();
        assert!((20..30).contains(&lines), "{lines} lines");
    }

    fn canary(percent: u64, over: impl Policy + 'static) -> Canary {
        Canary(percent, Arc::new(over))
    }

    /// Pods of two shards, by their ordinal, of which some are the canary.
    fn candidates(tracks: &[&str]) -> Candidates {
        let list = tracks.iter().enumerate().map(|(nth, track)| {
            let placement = Placement::new(format!("web-{nth}"));
            let endpoint = Endpoint::new(placement, ([10, 0, 0, nth as u8], 80).into());
            let shard = (nth % 2).to_string();
            let endpoint = endpoint.with_labels([("track", (*track).to_owned()), ("shard", shard)]);
            let endpoint = Arc::new(endpoint);
            let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
            let state = Arc::new(state);
            Candidate { endpoint, state }
        });
        Candidates::new(list.collect::<Vec<_>>(), 7)
    }

    fn pick(picker: &dyn Picker, entropy: u64, key: &str) -> Option<usize> {
        let context = PickContext::new(Time::ORIGIN, entropy);
        match picker.pick(&context.with_key(key.as_bytes())) {
            Verdict::Use(index) => Some(index.position()),
            _ => None,
        }
    }

    #[test]
    fn the_canary_gets_its_share_to_the_request() {
        let picker = canary(10, RoundRobin::new()).build(&candidates(&["", "", "canary", ""]));
        let picks: Vec<_> = (0..1000)
            .filter_map(|bits| pick(&*picker, bits, ""))
            .collect();
        let to = |pod: usize| picks.iter().filter(|one| **one == pod).count();
        assert_eq!([0, 1, 2, 3].map(to), [300, 300, 100, 300]);
    }

    #[test]
    fn where_there_is_no_canary_nobody_waits_for_one() {
        let picker = canary(10, RoundRobin::new()).build(&candidates(&["", ""]));
        assert!((0..100).all(|bits| pick(&*picker, bits, "").is_some()));
        // And it is never more than a canary.
        let picker = canary(10, RoundRobin::new()).build(&candidates(&["canary"]));
        let picked = (0..100).filter_map(|bits| pick(&*picker, bits, ""));
        assert_eq!(picked.count(), 10);
    }

    /// One canary for each shard: 2 of shard 0, 3 of shard 1.
    #[test]
    fn it_nests_under_others() {
        let candidates = candidates(&["", "", "canary", "canary", "", ""]);
        let shards = Shard::by_label("shard", Shards::fixed(2)).keys(Sharding::number());
        let picker = shards
            .over(canary(50, RoundRobin::new()))
            .build(&candidates);
        for bits in 0..100 {
            let canaries = [2, 3].map(Some);
            let picked = ["0", "1"].map(|key| pick(&*picker, bits, key));
            assert_eq!(picked == canaries, bits < 50, "{picked:?}");
        }
    }

    #[test]
    fn it_nests_over_others_and_changes_when_they_do() {
        let (handle, maps) = ShardMaps::channel();
        let policy = canary(50, Shard::by_map(maps));
        let mut changes = policy.changes().unwrap();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(changes.as_mut().poll_next(&mut context).is_pending());
        let map = ShardMap::ranges()
            .assign("".., 0)
            .pods(0, ["web-1", "web-2"]);
        handle.set(map.build().unwrap()).unwrap();
        assert!(changes.as_mut().poll_next(&mut context).is_ready());
        let picker = policy.build(&candidates(&["canary", "canary", "", ""]));
        assert_eq!(pick(&*picker, 0, "k"), Some(1));
        assert_eq!(pick(&*picker, 99, "k"), Some(2));
    }

    /// It says what the policy underneath says: of who may be sent what, and whether it matters who an endpoint is.
    #[test]
    fn it_lets_nothing_through_that_the_other_refuses() {
        let leadership = Leadership::new();
        leadership.announce(Placement::new("web-0"), Epoch::new(1));
        let policy = canary(50, PrimaryReplica::by_leadership(&leadership));
        assert!(policy.is_by_identity() && !canary(50, RoundRobin::new()).is_by_identity());
        let picker = policy.build(&candidates(&["", "canary", ""]));
        let write = PickContext::new(Time::ORIGIN, 0).with_intent(Intent::Write);
        let admitted = [0, 1, 2].map(|pod| picker.admits(Index::new(pod), &write));
        assert_eq!(admitted, [true, false, false]);
    }
}
