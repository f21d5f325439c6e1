//! Writes to the primary, reads where they may go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ConfigError, PolicyConfig, absent::AbsentConfig, duration::Text, map_only::map_only,
    place::Place,
};
use crate::policy::{PrimaryReplica, ReadFrom, RoleLabel, preset};

/// Writes to the primary, reads where they may go.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "PrimaryReplica")]
pub(super) struct PrimaryReplicaConfig {
    /// Who says which Pod is the primary.
    by: By,
    /// Besides, the primary must be the one that this leadership names, which is handed over. Default: whom `by` names
    /// is it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fenced_by: Option<String>,
    /// Where reads go.
    #[serde(default)]
    read_from: ReadFromConfig,
    /// What becomes of requests for the primary while there is none. Default: they wait as long as the balancer lets
    /// any request wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    while_absent: Option<AbsentConfig>,
    /// How far behind a replica may be that is read from. Default: there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_lag: Option<MaxLag>,
    /// The name under which is handed over who knows how far each Pod has got in what was written, for reads that must see
    /// what a client wrote. Default: such reads go to the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read_your_writes: Option<String>,
    /// Whether a request that does not say what it does counts as a read.
    #[serde(default)]
    reads_unless_said: bool,
    /// The policy by which one of several is chosen to be read from.
    #[serde(default)]
    pub(super) over: PolicyConfig,
}

/// Who says which Pod is the primary.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "PrimaryBy")]
enum By {
    /// A label of the Pods.
    Label(LabelConfig),
    /// The leadership that is handed over under this name: a Lease, a header or a probe.
    Leadership(String),
}

/// The label of an operator, or one's own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "RoleLabel")]
enum LabelConfig {
    /// CloudNativePG: `cnpg.io/instanceRole`, and `role` before that.
    CloudNativePg,
    /// Patroni on Kubernetes: `role`.
    Patroni,
    /// Zalando's postgres-operator: `spilo-role`.
    Zalando,
    /// Redis operators: `redis-role` of OT-CONTAINER-KIT's, `redisfailovers-role` of Spotahome's.
    Redis,
    /// One's own.
    Own(OwnLabel),
}

/// A label of one's own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "OwnRoleLabel")]
struct OwnLabel {
    /// Its name.
    name: String,
    /// Other names that it may have: the first that a Pod has counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    or_named: Vec<String>,
    /// What it says of the primary.
    primary: String,
    /// What it says of a replica.
    replica: String,
}

/// Where reads go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ReadFrom")]
enum ReadFromConfig {
    /// To the primary: nothing is older than what was written last.
    #[default]
    Primary,
    /// To the primary; to a replica while there is none.
    PrimaryPreferred,
    /// To replicas.
    Replicas,
    /// To replicas; to the primary while there is none.
    ReplicasPreferred,
    /// To the fastest, primary or replica.
    Nearest,
    /// To any whose latency is within so much of the fastest.
    Within(Text),
}

/// How far behind a replica may be that is read from.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "kebab-case")]
struct MaxLag {
    /// So far at most.
    limit: Text,
    /// The name under which is handed over who knows how far they are.
    reported_by: String,
}

map_only!(PrimaryReplicaConfig, OwnLabel, MaxLag);

impl PrimaryReplicaConfig {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<PrimaryReplica, ConfigError> {
        let handles = place.handles();
        let mut policy = self.by.build(&place.at("by"))?;
        if let Some(name) = &self.fenced_by {
            let place = place.at("fenced-by");
            if let By::Leadership(_) = self.by {
                return Err(place.refuse(
                    "the primary is whom a leadership names already: leave this out, or let `by` be a label",
                ));
            }
            policy = policy.fenced_by(&handles.find_leadership(name, &place)?);
        }
        if let Some(absent) = self.while_absent {
            policy = policy.while_absent(absent.into());
        }
        if let Some(MaxLag { limit, reported_by }) = &self.max_lag {
            let (place, field) = (place.at("max-lag"), "reported-by");
            policy = policy.max_lag(limit.0, &handles.find_lag(reported_by, &place.at(field))?);
        }
        if let Some(name) = &self.read_your_writes {
            let place = place.at("read-your-writes");
            policy = policy.read_your_writes(&handles.find_progress(name, &place)?);
        }
        if self.reads_unless_said {
            policy = policy.reads_unless_said();
        }
        let inner = self.over.build_at(&place.at("over"))?;
        Ok(policy.read_from(self.read_from.into()).over(inner))
    }

    /// The labels of Pods that it goes by.
    pub(super) fn labels(&self) -> Vec<String> {
        match &self.by {
            By::Label(label) => label.build().names().map(str::to_owned).collect(),
            By::Leadership(_) => Vec::new(),
        }
    }
}

impl By {
    fn build(&self, place: &Place<'_>) -> Result<PrimaryReplica, ConfigError> {
        match self {
            Self::Label(label) => Ok(PrimaryReplica::by_label(label.build())),
            Self::Leadership(name) => {
                let place = place.at("leadership");
                let leadership = place.handles().find_leadership(name, &place)?;
                Ok(PrimaryReplica::by_leadership(&leadership))
            }
        }
    }
}

impl LabelConfig {
    fn build(&self) -> RoleLabel {
        match self {
            Self::CloudNativePg => preset::CLOUD_NATIVE_PG,
            Self::Patroni => preset::PATRONI,
            Self::Zalando => preset::ZALANDO,
            Self::Redis => preset::REDIS,
            Self::Own(own) => {
                let (name, primary) = (own.name.clone(), own.primary.clone());
                let label = RoleLabel::new(name, primary, own.replica.clone());
                let names = own.or_named.iter().cloned();
                names.fold(label, RoleLabel::or_named)
            }
        }
    }
}

impl From<ReadFromConfig> for ReadFrom {
    fn from(config: ReadFromConfig) -> Self {
        match config {
            ReadFromConfig::Primary => Self::Primary,
            ReadFromConfig::PrimaryPreferred => Self::PrimaryPreferred,
            ReadFromConfig::Replicas => Self::Replicas,
            ReadFromConfig::ReplicasPreferred => Self::ReplicasPreferred,
            ReadFromConfig::Nearest => Self::Nearest,
            ReadFromConfig::Within(window) => Self::Within(window.0),
        }
    }
}
