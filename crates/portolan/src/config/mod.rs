//! A policy chosen from configuration.
//!
//! Which policy serves a workload best is often known to those who run it, and not to those who write its clients. A
//! [`PolicyConfig`] is a policy as data: it is read from JSON, YAML or whatever else serde reads, and
//! [built](PolicyConfig::build) into what [`BalancerBuilder::policy`](crate::BalancerBuilder::policy) takes.
//!
//! ```
//! use portolan::config::PolicyConfig;
//!
//! # fn main() -> Result<(), portolan::config::ConfigError> {
//! let config = PolicyConfig::from_json(r#"{
//!     "shard": {
//!         "by": { "stateful-set": { "shards": 8, "keys": "slots" } },
//!         "while-absent": { "wait": "2s" },
//!         "over": { "primary-replica": {
//!             "by": { "label": "cloud-native-pg" },
//!             "read-from": "nearest",
//!             "over": "zone-aware"
//!         } }
//!     }
//! }"#)?;
//! let policy = config.build()?; // goes into `.policy(…)`
//! assert!(policy.is_by_identity());
//!
//! let error = PolicyConfig::from_json(r#"{ "zone-aware": { "over": "ring-hsah" } }"#).unwrap_err();
//! assert_eq!(error.path(), "zone-aware.over");
//! assert!(error.to_string().contains("unknown variant `ring-hsah`, expected one of"));
//! # Ok(()) }
//! ```
//!
//! Policies and their settings are called what they are called in Rust, in kebab-case, and whatever another policy is
//! put over is in its field `over`. Whatever is left out has the default that it has in Rust. All policies with their
//! fields, in a table, and whole examples are in
//! [a guide](https://github.com/portolan-rs/portolan/blob/main/docs/policies-from-configuration.md); its JSON schema,
//! `docs/policy.schema.json`, is for editors.
//!
//! What is not data is [handed over by name](Handles): a leadership that something else feeds, a map of shards that
//! changes, a policy of one's own.

mod absent;
mod bare;
mod client_affinity;
mod depth;
mod duration;
mod error;
mod handles;
mod hash;
mod kind;
mod map_only;
mod number;
mod place;
mod primary_replica;
mod range;
mod read;
mod reported;
mod routes;
mod shard;
mod shard_map;
mod shards;
mod text;
mod zone_aware;

use std::sync::Arc;

use schemars::Schema;
use serde::{Deserializer, Serialize};

pub use self::{error::ConfigError, handles::Handles, shard_map::ShardMapConfig};
use self::{kind::Kind, place::Place};
use crate::Policy;

/// A policy as data: one of those in [`policy`](crate::policy), with its settings and the policies that it is put over.
///
/// It deserializes from any format that describes itself, either from the bare name of a policy (`least-request`), which
/// then has its defaults, or from a map of one entry, from its name to its settings. What is out of range, unknown or
/// missing is refused there; what only [building](Self::build) can find out is refused then. Either error names the
/// field.
///
/// ```
/// use portolan::config::PolicyConfig;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Settings {
///     #[serde(default)] // least request, as anywhere
///     policy: PolicyConfig,
/// }
///
/// let settings: Settings = serde_json::from_str(r#"{ "policy": { "ring-hash": { "bounded-load": 1.25 } } }"#)?;
/// let policy = settings.policy.build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// At most 32 policies are put over each other, whatever the format would let through: no text overflows the stack.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyConfig(Box<Kind>);

impl PolicyConfig {
    /// Reads JSON.
    ///
    /// # Errors
    /// Where the text is not JSON, or no policy: the error names the field and the place in the text.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        text::from_json(text)
    }

    /// Reads YAML.
    ///
    /// ```
    /// use portolan::config::PolicyConfig;
    ///
    /// let config = PolicyConfig::from_yaml("
    /// zone-aware:
    ///   over: peak-ewma
    /// ")?;
    /// let error = PolicyConfig::from_yaml("zone-aware: {over: {maglev: {table-size: 0}}}").unwrap_err();
    /// assert_eq!(error.path(), "zone-aware.over.maglev.table-size");
    /// assert!(error.to_string().contains("at line 1, column"), "{error}");
    /// # Ok::<(), portolan::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// Where the text is not YAML, or no policy: the error names the field and the place in the text.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        text::from_yaml(text)
    }

    /// Reads any format, and finds out in which field an error is, which the format itself may not tell.
    ///
    /// ```
    /// use portolan::config::PolicyConfig;
    ///
    /// let value = serde_json::json!({ "zone-aware": { "over": { "maglev": { "table-size": 0 } } } });
    /// let error = PolicyConfig::from_deserializer(value).unwrap_err();
    /// assert_eq!(error.path(), "zone-aware.over.maglev.table-size");
    /// ```
    ///
    /// # Errors
    /// Where it is no policy.
    pub fn from_deserializer<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Self, ConfigError> {
        text::from_deserializer(deserializer)
    }

    /// Makes the policy. Each one that is made keeps what it learns to itself, so make one for each balancer.
    ///
    /// # Errors
    /// Where settings do not fit each other, and where something is to be [handed over](Self::build_with).
    pub fn build(&self) -> Result<Arc<dyn Policy>, ConfigError> {
        self.build_with(&Handles::new())
    }

    /// Makes the policy, with what is not data and is handed over by name.
    ///
    /// # Errors
    /// As for [`build`](Self::build), and where a name is none of those.
    pub fn build_with(&self, handles: &Handles) -> Result<Arc<dyn Policy>, ConfigError> {
        self.build_at(&Place::root(handles))
    }

    /// The labels of Pods that the policy goes by, in order and each once. The source has to be told of them:
    /// `portolan::kube::Cluster::with_pod_labels` is.
    ///
    /// ```
    /// use portolan::config::PolicyConfig;
    ///
    /// let config = PolicyConfig::from_json(r#"{ "primary-replica": { "by": { "label": "cloud-native-pg" } } }"#)?;
    /// assert_eq!(config.pod_labels(), ["cnpg.io/instanceRole", "role"]);
    /// # Ok::<(), portolan::config::ConfigError>(())
    /// ```
    #[must_use]
    pub fn pod_labels(&self) -> Vec<String> {
        let mut labels = Vec::new();
        self.0.collect_labels(&mut labels);
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    /// The JSON schema of what is read, for editors and for other programs. The one of this release is in the
    /// repository: `docs/policy.schema.json`.
    ///
    /// ```
    /// let schema = portolan::config::PolicyConfig::schema();
    /// println!("{}", serde_json::to_string_pretty(&schema)?);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn schema() -> Schema {
        schemars::schema_for!(Self)
    }

    fn build_at(&self, place: &Place<'_>) -> Result<Arc<dyn Policy>, ConfigError> {
        self.0.build(place)
    }
}

/// Least request, as everywhere in Portolan where no policy is named.
impl Default for PolicyConfig {
    fn default() -> Self {
        Self(Box::new(Kind::LeastRequest(kind::NoSettings {})))
    }
}

#[cfg(test)]
mod tests;
