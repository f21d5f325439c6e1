//! The client's own zone first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigError, PolicyConfig, map_only::map_only, place::Place};
use crate::policy::ZoneAware;

/// The client's own zone, as far as its size and load allow.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schemars(rename = "ZoneAware")]
pub(super) struct ZoneAwareConfig {
    /// The policy inside of each zone.
    #[serde(default)]
    pub(super) over: PolicyConfig,
}

map_only!(ZoneAwareConfig);

impl ZoneAwareConfig {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<ZoneAware, ConfigError> {
        Ok(ZoneAware::over(self.over.build_at(&place.at("over"))?))
    }
}
