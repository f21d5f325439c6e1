//! Policies compose: each sensible nesting is one expression, and what holds of its parts holds of the whole.

mod laws;
mod probe;
mod stage;

use std::{sync::Arc, time::Duration};

use crate::{
    Policy,
    policy::{
        Absent, ClientAffinity, GrpcRingHash, JumpHash, Ketama, LeastRequest, Maglev,
        PrimaryReplica, Progress, ReadFrom, Rendezvous, Resharding, RingHash, Routes, Shard,
        ShardMap, Sharding, Shards, Side, ZoneAware, preset,
    },
};

/// A nesting, with a place in it for one policy more.
struct Nest {
    /// Its layers, from the outermost on.
    layers: &'static [&'static str],
    /// What is known of it whatever is in that place.
    known: Known,
    /// Which requests get there.
    innermost: Reaches,
    /// With whom that policy is over, and who tells how far each Pod has got.
    make: fn(Arc<dyn Policy>, &Progress) -> Arc<dyn Policy>,
}

#[derive(Clone, Copy, Default)]
struct Known {
    by_identity: bool,
    timed: bool,
    /// It is not known that it never panics.
    may_panic: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Reaches {
    WithKey,
    WithoutKey,
}
use Reaches::{WithKey, WithoutKey};

const IDENTITY: Known = Known {
    by_identity: true,
    timed: false,
    may_panic: false,
};
const TIMED: Known = Known {
    by_identity: false,
    timed: true,
    may_panic: false,
};
const BOTH: Known = Known {
    timed: true,
    ..IDENTITY
};

/// By the number that the key is; see the [stage].
fn shards() -> Shard {
    Shard::by_label(stage::SHARD, Shards::fixed(stage::SHARDS)).keys(Sharding::number())
}

fn affine(inner: impl Policy + 'static) -> ClientAffinity {
    ClientAffinity::over(inner).always(Duration::from_secs(3600))
}

/// Reads by a token go where it is told how far each has got.
fn roles(told: &Progress) -> PrimaryReplica {
    let by_label = PrimaryReplica::by_label(preset::CLOUD_NATIVE_PG).read_your_writes(told);
    by_label.read_from(ReadFrom::ReplicasPreferred)
}

macro_rules! nests {
    ($leaf:ident, $told:ident: $([$($layer:literal)*] $known:expr, $reaches:expr => $policy:expr;)*) => {
        [$(Nest {
            layers: &[$($layer),*],
            known: $known,
            innermost: $reaches,
            make: |$leaf, $told| {
                let _ = $told;
                Arc::new($policy)
            },
        }),*]
    };
}

/// All that make sense, of two layers to four.
#[rustfmt::skip]
fn nests() -> impl Iterator<Item = Nest> {
    nests! { leaf, told:
        ["Shard" "PrimaryReplica" "ZoneAware"] BOTH, WithKey =>
            shards().over(roles(told).over(ZoneAware::over(leaf)));
        ["PrimaryReplica" "ZoneAware"] BOTH, WithKey =>
            roles(told).over(ZoneAware::over(leaf));
        ["Shard" "PrimaryReplica"] IDENTITY, WithKey =>
            shards().over(roles(told).over(leaf));
        ["Shard" "ZoneAware"] BOTH, WithKey =>
            shards().over(ZoneAware::over(leaf));
        ["ZoneAware"] TIMED, WithKey =>
            ZoneAware::over(leaf);
        ["ZoneAware" "RingHash"] BOTH, WithoutKey =>
            ZoneAware::over(RingHash::new().bounded_load(1.25).without_key(leaf));
        ["PrimaryReplica" "ZoneAware" "RingHash"] BOTH, WithoutKey =>
            roles(told).over(ZoneAware::over(RingHash::new().bounded_load(1.25).without_key(leaf)));
        ["Shard" "Rendezvous"] IDENTITY, WithoutKey =>
            shards().over(Rendezvous::new()).without_key(Rendezvous::new().without_key(leaf));
        ["Routes" "Shard"] IDENTITY, WithKey =>
            stage::learnt().over(shards().over(leaf));
        ["Routes" "Shard" "PrimaryReplica"] IDENTITY, WithKey =>
            stage::learnt().over(shards().over(roles(told).over(leaf)));
        ["Routes" "PrimaryReplica"] IDENTITY, WithKey =>
            stage::learnt().over(roles(told).over(leaf));
        ["Routes" "RingHash"] IDENTITY, WithoutKey =>
            Routes::by_key().over(RingHash::new().without_key(leaf));
        ["Resharding" "Shard"] IDENTITY, WithKey =>
            Resharding::new(shards().over(leaf), shards()).side(Side::Old);
        ["Resharding" "Shard" "PrimaryReplica" "ZoneAware"] BOTH, WithKey =>
            Resharding::new(shards().over(roles(told).over(ZoneAware::over(leaf))), shards()).side(Side::Old);
        ["Shard"] IDENTITY, WithoutKey =>
            shards().over(LeastRequest::new()).without_key(leaf);
        ["Shard"] IDENTITY, WithKey =>
            shards().while_absent(Absent::FailFast).standby(|shard| format!("db-0{shard}")).over(leaf);
        ["Shard" "ZoneAware"] BOTH, WithKey =>
            Shard::by_map(stage::map()).over(ZoneAware::over(leaf));
        ["Maglev" "PrimaryReplica"] IDENTITY, WithoutKey =>
            Maglev::new().without_key(roles(told).over(leaf));
        ["JumpHash" "ZoneAware"] BOTH, WithoutKey =>
            JumpHash::new().bounded_load(2.0).without_key(ZoneAware::over(leaf));
        ["PrimaryReplica" "GrpcRingHash"] IDENTITY, WithoutKey =>
            roles(told).over(GrpcRingHash::by_placement().without_key(leaf));
        ["Ketama"] IDENTITY, WithoutKey =>
            Ketama::by_placement().bounded_load(1.5).without_key(leaf);
        ["ClientAffinity"] TIMED, WithKey =>
            affine(leaf);
        ["ClientAffinity" "Shard"] BOTH, WithKey =>
            affine(shards().over(leaf));
        ["ClientAffinity" "Shard" "PrimaryReplica" "ZoneAware"] BOTH, WithKey =>
            affine(shards().over(roles(told).over(ZoneAware::over(leaf))));
        ["ClientAffinity" "Routes" "Shard"] BOTH, WithKey =>
            affine(stage::learnt().over(shards().over(leaf)));
        ["ClientAffinity" "RingHash"] BOTH, WithoutKey =>
            affine(RingHash::new().without_key(leaf));
        ["Shard" "ClientAffinity"] BOTH, WithKey =>
            shards().over(affine(leaf));
        ["Shard" "PrimaryReplica" "ClientAffinity"] BOTH, WithKey =>
            shards().over(roles(told).over(affine(leaf)));
        ["PrimaryReplica" "ClientAffinity" "ZoneAware"] BOTH, WithKey =>
            roles(told).over(affine(ZoneAware::over(leaf)));
        ["Resharding" "Shard" "ClientAffinity"] BOTH, WithKey =>
            Resharding::new(shards().over(affine(leaf)), shards()).side(Side::Old);
        ["ZoneAware" "ClientAffinity"] TIMED, WithKey =>
            ZoneAware::over(affine(leaf));
        // Where there are limits, pickers are asked for on the way, by a policy of which nothing is known.
        ["PrimaryReplica" "ZoneAware"] Known { may_panic: true, ..BOTH }, WithKey =>
            roles(told).read_from(ReadFrom::Within(Duration::from_millis(15))).over(ZoneAware::over(leaf));
        ["Shard" "PrimaryReplica"] Known { may_panic: true, ..BOTH }, WithKey =>
            shards().over(roles(told).read_from(ReadFrom::Nearest).over(leaf));
        // A closure may panic.
        ["Shard"] Known { may_panic: true, ..IDENTITY }, WithKey =>
            shards().keys(Sharding::by(|key, shards| Some(u32::from(*key.first()?) % shards))).over(leaf);
    }
    .into_iter()
}

impl Nest {
    fn has(&self, layer: &str) -> bool {
        self.layers.contains(&layer)
    }
}

#[test]
fn there_are_a_good_many() {
    assert!(nests().count() >= 20);
    assert!(nests().any(|nest| nest.layers.len() == 4));
    let _: ShardMap = stage::map();
}
