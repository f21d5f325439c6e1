//! The client's own zone first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigError, PolicyConfig, place::Place};
use crate::policy::ZoneAware;

/// The client's own zone, as far as its size and load allow.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ZoneAware")]
pub(super) struct ZoneAwareConfig {
    /// The policy inside of each zone.
    #[serde(default)]
    pub(super) over: PolicyConfig,
}

impl ZoneAwareConfig {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<ZoneAware, ConfigError> {
        Ok(ZoneAware::over(self.over.build_at(&place.at("over"))?))
    }
}
