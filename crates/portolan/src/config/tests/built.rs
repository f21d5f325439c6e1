//! Each policy from its text is the one that the same words in Rust make.

use std::{sync::Arc, time::Duration};

use super::{super::PolicyConfig, handles};
use crate::{
    Policy,
    policy::{
        Absent, BackendWeighted, ClientAffinity, GrpcRingHash, JumpHash, Ketama, Leadership,
        LeastRequest, Maglev, Ordinals, PeakEwma, Prequal, PrimaryReplica, Progress, Random,
        ReadFrom, Rendezvous, ReplicaLag, RingHash, RoleLabel, RoundRobin, Routes, Shard, ShardMap,
        ShardMaps, Sharding, Shards, WeightedRoundRobin, ZoneAware, preset,
    },
};

/// All policies, and all of their fields.
pub(super) fn table() -> Vec<(&'static str, Arc<dyn Policy>)> {
    let mut all = plain();
    all.extend(hashing());
    all.extend(sharded());
    all.extend(roles());
    all.extend(learnt_and_own());
    all
}

macro_rules! table {
    ($($text:expr => $policy:expr,)*) => {
        vec![$(($text, Arc::new($policy) as Arc<dyn Policy>)),*]
    };
}

fn plain() -> Vec<(&'static str, Arc<dyn Policy>)> {
    table! {
        r#""least-request""# => LeastRequest::new(),
        r#"{ "least-request": {} }"# => LeastRequest::new(),
        r#""peak-ewma""# => PeakEwma::new(),
        r#""round-robin""# => RoundRobin::new(),
        r#""weighted-round-robin""# => WeightedRoundRobin::new(),
        r#""random""# => Random::new(),
        r#""backend-weighted""# => BackendWeighted::new(),
        r#"{ "backend-weighted": { "blackout": "0s", "expiry": "1m", "update-period": "250ms", "error-penalty": 2 } }"#
            => BackendWeighted::new().blackout(Duration::ZERO).expiry(Duration::from_secs(60))
                .update_period(Duration::from_millis(250)).error_penalty(2.0),
        r#""prequal""# => Prequal::new(),
        r#"{ "prequal": { "choices": 3, "hot-above": 0.6, "max-age": "250ms" } }"#
            => Prequal::new().choices(3).hot_above(0.6).max_age(Duration::from_millis(250)),
        r#""zone-aware""# => ZoneAware::new(),
        r#"{ "zone-aware": {} }"# => ZoneAware::new(),
        r#"{ "zone-aware": { "over": "random" } }"# => ZoneAware::over(Random::new()),
    }
}

fn hashing() -> Vec<(&'static str, Arc<dyn Policy>)> {
    table! {
        r#""ring-hash""# => RingHash::new(),
        r#"{ "ring-hash": { "points-per-weight": 40, "bounded-load": 1.25, "without-key": "random" } }"#
            => RingHash::new().points_per_weight(40).bounded_load(1.25).without_key(Random::new()),
        r#"{ "ring-hash": { "bounded-load": null, "without-key": null } }"# => RingHash::new(),
        r#""maglev""# => Maglev::new(),
        r#"{ "maglev": { "table-size": 1000, "bounded-load": 2 } }"#
            => Maglev::new().table_size(1000).bounded_load(2.0),
        r#""rendezvous""# => Rendezvous::new(),
        r#"{ "rendezvous": { "without-key": { "zone-aware": {} } } }"#
            => Rendezvous::new().without_key(ZoneAware::new()),
        r#""jump-hash""# => JumpHash::new(),
        r#"{ "jump-hash": { "places": 8, "starting-at": 100, "bounded-load": "infinite" } }"#
            => JumpHash::over(8).starting_at(100).bounded_load(f64::INFINITY),
        r#"{ "grpc-ring-hash": { "by": "address" } }"# => GrpcRingHash::by_address(),
        r#"{ "grpc-ring-hash": { "by": "placement", "ring-size": { "least": 1024, "most": 8388608 } } }"#
            => GrpcRingHash::by_placement().ring_size(1024, 8 << 20),
        r#"{ "ketama": { "by": "address" } }"# => Ketama::by_address(),
        r#"{ "ketama": { "by": "placement", "bounded-load": 1.5 } }"#
            => Ketama::by_placement().bounded_load(1.5),
    }
}

/// By ordinal; that there is one Pod a shard, a text says in so many words.
fn by_ordinal(shards: u32) -> Shard {
    Shard::by_ordinals(Ordinals::new().replicas(1), Shards::fixed(shards))
}

fn sharded() -> Vec<(&'static str, Arc<dyn Policy>)> {
    let map = ShardMap::ranges()
        .assign(.."g", 0)
        .assign("t".., 0)
        .assign("g".."t", 1);
    let map = map.pods(0, ["db-0"]).pods(1, ["db-1", "db-2"]).build();
    let slots = ShardMap::slots().assign(..100, 7).assign(100.., 3);
    let slots = slots.pods(7, ["db-0"]).pods(3, ["db-0"]).build();
    let (_, changing) = Shards::changing(3);
    let (_, maps) = ShardMaps::channel();
    table! {
        r#"{ "shard": { "by": { "ordinal": { "shards": 8 } } } }"# => by_ordinal(8),
        r#"{ "shard": { "by": { "ordinal": { "of": "db", "starting-at": 100, "replicas": 3, "shards": 4 } } } }"#
            => Shard::by_ordinals(Ordinals::of("db").starting_at(100).replicas(3), Shards::fixed(4)),
        r#"{ "shard": { "by": { "stateful-set": { "shards": 3, "keys": "slots" } },
            "while-absent": { "wait": "2s" }, "over": "peak-ewma" } }"#
            => Shard::by_stateful_set(Shards::fixed(3)).keys(Sharding::slots())
                .while_absent(Absent::Wait(Duration::from_secs(2))).over(PeakEwma::new()),
        r#"{ "shard": { "by": { "label": { "label": "example.com/shard", "shards": { "changing": "orders" },
            "keys": "number" } }, "while-absent": "fail-fast", "without-key": "random" } }"#
            => Shard::by_label("example.com/shard", changing).keys(Sharding::number())
                .while_absent(Absent::FailFast).without_key(Random::new()),
        r#"{ "shard": { "by": { "ordinal": { "shards": 2, "keys": "modulo" } }, "standby": "db-standby-{shard}" } }"#
            => by_ordinal(2).keys(Sharding::modulo()).standby(|_| String::new()),
        r#"{ "shard": { "by": { "ordinal": { "shards": 2, "keys": { "own": "first byte" } } } } }"#
            => by_ordinal(2).keys(Sharding::by(|_, _| None)),
        r#"{ "shard": { "by": { "map": [
            { "shard": 0, "has": { "ranges": [{ "below": "g" }, { "from": "t" }] }, "pods": ["db-0"] },
            { "shard": 1, "has": { "ranges": [{ "from": "g", "below": "t" }] }, "pods": ["db-1", "db-2"] }
        ] } } }"# => Shard::by_map(map.unwrap()),
        r#"{ "shard": { "by": { "map": [
            { "shard": 7, "has": { "slots": [{ "first": 0, "last": 99 }] }, "pods": ["db-0"] },
            { "shard": 3, "has": { "slots": [{ "first": 100, "last": 16383 }] }, "pods": ["db-0"] }
        ] } } }"# => Shard::by_map(slots.unwrap()),
        r#"{ "shard": { "by": { "maps": "orders" } } }"# => Shard::by_map(maps),
    }
}

fn roles() -> Vec<(&'static str, Arc<dyn Policy>)> {
    let (nobody, unknown) = (Leadership::new(), ReplicaLag::new());
    let own = RoleLabel::new("example.com/role", "leader", "follower").or_named("role");
    table! {
        r#"{ "primary-replica": { "by": { "label": "cloud-native-pg" } } }"#
            => PrimaryReplica::by_label(preset::CLOUD_NATIVE_PG),
        r#"{ "primary-replica": { "by": { "label": "patroni" }, "read-from": "replicas" } }"#
            => PrimaryReplica::by_label(preset::PATRONI).read_from(ReadFrom::Replicas),
        r#"{ "primary-replica": { "by": { "label": "zalando" }, "read-from": "primary-preferred",
            "while-absent": { "wait": "1m30s" } } }"#
            => PrimaryReplica::by_label(preset::ZALANDO).read_from(ReadFrom::PrimaryPreferred)
                .while_absent(Absent::Wait(Duration::from_secs(90))),
        r#"{ "primary-replica": { "by": { "label": "redis" }, "read-from": "replicas-preferred" } }"#
            => PrimaryReplica::by_label(preset::REDIS).read_from(ReadFrom::ReplicasPreferred),
        r#"{ "primary-replica": { "by": { "label": { "own": { "name": "example.com/role", "or-named": ["role"],
            "primary": "leader", "replica": "follower" } } }, "reads-unless-said": true, "read-from": "primary" } }"#
            => PrimaryReplica::by_label(own).reads_unless_said(),
        r#"{ "primary-replica": { "by": { "leadership": "db" }, "read-from": { "within": "15ms" },
            "max-lag": { "limit": "10s", "reported-by": "db" }, "over": "zone-aware" } }"#
            => PrimaryReplica::by_leadership(&nobody).read_from(ReadFrom::NEAR)
                .max_lag(Duration::from_secs(10), &unknown).over(ZoneAware::new()),
        r#"{ "primary-replica": { "by": { "label": "patroni" }, "fenced-by": "db", "read-from": "nearest" } }"#
            => PrimaryReplica::by_label(preset::PATRONI).fenced_by(&nobody).read_from(ReadFrom::Nearest),
        r#"{ "primary-replica": { "by": { "label": "patroni" }, "read-from": "replicas", "read-your-writes": "db" } }"#
            => PrimaryReplica::by_label(preset::PATRONI).read_from(ReadFrom::Replicas)
                .read_your_writes(&Progress::new()),
    }
}

fn learnt_and_own() -> Vec<(&'static str, Arc<dyn Policy>)> {
    table! {
        r#"{ "routes": { "learnt": "moved" } }"# => Routes::by_key().over(LeastRequest::new()),
        r#"{ "routes": { "learnt": "moved", "over": "maglev" } }"# => Routes::by_key().over(Maglev::new()),
        r#"{ "client-affinity": {} }"# => ClientAffinity::over(LeastRequest::new()),
        r#"{ "client-affinity": { "always": "3h", "capacity": 1024, "over": "peak-ewma" } }"#
            => ClientAffinity::over(PeakEwma::new()).always(Duration::from_secs(10_800)).with_capacity(1024),
        r#"{ "own": "mine" }"# => Random::new(),
        r#"{ "zone-aware": { "over": { "own": "mine" } } }"# => ZoneAware::over(Random::new()),
        r#"{ "shard": { "by": { "stateful-set": { "shards": 8 } }, "over": { "primary-replica": {
            "by": { "label": "cloud-native-pg" }, "read-from": "nearest", "over": { "zone-aware": {
            "over": { "ring-hash": { "bounded-load": 1.25 } } } } } } } }"#
            => Shard::by_stateful_set(Shards::fixed(8)).over(
                PrimaryReplica::by_label(preset::CLOUD_NATIVE_PG).read_from(ReadFrom::Nearest)
                    .over(ZoneAware::over(RingHash::new().bounded_load(1.25)))),
    }
}

#[test]
fn a_text_makes_what_the_same_words_in_rust_make() {
    for (text, policy) in table() {
        let config =
            PolicyConfig::from_json(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let built = config.build_with(&handles());
        let built = built.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(format!("{built:?}"), format!("{policy:?}"), "{text}");
        assert_eq!(built.is_by_identity(), policy.is_by_identity(), "{text}");
        assert_eq!(
            built.changes().is_some(),
            policy.changes().is_some(),
            "{text}"
        );
    }
}

#[test]
fn what_is_written_is_what_was_read() {
    for (text, _) in table() {
        let config = PolicyConfig::from_json(text).unwrap();
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(
            PolicyConfig::from_json(&written),
            Ok(config.clone()),
            "{written}"
        );
        // All JSON is YAML.
        assert_eq!(PolicyConfig::from_yaml(text), Ok(config), "{text}");
    }
}

#[test]
fn nothing_said_is_least_request() {
    let config = PolicyConfig::default();
    assert_eq!(
        PolicyConfig::from_json(r#""least-request""#),
        Ok(config.clone())
    );
    let (built, default) = (config.build().unwrap(), crate::policy::default_policy());
    assert_eq!(format!("{built:?}"), format!("{default:?}"));
}

#[test]
fn the_labels_to_be_watched_are_those_of_all_policies_in_it() {
    let config = PolicyConfig::from_json(
        r#"{ "routes": { "learnt": "moved", "over": { "shard": {
            "by": { "label": { "label": "example.com/shard", "shards": 2 } },
            "without-key": { "primary-replica": { "by": { "label": "zalando" } } },
            "over": { "primary-replica": { "by": { "label": "patroni" },
                "over": { "ring-hash": { "without-key": { "primary-replica": { "by": { "label": "patroni" } } } } } } }
        } } } }"#,
    );
    let labels = config.unwrap().pod_labels();
    assert_eq!(labels, ["example.com/shard", "role", "spilo-role"]);
    assert!(PolicyConfig::default().pod_labels().is_empty());
}

/// The name of a standby is the only closure that is made of text.
#[test]
fn a_standby_has_the_number_of_its_shard_in_its_name() {
    use crate::{
        Candidate, Endpoint, EndpointState, Intent, Measurement, PickContext, Placement, Time,
        Verdict,
    };
    use portolan_core::{Candidates, Index};
    let config = PolicyConfig::from_json(
        r#"{ "shard": { "by": { "ordinal": { "of": "db", "shards": 12, "keys": "number" } },
            "standby": "standby-{shard}-of-{shard}" } }"#,
    );
    let endpoint = Endpoint::new(
        Placement::new("standby-11-of-11"),
        ([10, 0, 0, 1], 80).into(),
    );
    let endpoint = Arc::new(endpoint);
    let state = EndpointState::new(Arc::clone(&endpoint), Measurement::default());
    let state = Arc::new(state);
    let candidates = Candidates::new([Candidate { endpoint, state }], 0);
    let picker = config.unwrap().build().unwrap().build(&candidates);
    let read = PickContext::new(Time::ORIGIN, 0).with_intent(Intent::Read);
    assert_eq!(
        picker.pick(&read.with_key(b"11")),
        Verdict::Use(Index::new(0))
    );
    assert_eq!(picker.pick(&read.with_key(b"10")), Verdict::Wait);
}
