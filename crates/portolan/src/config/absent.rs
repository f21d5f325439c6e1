//! What becomes of requests while the only ones that may serve them are not there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Text;
use crate::policy::Absent;

/// What becomes of a request while the only ones that may serve it are not there. Default: it waits as long as the
/// balancer lets any request wait.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Absent")]
pub(super) enum AbsentConfig {
    /// It waits, so long at most.
    Wait(Text),
    /// It fails at once.
    FailFast,
}

impl From<AbsentConfig> for Absent {
    fn from(config: AbsentConfig) -> Self {
        match config {
            AbsentConfig::Wait(limit) => Self::Wait(limit.0),
            AbsentConfig::FailFast => Self::FailFast,
        }
    }
}
