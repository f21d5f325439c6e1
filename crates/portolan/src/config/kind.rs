//! Which policy.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ConfigError, PolicyConfig,
    client_affinity::ClientAffinityConfig,
    hash::{
        GrpcRingHashConfig, JumpHashConfig, KetamaConfig, MaglevConfig, RendezvousConfig,
        RingHashConfig,
    },
    map_only::map_only,
    place::Place,
    primary_replica::PrimaryReplicaConfig,
    reported::{BackendWeightedConfig, PrequalConfig},
    routes::RoutesConfig,
    shard::ShardConfig,
    zone_aware::ZoneAwareConfig,
};
use crate::{
    Policy,
    policy::{LeastRequest, PeakEwma, Random, RoundRobin, WeightedRoundRobin},
};

/// The policy that chooses a Pod for each request: its bare name where it has its defaults, or a map from its name to
/// its settings.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// Of two at random, the one with fewer requests in flight for its weight: the default.
    LeastRequest(NoSettings),
    /// Of two at random, the one that is likely to answer sooner.
    PeakEwma(NoSettings),
    /// Each in turn; weights do not count.
    RoundRobin(NoSettings),
    /// Each in turn, as often as its weight says.
    WeightedRoundRobin(NoSettings),
    /// Each in turn, as often as it reports that it can take it.
    BackendWeighted(BackendWeightedConfig),
    /// Of a few at random, the fastest that has not more in hand than most of the Pods.
    Prequal(PrequalConfig),
    /// Any, in proportion to the weights.
    Random(NoSettings),
    /// The same key to the same Pod: a ring on which the points of a Pod depend on that Pod alone.
    RingHash(RingHashConfig),
    /// The same key to the same Pod: a table of which each Pod has exactly its part.
    Maglev(MaglevConfig),
    /// The same key to the same Pod: the one with the best lot. For up to a hundred Pods.
    Rendezvous(RendezvousConfig),
    /// The same key to the same Pod, by the ordinals of a StatefulSet.
    JumpHash(JumpHashConfig),
    /// The ring of gRPC and Envoy, for fleets that must agree with those.
    GrpcRingHash(GrpcRingHashConfig),
    /// The ring of nginx and pingora, for fleets that must agree with those.
    Ketama(KetamaConfig),
    /// The client's own zone, as far as its size and load allow.
    ZoneAware(ZoneAwareConfig),
    /// Each client where it was, for Services that want that.
    ClientAffinity(ClientAffinityConfig),
    /// Each key on the Pods of its shard, and on no others.
    Shard(ShardConfig),
    /// Writes to the primary, reads where they may go.
    PrimaryReplica(PrimaryReplicaConfig),
    /// Where earlier answers said that requests belong, before anything else.
    Routes(RoutesConfig),
    /// A policy of the program's own, by the name under which it is handed over.
    Own(String),
}

/// There is nothing to set.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct NoSettings {}

map_only!(NoSettings);

impl Kind {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<Arc<dyn Policy>, ConfigError> {
        Ok(match self {
            Self::LeastRequest(_) => Arc::new(LeastRequest::new()),
            Self::PeakEwma(_) => Arc::new(PeakEwma::new()),
            Self::RoundRobin(_) => Arc::new(RoundRobin::new()),
            Self::WeightedRoundRobin(_) => Arc::new(WeightedRoundRobin::new()),
            Self::BackendWeighted(config) => Arc::new(config.build()),
            Self::Prequal(config) => Arc::new(config.build()),
            Self::Random(_) => Arc::new(Random::new()),
            Self::RingHash(config) => Arc::new(config.build(&place.at("ring-hash"))?),
            Self::Maglev(config) => Arc::new(config.build(&place.at("maglev"))?),
            Self::Rendezvous(config) => Arc::new(config.build(&place.at("rendezvous"))?),
            Self::JumpHash(config) => Arc::new(config.build(&place.at("jump-hash"))?),
            Self::GrpcRingHash(config) => Arc::new(config.build(&place.at("grpc-ring-hash"))?),
            Self::Ketama(config) => Arc::new(config.build(&place.at("ketama"))?),
            Self::ZoneAware(config) => Arc::new(config.build(&place.at("zone-aware"))?),
            Self::ClientAffinity(config) => Arc::new(config.build(&place.at("client-affinity"))?),
            Self::Shard(config) => Arc::new(config.build(&place.at("shard"))?),
            Self::PrimaryReplica(config) => Arc::new(config.build(&place.at("primary-replica"))?),
            Self::Routes(config) => Arc::new(config.build(&place.at("routes"))?),
            Self::Own(name) => place.handles().own(name, &place.at("own"))?,
        })
    }

    /// The labels that it and those inside of it go by.
    pub(super) fn collect_labels(&self, labels: &mut Vec<String>) {
        match self {
            Self::Shard(config) => labels.extend(config.label().map(str::to_owned)),
            Self::PrimaryReplica(config) => labels.extend(config.labels()),
            _ => {}
        }
        for inner in self.inner() {
            inner.0.collect_labels(labels);
        }
    }

    /// The policies that it is put over, and those for requests without a key.
    fn inner(&self) -> impl Iterator<Item = &PolicyConfig> {
        let (over, without_key) = match self {
            Self::LeastRequest(_)
            | Self::PeakEwma(_)
            | Self::RoundRobin(_)
            | Self::WeightedRoundRobin(_)
            | Self::BackendWeighted(_)
            | Self::Prequal(_)
            | Self::Random(_)
            | Self::Own(_) => (None, None),
            Self::RingHash(config) => (None, config.without_key.as_ref()),
            Self::Maglev(config) => (None, config.without_key.as_ref()),
            Self::Rendezvous(config) => (None, config.without_key.as_ref()),
            Self::JumpHash(config) => (None, config.without_key.as_ref()),
            Self::GrpcRingHash(config) => (None, config.without_key.as_ref()),
            Self::Ketama(config) => (None, config.without_key.as_ref()),
            Self::ZoneAware(config) => (Some(&config.over), None),
            Self::ClientAffinity(config) => (Some(&config.over), None),
            Self::Shard(config) => (Some(&config.over), config.without_key.as_ref()),
            Self::PrimaryReplica(config) => (Some(&config.over), None),
            Self::Routes(config) => (Some(&config.over), None),
        };
        over.into_iter().chain(without_key)
    }
}
