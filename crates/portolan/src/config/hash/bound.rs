//! Of how many times its share a Pod may have.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Unexpected, Visitor},
};

/// A factor of at least 1, or `infinite`, which JSON has no number for: no bound, but any Pod may serve any key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::config) struct Bound(f64);

const INFINITE: &str = "infinite";

impl Bound {
    pub(super) fn factor(self) -> f64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Factor)
    }
}

struct Factor;

impl Visitor<'_> for Factor {
    type Value = Bound;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number of at least 1, such as 1.25, or `{INFINITE}`")
    }

    fn visit_f64<E: Error>(self, factor: f64) -> Result<Bound, E> {
        match factor >= 1.0 {
            true => Ok(Bound(factor)),
            false => Err(E::invalid_value(Unexpected::Float(factor), &self)),
        }
    }

    fn visit_u64<E: Error>(self, factor: u64) -> Result<Bound, E> {
        self.visit_f64(factor as f64)
    }

    fn visit_i64<E: Error>(self, factor: i64) -> Result<Bound, E> {
        self.visit_f64(factor as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bound, E> {
        match text {
            INFINITE => Ok(Bound(f64::INFINITY)),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }
}

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.is_finite() {
            true => serializer.serialize_f64(self.0),
            false => serializer.serialize_str(INFINITE),
        }
    }
}

impl JsonSchema for Bound {
    fn schema_name() -> Cow<'static, str> {
        "BoundedLoad".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "From 1.2 to 2 is usual. `infinite` bounds nothing, and says that any Pod may serve any key, which `jump-hash` does not take for granted.",
            "anyOf": [{ "type": "number", "minimum": 1 }, { "const": INFINITE }],
        })
    }
}
