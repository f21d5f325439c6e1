//! What all Kubernetes objects have in common, as far as it matters here.

use std::{collections::BTreeMap, fmt::Debug};

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// The label by which the slices of a Service are found.
pub(crate) const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// An object that is read from the API, and nothing more than is needed of it: most of an object's
/// bytes are `managedFields` and the like, which are skipped without being stored.
pub(crate) trait Object: DeserializeOwned + Debug + Send + 'static {
    /// The collection that holds such objects.
    const RESOURCE: Resource;

    fn meta(&self) -> &Meta;

    /// Which objects of the collection are wanted, in this scope.
    fn selector(scope: &Scope) -> Selector;
}

/// A collection of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) group: &'static str,
    pub(crate) plural: &'static str,
    /// More objects than these cannot be meant.
    pub(crate) most: usize,
}

/// Whose objects are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those of one Service.
    Service { namespace: String, name: String },
    /// All, of a collection that belongs to no namespace.
    Cluster,
    /// Those of a namespace that have this label, whatever its value.
    Labelled { namespace: String, label: String },
    /// The one of this name.
    Named { namespace: String, name: String },
}

/// Which objects are wanted.
///
/// The server selects them already; a proxy or a mock that does not would otherwise send the traffic of one
/// Service to the Pods of another, so what comes is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    All,
    Label { label: &'static str, value: String },
    HasLabel(String),
    Name(String),
}

impl Resource {
    /// The path of this collection. All groups in use here are at `v1`.
    pub(crate) fn path(self, scope: &Scope) -> String {
        let Self { group, plural, .. } = self;
        let group = match group {
            "" => "/api/v1".to_owned(),
            _ => format!("/apis/{group}/v1"),
        };
        match scope {
            Scope::Service { namespace, .. }
            | Scope::Labelled { namespace, .. }
            | Scope::Named { namespace, .. } => format!("{group}/namespaces/{namespace}/{plural}"),
            Scope::Cluster => format!("{group}/{plural}"),
        }
    }
}

impl Selector {
    /// Of objects that have a name of their own, and belong to nobody: the one that the scope names.
    pub(crate) fn by_name(scope: &Scope) -> Self {
        match scope {
            Scope::Named { name, .. } | Scope::Service { name, .. } => Self::Name(name.clone()),
            Scope::Labelled { label, .. } => Self::HasLabel(label.clone()),
            Scope::Cluster => Self::All,
        }
    }

    /// Whether the object is one that was asked for.
    pub(crate) fn matches(&self, meta: &Meta) -> bool {
        match self {
            Self::All => true,
            Self::Label { label, value } => meta.labels.get(*label) == Some(value),
            Self::HasLabel(label) => meta.labels.contains_key(label),
            Self::Name(name) => meta.name == *name,
        }
    }

    /// Whether it leaves few objects at most, however many there are: one, or the slices of one Service.
    pub(crate) fn is_narrow(&self) -> bool {
        match self {
            Self::Label { .. } | Self::Name(_) => true,
            Self::All | Self::HasLabel(_) => false,
        }
    }

    /// As a label selector of a request.
    pub(crate) fn labels(&self) -> Option<String> {
        match self {
            Self::Label { label, value } => Some(format!("{label}={value}")),
            Self::HasLabel(label) => Some(label.clone()),
            Self::All | Self::Name(_) => None,
        }
    }

    /// As a field selector of a request.
    pub(crate) fn fields(&self) -> Option<String> {
        match self {
            Self::Name(name) => Some(format!("metadata.name={name}")),
            Self::All | Self::Label { .. } | Self::HasLabel(_) => None,
        }
    }
}

/// `metadata`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta {
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) uid: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) resource_version: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) labels: BTreeMap<String, String>,
}

impl Meta {
    /// The resource version as a number, by which versions of a collection are ordered (KEP-5504).
    pub(crate) fn version(&self) -> Option<u64> {
        self.resource_version.parse().ok()
    }
}

/// An answer to a list request.
#[derive(Debug, Deserialize)]
#[serde(bound = "K: DeserializeOwned")]
pub(crate) struct ObjectList<K> {
    pub(crate) metadata: ListMeta,
    #[serde(default = "Vec::new", deserialize_with = "null_is_default")]
    pub(crate) items: Vec<K>,
}

/// `metadata` of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListMeta {
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) resource_version: String,
    #[serde(rename = "continue", deserialize_with = "null_is_default")]
    pub(crate) next_page: String,
}

/// Go writes a nil slice, map or pointer as `null`; to Kubernetes that is the same as leaving it out.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
