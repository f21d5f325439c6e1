//! Numbers that need not be whole, within limits.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A number from 0 to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "f64", into = "f64")]
pub(super) struct UpTo<const MOST: u32>(f64);

impl<const MOST: u32> UpTo<MOST> {
    pub(super) fn number(self) -> f64 {
        self.0
    }
}

impl<const MOST: u32> TryFrom<f64> for UpTo<MOST> {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        // What is no number is in no range.
        match (0.0..=f64::from(MOST)).contains(&number) {
            true => Ok(Self(number)),
            false => Err(format!("{number} is out of range: from 0 to {MOST}")),
        }
    }
}

impl<const MOST: u32> From<UpTo<MOST>> for f64 {
    fn from(number: UpTo<MOST>) -> Self {
        number.0
    }
}

impl<const MOST: u32> JsonSchema for UpTo<MOST> {
    fn schema_name() -> Cow<'static, str> {
        format!("NumberUpTo{MOST}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": MOST })
    }
}
