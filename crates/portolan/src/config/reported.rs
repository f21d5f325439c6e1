//! The policies that go by what the endpoints report of their load.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{duration::Text, map_only::map_only, number::UpTo, range::Within};
use crate::policy::{BackendWeighted, Prequal};

/// Each in turn, as often as it reports that it can take it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "BackendWeighted")]
pub(super) struct BackendWeightedConfig {
    /// For how long the reports of a Pod that has just begun to report do not count. Default: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blackout: Option<Text>,
    /// How long a report counts. Default: 3m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiry: Option<Text>,
    /// How often weights are looked at; less than 100ms counts as that. Default: 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    update_period: Option<Text>,
    /// How much worse than a full load it is to fail every request. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error_penalty: Option<UpTo<1000>>,
}

/// Of a few at random, the fastest that has not more in hand than most of the Pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Prequal")]
pub(super) struct PrequalConfig {
    /// How many Pods are drawn for each request. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    choices: Option<Within<2, 16>>,
    /// Above which quantile of the requests that Pods have in hand one of them is hot. Default: 0.84.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hot_above: Option<UpTo<1>>,
    /// How old a report may be. Default: 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_age: Option<Text>,
}

map_only!(BackendWeightedConfig, PrequalConfig);

impl BackendWeightedConfig {
    pub(super) fn build(&self) -> BackendWeighted {
        let mut policy = BackendWeighted::new();
        if let Some(blackout) = &self.blackout {
            policy = policy.blackout(blackout.0);
        }
        if let Some(expiry) = &self.expiry {
            policy = policy.expiry(expiry.0);
        }
        if let Some(period) = &self.update_period {
            policy = policy.update_period(period.0);
        }
        if let Some(penalty) = self.error_penalty {
            policy = policy.error_penalty(penalty.number());
        }
        policy
    }
}

impl PrequalConfig {
    pub(super) fn build(&self) -> Prequal {
        let mut policy = Prequal::new();
        if let Some(choices) = self.choices {
            policy = policy.choices(choices.number() as usize);
        }
        if let Some(quantile) = self.hot_above {
            policy = policy.hot_above(quantile.number());
        }
        if let Some(age) = &self.max_age {
            policy = policy.max_age(age.0);
        }
        policy
    }
}
