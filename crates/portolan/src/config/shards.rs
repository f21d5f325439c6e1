//! How many shards there are.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{ConfigError, map_only::map_only, place::Place, range::Positive};
use crate::policy::Shards;

/// A number, or the name of one that is handed over and changes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ShardsConfig {
    Fixed(Positive),
    Changing(String),
}

/// A number that changes.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schemars(inline)]
struct Changing {
    /// The name under which it is handed over.
    changing: String,
}

map_only!(Changing);

impl ShardsConfig {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<Shards, ConfigError> {
        match self {
            Self::Fixed(shards) => Ok(Shards::fixed(shards.number())),
            Self::Changing(name) => place.handles().find_shards(name, &place.at("changing")),
        }
    }
}

impl<'de> Deserialize<'de> for ShardsConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrMap)
    }
}

struct NumberOrMap;

impl<'de> Visitor<'de> for NumberOrMap {
    type Value = ShardsConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of at least 1, or `changing` with the name of one that changes")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        let shards = Positive::try_from(number).map_err(E::custom)?;
        Ok(ShardsConfig::Fixed(shards))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        // What does not fit is too much in either case.
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let Changing { changing } = Changing::deserialize(MapAccessDeserializer::new(map))?;
        Ok(ShardsConfig::Changing(changing))
    }
}

impl Serialize for ShardsConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(shards) => shards.serialize(serializer),
            Self::Changing(name) => {
                let changing = name.clone();
                Changing { changing }.serialize(serializer)
            }
        }
    }
}

impl JsonSchema for ShardsConfig {
    fn schema_name() -> Cow<'static, str> {
        "Shards".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "How many shards there are: a number, or the name of one that is handed over and changes.",
            "anyOf": [generator.subschema_for::<Positive>(), generator.subschema_for::<Changing>()],
        })
    }
}
