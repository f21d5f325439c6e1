//! What a policy goes by and no text can say, by name.

use std::{collections::BTreeMap, sync::Arc};

use super::{ConfigError, place::Place};
use crate::{
    Policy,
    policy::{Leadership, Progress, ReplicaLag, Routes, ShardMaps, Sharding, Shards},
};

/// What a policy goes by that is no data: whatever something else in the program feeds, and whatever is a
/// closure. A [`PolicyConfig`](super::PolicyConfig) refers to it by name.
///
/// Names are of a kind: a leadership and a lag may both be called `db`. Of two of a kind and name, the later counts.
///
/// ```
/// use portolan::{config::{Handles, PolicyConfig}, policy::Leadership};
///
/// let leadership = Leadership::new(); // and something tells it who leads
/// let handles = Handles::new().leadership("db", &leadership);
/// let config = PolicyConfig::from_json(r#"{ "primary-replica": { "by": { "leadership": "db" } } }"#)?;
/// let policy = config.build_with(&handles)?;
///
/// let error = config.build().unwrap_err();
/// assert_eq!(error.path(), "primary-replica.by.leadership");
/// # Ok::<(), portolan::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Handles {
    leaderships: BTreeMap<String, Leadership>,
    lags: BTreeMap<String, ReplicaLag>,
    progress: BTreeMap<String, Progress>,
    maps: BTreeMap<String, ShardMaps>,
    shards: BTreeMap<String, Shards>,
    shardings: BTreeMap<String, Sharding>,
    routes: BTreeMap<String, Routes>,
    own: BTreeMap<String, Arc<dyn Policy>>,
}

impl Handles {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Who leads, for `primary-replica`: its `by.leadership` and its `fenced-by`.
    #[must_use]
    pub fn leadership(mut self, name: impl Into<String>, leadership: &Leadership) -> Self {
        self.leaderships.insert(name.into(), leadership.clone());
        self
    }

    /// How far replicas are behind, for `primary-replica`: its `max-lag.reported-by`.
    #[must_use]
    pub fn lag(mut self, name: impl Into<String>, lag: &ReplicaLag) -> Self {
        self.lags.insert(name.into(), lag.clone());
        self
    }

    /// How far each endpoint has got in what was written, for `primary-replica`: its `read-your-writes`.
    #[must_use]
    pub fn progress(mut self, name: impl Into<String>, progress: &Progress) -> Self {
        self.progress.insert(name.into(), progress.clone());
        self
    }

    /// Maps of shards that come one after another, for `shard`: its `by.maps`.
    #[must_use]
    pub fn maps(mut self, name: impl Into<String>, maps: impl Into<ShardMaps>) -> Self {
        self.maps.insert(name.into(), maps.into());
        self
    }

    /// A number of shards that changes, for `shard`: the `changing` of its `shards`.
    #[must_use]
    pub fn shards(mut self, name: impl Into<String>, shards: Shards) -> Self {
        self.shards.insert(name.into(), shards);
        self
    }

    /// A closure from keys to shards, for `shard`: the `own` of its `keys`.
    #[must_use]
    pub fn sharding(mut self, name: impl Into<String>, sharding: Sharding) -> Self {
        self.shardings.insert(name.into(), sharding);
        self
    }

    /// Routes that are learnt, for `routes`: its `learnt`.
    #[must_use]
    pub fn routes(mut self, name: impl Into<String>, routes: &Routes) -> Self {
        self.routes.insert(name.into(), routes.clone());
        self
    }

    /// A policy of one's own, for `own`.
    #[must_use]
    pub fn policy(mut self, name: impl Into<String>, policy: impl Policy + 'static) -> Self {
        self.own.insert(name.into(), Arc::new(policy));
        self
    }

    pub(super) fn find_leadership(
        &self,
        name: &str,
        place: &Place<'_>,
    ) -> Result<Leadership, ConfigError> {
        find(&self.leaderships, name, "leadership", place)
    }

    pub(super) fn find_lag(
        &self,
        name: &str,
        place: &Place<'_>,
    ) -> Result<ReplicaLag, ConfigError> {
        find(&self.lags, name, "lag", place)
    }

    pub(super) fn find_progress(
        &self,
        name: &str,
        place: &Place<'_>,
    ) -> Result<Progress, ConfigError> {
        find(&self.progress, name, "progress", place)
    }

    pub(super) fn find_maps(
        &self,
        name: &str,
        place: &Place<'_>,
    ) -> Result<ShardMaps, ConfigError> {
        find(&self.maps, name, "maps", place)
    }

    pub(super) fn find_shards(&self, name: &str, place: &Place<'_>) -> Result<Shards, ConfigError> {
        find(&self.shards, name, "shards", place)
    }

    pub(super) fn find_sharding(
        &self,
        name: &str,
        place: &Place<'_>,
    ) -> Result<Sharding, ConfigError> {
        find(&self.shardings, name, "sharding", place)
    }

    pub(super) fn find_routes(&self, name: &str, place: &Place<'_>) -> Result<Routes, ConfigError> {
        find(&self.routes, name, "routes", place)
    }

    pub(super) fn own(
        &self,
        name: &str,
        place: &Place<'_>,
    ) -> Result<Arc<dyn Policy>, ConfigError> {
        find(&self.own, name, "policy", place)
    }
}

fn find<T: Clone>(
    all: &BTreeMap<String, T>,
    name: &str,
    method: &str,
    place: &Place<'_>,
) -> Result<T, ConfigError> {
    all.get(name).cloned().ok_or_else(|| {
        let known: Vec<_> = all.keys().map(|known| format!("`{known}`")).collect();
        let known = match &*known {
            [] => "none is".to_owned(),
            known => format!("those that are: {}", known.join(", ")),
        };
        place.refuse(format!(
            "`{name}` is not handed over by the program ({known}): it does that by \
             `Handles::{method}` and `PolicyConfig::build_with`"
        ))
    })
}
