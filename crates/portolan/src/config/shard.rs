//! Each key on the Pods of its own shard.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ConfigError, PolicyConfig,
    absent::AbsentConfig,
    map_only::map_only,
    place::Place,
    range::{Natural, Positive},
    shard_map::MapConfig,
    shards::ShardsConfig,
};
use crate::policy::{Ordinals, Shard, Sharding};

/// Each key on the Pods of its shard, and on no others.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Shard")]
pub(super) struct ShardConfig {
    /// Which shard a key is of, and which Pods have it.
    by: By,
    /// What becomes of a request while no Pod of its shard is there. Default: it waits as long as the balancer lets
    /// any request wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    while_absent: Option<AbsentConfig>,
    /// The name of the Pod that reads for a shard while no Pod of that is there; `{shard}` in it is the shard's
    /// number. Default: nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    standby: Option<String>,
    /// The policy for requests without a key. Default: they fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) without_key: Option<PolicyConfig>,
    /// The policy among the Pods of a shard.
    #[serde(default)]
    pub(super) over: PolicyConfig,
}

/// Which shard a key is of, and which Pods have it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ShardBy")]
enum By {
    /// A shard is the Pod of its ordinal in a StatefulSet, or several.
    Ordinal(ByOrdinal),
    /// There is a StatefulSet for each shard, whose name ends with the shard's number.
    StatefulSet(ByStatefulSet),
    /// A label of the Pods has the number of their shard.
    Label(ByLabel),
    /// What this map says.
    Map(MapConfig),
    /// What the maps say that are handed over under this name.
    Maps(String),
}

/// A shard is the Pod of its ordinal in a StatefulSet, or several.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "kebab-case")]
struct ByOrdinal {
    /// How many shards there are.
    shards: ShardsConfig,
    /// Which shard a key is of.
    #[serde(default)]
    keys: KeysConfig,
    /// The name of the StatefulSet. Default: whichever there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    /// The ordinal that the StatefulSet counts from (its `spec.ordinals.start`).
    #[serde(default)]
    starting_at: Natural,
    /// So many Pods, one after another, have a shard.
    #[serde(default = "one")]
    replicas: Positive,
}

/// There is a StatefulSet for each shard, whose name ends with the shard's number.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "kebab-case")]
struct ByStatefulSet {
    /// How many shards there are.
    shards: ShardsConfig,
    /// Which shard a key is of.
    #[serde(default)]
    keys: KeysConfig,
}

/// A label of the Pods has the number of their shard.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "kebab-case")]
struct ByLabel {
    /// How many shards there are.
    shards: ShardsConfig,
    /// Which shard a key is of.
    #[serde(default)]
    keys: KeysConfig,
    /// The name of the label.
    label: String,
}

/// Which shard a key is of.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Sharding")]
enum KeysConfig {
    /// Jump hash of the key: with one shard more, the fewest keys move.
    #[default]
    Jump,
    /// The hash of the key, modulo the number of shards.
    Modulo,
    /// The decimal number that the key is, modulo the number of shards.
    Number,
    /// The slot of the key as Redis Cluster has it, the slots dealt out evenly.
    Slots,
    /// What a closure says that is handed over under this name.
    Own(String),
}

fn one() -> Positive {
    Positive::ONE
}

map_only!(ShardConfig, ByOrdinal, ByStatefulSet, ByLabel);

impl ShardConfig {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<Shard, ConfigError> {
        let mut policy = self.by.build(&place.at("by"))?;
        if let Some(absent) = self.while_absent {
            policy = policy.while_absent(absent.into());
        }
        if let Some(name) = self.standby.clone() {
            policy = policy.standby(move |shard| name.replace("{shard}", &shard.to_string()));
        }
        if let Some(inner) = &self.without_key {
            policy = policy.without_key(inner.build_at(&place.at("without-key"))?);
        }
        Ok(policy.over(self.over.build_at(&place.at("over"))?))
    }

    /// The label of Pods that it goes by.
    pub(super) fn label(&self) -> Option<&str> {
        match &self.by {
            By::Label(by) => Some(&by.label),
            _ => None,
        }
    }
}

impl By {
    fn build(&self, place: &Place<'_>) -> Result<Shard, ConfigError> {
        match self {
            Self::Ordinal(by) => {
                let place = place.at("ordinal");
                let ordinals = by.of.as_deref().map_or_else(Ordinals::new, Ordinals::of);
                let ordinals = ordinals.starting_at(by.starting_at.number());
                let ordinals = ordinals.replicas(by.replicas.number());
                let policy = Shard::by_ordinals(ordinals, by.shards.build(&place.at("shards"))?);
                Ok(policy.keys(by.keys.build(&place.at("keys"))?))
            }
            Self::StatefulSet(by) => {
                let place = place.at("stateful-set");
                let policy = Shard::by_stateful_set(by.shards.build(&place.at("shards"))?);
                Ok(policy.keys(by.keys.build(&place.at("keys"))?))
            }
            Self::Label(by) => {
                let place = place.at("label");
                let shards = by.shards.build(&place.at("shards"))?;
                let policy = Shard::by_label(by.label.as_str(), shards);
                Ok(policy.keys(by.keys.build(&place.at("keys"))?))
            }
            Self::Map(map) => Ok(Shard::by_map(map.build(&place.at("map"))?)),
            Self::Maps(name) => {
                let maps = place.handles().find_maps(name, &place.at("maps"))?;
                Ok(Shard::by_map(maps))
            }
        }
    }
}

impl KeysConfig {
    fn build(&self, place: &Place<'_>) -> Result<Sharding, ConfigError> {
        Ok(match self {
            Self::Jump => Sharding::jump(),
            Self::Modulo => Sharding::modulo(),
            Self::Number => Sharding::number(),
            Self::Slots => Sharding::slots(),
            Self::Own(name) => place.handles().find_sharding(name, &place.at("own"))?,
        })
    }
}
