//! Numbers within limits.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A whole number from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "i64", into = "u32")]
pub(super) struct Within<const LEAST: u32, const MOST: u32>(u32);

/// A number of which there is at least one.
pub(super) type Positive = Within<1, { u32::MAX }>;

/// Any number.
pub(super) type Natural = Within<0, { u32::MAX }>;

impl Positive {
    pub(super) const ONE: Self = Self(1);
}

/// None, where nothing is said.
impl Default for Natural {
    fn default() -> Self {
        Self(0)
    }
}

impl<const LEAST: u32, const MOST: u32> Within<LEAST, MOST> {
    pub(super) fn number(self) -> u32 {
        self.0
    }
}

impl<const LEAST: u32, const MOST: u32> TryFrom<i64> for Within<LEAST, MOST> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        let found = u32::try_from(number).ok();
        let within = found.filter(|number| (LEAST..=MOST).contains(number));
        within
            .map(Self)
            .ok_or_else(|| format!("{number} is out of range: from {LEAST} to {MOST}"))
    }
}

impl<const LEAST: u32, const MOST: u32> From<Within<LEAST, MOST>> for u32 {
    fn from(number: Within<LEAST, MOST>) -> Self {
        number.0
    }
}

impl<const LEAST: u32, const MOST: u32> JsonSchema for Within<LEAST, MOST> {
    fn schema_name() -> Cow<'static, str> {
        format!("From{LEAST}To{MOST}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }
}
