//! How a policy is read, and what is said of how it is written.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor,
        value::{MapAccessDeserializer, MapDeserializer},
    },
};

use super::{PolicyConfig, bare::Bare, depth::Depth, kind::Kind};

impl<'de> Deserialize<'de> for PolicyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let _inside = Depth::enter().map_err(D::Error::custom)?;
        deserializer.deserialize_any(NameOrMap)
    }
}

struct NameOrMap;

impl<'de> Visitor<'de> for NameOrMap {
    type Value = PolicyConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a policy, or a map from its name to its settings")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let entry = [(name, Bare::new(name))].into_iter();
        let map = MapDeserializer::new(entry);
        Kind::deserialize(MapAccessDeserializer::new(map)).map(PolicyConfig::of)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let kind = Kind::deserialize(MapAccessDeserializer::new(First(&mut map)))?;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(PolicyConfig::of(kind)),
            Some(_) => Err(A::Error::custom(
                "two policies where there is to be one: put one over the other by its field `over`, or take one away",
            )),
        }
    }
}

/// The first entry of a map, which there must be.
struct First<'a, A>(&'a mut A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for First<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let key = self.0.next_key_seed(seed)?;
        let empty = || A::Error::custom("an empty map, where there is to be the name of a policy");
        key.map(Some).ok_or_else(empty)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

impl PolicyConfig {
    fn of(kind: Kind) -> Self {
        Self(Box::new(kind))
    }
}

impl JsonSchema for PolicyConfig {
    fn schema_name() -> Cow<'static, str> {
        "Policy".into()
    }

    fn schema_id() -> Cow<'static, str> {
        "portolan::config::PolicyConfig".into()
    }

    /// That of the map, and the names that may stand alone.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Kind::json_schema(generator);
        let maps = schema.get_mut("oneOf").and_then(|maps| maps.as_array_mut());
        let Some(maps) = maps else {
            return schema;
        };
        let bare: Vec<String> = maps
            .iter()
            .filter_map(|map| bare_name(map, generator))
            .collect();
        let bare = json_schema!({ "description": "A policy with its defaults.", "enum": bare });
        maps.insert(0, bare.to_value());
        schema
    }
}

/// The name of a policy of which nothing must be said.
fn bare_name(map: &serde_json::Value, generator: &SchemaGenerator) -> Option<String> {
    let (name, settings) = map.get("properties")?.as_object()?.iter().next()?;
    let settings = match settings.get("$ref").and_then(|path| path.as_str()) {
        Some(path) => generator.definitions().get(path.rsplit('/').next()?)?,
        None => settings,
    };
    let is_map = settings.get("type")?.as_str()? == "object";
    (is_map && settings.get("required").is_none()).then(|| name.clone())
}
