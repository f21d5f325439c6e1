//! Pods of three shards, each with a primary and replicas, in two zones; and requests of all kinds.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use crate::{
    Candidate, Candidates, Endpoint, EndpointState, InFlight, Index, Intent, LoadReport, Location,
    Measurement, Outcome, PickContext, Placement, Rate, Time, Tried, Utilization, Weight,
    policy::{Redirect, Routes, ShardMap},
};

pub(super) const SHARD: &str = "example.com/shard";
pub(super) const SHARDS: u32 = 3;
pub(super) const ROLE: &str = "cnpg.io/instanceRole";

/// A Pod.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) shard: u32,
    pub(super) role: &'static str,
    pub(super) zone: Option<&'static str>,
    pub(super) weight: u32,
    pub(super) in_flight: usize,
    pub(super) millis: Option<u64>,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) key: Option<String>,
    pub(super) intent: Intent,
    pub(super) tried: Tried,
    pub(super) entropy: u64,
    pub(super) now: Time,
}

impl Request {
    pub(super) fn context(&self) -> PickContext<'_> {
        let context = PickContext::new(self.now, self.entropy).with_tried(&self.tried);
        let context = context.with_intent(self.intent);
        match &self.key {
            Some(key) => context.with_key(key.as_bytes()),
            None => context,
        }
    }

    /// The shard of its key.
    pub(super) fn shard(&self) -> Option<u32> {
        let number: u32 = self.key.as_ref()?.parse().ok()?;
        Some(number % SHARDS)
    }
}

/// The Pods, named in their order, and whatever keeps their requests in flight.
pub(super) fn candidates(pods: &[Pod]) -> (Candidates, Vec<InFlight>) {
    let mut open = Vec::new();
    let list = pods.iter().enumerate().map(|(nth, pod)| {
        let address = ([10, 0, 0, nth as u8], 80).into();
        let labels = [(SHARD, pod.shard.to_string()), (ROLE, pod.role.to_owned())];
        let endpoint = Endpoint::new(Placement::new(name(nth)), address)
            .with_ordinal(nth as u32)
            .with_weight(Weight::new(pod.weight))
            .with_labels(labels);
        let endpoint = match pod.zone {
            Some(zone) => endpoint.with_zone(zone),
            None => endpoint,
        };
        let endpoint = Arc::new(endpoint);
        let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
        let state = Arc::new(state);
        if let Some(millis) = pod.millis {
            state.record(
                Outcome::Success,
                Duration::from_millis(millis),
                Time::ORIGIN,
            );
            // Those that have answered have reported as well.
            let busy = Utilization::new(f64::from(pod.weight) / 4.0).unwrap();
            let report = LoadReport::default()
                .with_application_utilization(busy)
                .with_requests_per_second(Rate::new(1000.0 / millis as f64).unwrap())
                .with_requests_in_flight(2 * pod.in_flight as u32)
                .with_latency(Duration::from_millis(millis));
            state.report_load(&report, Time::ORIGIN);
        }
        open.extend((0..pod.in_flight).map(|_| InFlight::begin(Arc::clone(&state))));
        Candidate { endpoint, state }
    });
    let candidates = Candidates::new(list.collect::<Vec<_>>(), 42);
    (
        candidates.with_location(Location::UNKNOWN.with_zone("a")),
        open,
    )
}

fn name(nth: usize) -> String {
    format!("db-{nth:02}")
}

/// Three of each shard, in both zones, each with a primary.
pub(super) fn complete() -> Vec<Pod> {
    (0..18)
        .map(|nth| Pod {
            shard: nth % SHARDS,
            role: if nth < SHARDS { "primary" } else { "replica" },
            zone: Some(if nth < 9 { "a" } else { "b" }),
            weight: 1,
            in_flight: 0,
            millis: None,
        })
        .collect()
}

/// Of which key something has been learnt: where it is said to be.
pub(super) const LEARNT: (&str, usize) = ("7", 1);

pub(super) fn learnt() -> Routes {
    let (routes, (key, nth)) = (Routes::by_key(), LEARNT);
    let to = Placement::new(name(nth));
    routes.learn(Some(key.as_bytes()), &Redirect::to_pod(name(nth)), &to);
    routes
}

/// Shards by the first digit: the Pods of each are those whose label says so, on the [complete] stage.
pub(super) fn map() -> ShardMap {
    let ranges = ShardMap::ranges();
    let mut map = ranges.assign(.."3", 0).assign("3".."6", 1).assign("6".., 2);
    for shard in 0..SHARDS {
        let pods = (0..18).filter(|nth| nth % SHARDS == shard);
        map = map.pods(shard, pods.map(|nth| name(nth as usize)));
    }
    map.build().unwrap()
}

pub(super) fn pods() -> impl Strategy<Value = Vec<Pod>> {
    let role = prop::sample::select(vec!["primary", "replica", "replica", "replica", ""]);
    let zone = prop::sample::select(vec![Some("a"), Some("a"), Some("b"), Some("c"), None]);
    let pod = (
        0..SHARDS,
        role,
        zone,
        0..4_u32,
        0..6_usize,
        prop::option::of(1..80_u64),
    );
    let pod = pod.prop_map(|(shard, role, zone, weight, in_flight, millis)| Pod {
        shard,
        role,
        zone,
        weight,
        in_flight,
        millis,
    });
    prop_oneof![prop::collection::vec(pod, 0..14), Just(complete())]
}

pub(super) fn requests() -> impl Strategy<Value = Vec<Request>> {
    let key = prop_oneof![
        (0..12_u32).prop_map(|number| Some(number.to_string())),
        prop::sample::select(vec![
            None,
            Some(String::new()),
            Some("no number".to_owned())
        ]),
    ];
    let intent = prop::sample::select(vec![Intent::Read, Intent::Write, Intent::Any]);
    let tried = prop_oneof![Just(Vec::new()), prop::collection::vec(0..20_u32, 0..16)];
    let request = (key, intent, tried, any::<u64>(), 0..5_000_u64);
    let request = request.prop_map(|(key, intent, tried, entropy, millis)| Request {
        key,
        intent,
        tried: tried.into_iter().map(Index::new).collect(),
        entropy,
        now: Time::ORIGIN + Duration::from_millis(millis),
    });
    prop::collection::vec(request, 1..20)
}
