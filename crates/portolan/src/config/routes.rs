//! What answers have said of where requests belong.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigError, PolicyConfig, map_only::map_only, place::Place};
use crate::policy::ByRoutes;

/// Where earlier answers said that requests belong, before anything else.
///
/// The routes are handed over by the program, since the client that learns them needs them, too.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schemars(rename = "Routes")]
pub(super) struct RoutesConfig {
    /// The name under which the routes are handed over.
    pub(super) learnt: String,
    /// The policy for requests of which no answer has said anything.
    #[serde(default)]
    pub(super) over: PolicyConfig,
}

map_only!(RoutesConfig);

impl RoutesConfig {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<ByRoutes, ConfigError> {
        let handles = place.handles();
        let routes = handles.find_routes(&self.learnt, &place.at("learnt"))?;
        Ok(routes.over(self.over.build_at(&place.at("over"))?))
    }
}
