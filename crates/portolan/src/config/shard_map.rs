//! A map of shards that is written out.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::{ConfigError, Handles, map_only::map_only, place::Place, range::Within, text};
use crate::policy::{ShardMap, ShardMapError};

/// A map of shards as data: its shards, and, where whoever writes it counts, its generation.
///
/// ```
/// use portolan::config::ShardMapConfig;
///
/// let map = ShardMapConfig::from_yaml("
/// generation: 7
/// shards:
/// - {shard: 0, has: {ranges: [{below: m}]}, pods: [db-0]}
/// - {shard: 1, has: {ranges: [{from: m}]}, pods: [db-1, db-2]}
/// ")?
/// .build()?;
/// assert_eq!(map.shard_of(b"harbour"), Some(0));
/// # Ok::<(), portolan::config::ConfigError>(())
/// ```
///
/// Where maps come one after another, `portolan::shard_maps` follows them: in a file, in a ConfigMap.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schemars(rename = "NumberedShardMap")]
pub struct ShardMapConfig {
    /// Which map it is: of two, the one of the higher number counts. Default: it counts when it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    /// Its shards.
    shards: MapConfig,
}

impl ShardMapConfig {
    /// Reads JSON.
    ///
    /// # Errors
    /// Where the text is not JSON, or no map: the error names the field and the place in the text.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        text::from_json(text)
    }

    /// Reads YAML.
    ///
    /// # Errors
    /// Where the text is not YAML, or no map: the error names the field and the place in the text.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        text::from_yaml(text)
    }

    /// Makes the map.
    ///
    /// # Errors
    /// Where it is not whole: an error that names each gap and each overlap.
    pub fn build(&self) -> Result<ShardMap, ConfigError> {
        let handles = Handles::new();
        let root = Place::root(&handles);
        let map = self.shards.build(&root.at("shards"))?;
        Ok(match self.generation {
            Some(generation) => map.with_generation(generation),
            None => map,
        })
    }

    /// The JSON schema of what is read.
    #[must_use]
    pub fn schema() -> Schema {
        schemars::schema_for!(Self)
    }
}

/// All shards: the keys that each has, and its Pods. No key may be without a shard, and none may have two.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(rename = "ShardMap")]
pub(super) struct MapConfig(#[schemars(length(min = 1))] Vec<OwnerConfig>);

/// A shard, the keys that it has, and its Pods.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schemars(rename = "ShardOwner")]
struct OwnerConfig {
    /// Its number.
    shard: Within<0, { u32::MAX - 1 }>,
    /// Its keys.
    has: Has,
    /// The stable names of its Pods.
    #[schemars(length(min = 1))]
    pods: Vec<String>,
}

/// The keys of a shard. All shards of a map have the same of the two.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ShardKeys")]
enum Has {
    /// Ranges of keys, in the order of their bytes.
    Ranges(#[schemars(length(min = 1))] Vec<KeyRange>),
    /// Slots of Redis Cluster.
    Slots(#[schemars(length(min = 1))] Vec<SlotRange>),
}

/// The keys from one on, to below another.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
struct KeyRange {
    /// The first key. Default: from the least on.
    #[serde(default)]
    from: String,
    /// The key that they are below. Default: to the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    below: Option<String>,
}

/// The slots from one to another, both included.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
struct SlotRange {
    /// The first.
    first: Within<0, 16_383>,
    /// The last.
    last: Within<0, 16_383>,
}

map_only!(ShardMapConfig, OwnerConfig, KeyRange, SlotRange);

impl MapConfig {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<ShardMap, ConfigError> {
        self.check(place)?;
        let ranges = || self.0.iter().flat_map(OwnerConfig::ranges);
        let slots = || self.0.iter().flat_map(OwnerConfig::slots);
        let map = match slots().next() {
            None => {
                let mut map = ShardMap::ranges();
                for (shard, range) in ranges() {
                    map = match range.below.as_deref() {
                        Some(below) => map.assign(range.from.as_str()..below, shard),
                        None => map.assign(range.from.as_str().., shard),
                    };
                }
                let pods = self.0.iter();
                let map = pods.fold(map, |map, one| map.pods(one.number(), one.pods()));
                map.build()
            }
            Some(_) => {
                let mut map = ShardMap::slots();
                for (shard, slots) in slots() {
                    map = map.assign(slots.numbers(), shard);
                }
                let pods = self.0.iter();
                let map = pods.fold(map, |map, one| map.pods(one.number(), one.pods()));
                map.build()
            }
        };
        map.map_err(|error: ShardMapError| {
            place.refuse(format!(
                "{error}. Give each key to one shard: a range goes from `from` to below `below`, and slots from \
                 `first` to `last`, which is one of them"
            ))
        })
    }

    /// What can be said of a single shard.
    fn check(&self, place: &Place<'_>) -> Result<(), ConfigError> {
        let mut known = BTreeMap::new();
        let first = self.0.first();
        for (nth, owner) in self.0.iter().enumerate() {
            let place = place.nth(nth);
            if let Some(before) = known.insert(owner.number(), nth) {
                let number = owner.number();
                return Err(place.at("shard").refuse(format!(
                    "shard {number} is there already, at [{before}]: put the two together"
                )));
            }
            if owner.pods.is_empty() {
                return Err(place
                    .at("pods")
                    .refuse("there are none: name at least one Pod"));
            }
            if first.is_some_and(|first| !first.has.is_of_the_kind_of(&owner.has)) {
                return Err(place.at("has").refuse(
                    "some shards have `ranges` and others `slots`: let all have the same of the two",
                ));
            }
            if owner.has.is_nothing() {
                return Err(place
                    .at("has")
                    .refuse("the shard has no keys: give it some, or leave the shard out"));
            }
        }
        Ok(())
    }
}

impl OwnerConfig {
    fn number(&self) -> u32 {
        self.shard.number()
    }

    fn pods(&self) -> impl Iterator<Item = &str> {
        self.pods.iter().map(String::as_str)
    }

    fn ranges(&self) -> impl Iterator<Item = (u32, &KeyRange)> {
        let ranges: &[KeyRange] = match &self.has {
            Has::Ranges(ranges) => ranges,
            Has::Slots(_) => &[],
        };
        ranges.iter().map(|range| (self.number(), range))
    }

    fn slots(&self) -> impl Iterator<Item = (u32, &SlotRange)> {
        let slots: &[SlotRange] = match &self.has {
            Has::Slots(slots) => slots,
            Has::Ranges(_) => &[],
        };
        slots.iter().map(|range| (self.number(), range))
    }
}

impl Has {
    fn is_of_the_kind_of(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Ranges(_), Self::Ranges(_)) | (Self::Slots(_), Self::Slots(_))
        )
    }

    fn is_nothing(&self) -> bool {
        match self {
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Slots(slots) => slots.is_empty(),
        }
    }
}

impl SlotRange {
    fn numbers(&self) -> std::ops::RangeInclusive<u16> {
        // Within 16383, so nothing is cut off.
        self.first.number() as u16..=self.last.number() as u16
    }
}
