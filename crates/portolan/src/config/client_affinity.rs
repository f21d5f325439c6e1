//! Each client where it was.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ConfigError, PolicyConfig, duration::Text, map_only::map_only, place::Place, range::Within,
};
use crate::policy::ClientAffinity;

/// Each client where it was, for Services with `sessionAffinity: ClientIP`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schemars(rename = "ClientAffinity")]
pub(super) struct ClientAffinityConfig {
    /// Whatever the Service says, a client stays until it has been silent for so long. Default: as the Service says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    always: Option<Text>,
    /// How many clients are remembered. Default: 65536.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    capacity: Option<Within<64, { u32::MAX }>>,
    /// The policy for clients that are new.
    #[serde(default)]
    pub(super) over: PolicyConfig,
}

map_only!(ClientAffinityConfig);

impl ClientAffinityConfig {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<ClientAffinity, ConfigError> {
        let mut policy = ClientAffinity::over(self.over.build_at(&place.at("over"))?);
        if let Some(timeout) = &self.always {
            policy = policy.always(timeout.0);
        }
        if let Some(capacity) = self.capacity {
            // More than there is memory for is as many as there come.
            policy = policy.with_capacity(capacity.number() as usize);
        }
        Ok(policy)
    }
}
