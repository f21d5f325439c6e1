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

    /// Whether the object is one of this Service. The server selects already; a proxy or a mock
    /// that does not would otherwise send the traffic of one Service to the Pods of another.
    fn belongs_to(&self, service: &str) -> bool;

    /// The selector by which the server finds the objects of this Service.
    fn selector(service: &str) -> Selector;
}

/// A collection of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) group: &'static str,
    pub(crate) plural: &'static str,
}

/// How the server is told which objects are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    Labels(String),
    Fields(String),
}

impl Resource {
    /// The path of this collection in a namespace. Both groups in use here are at `v1`.
    pub(crate) fn path(self, namespace: &str) -> String {
        let Self { group, plural } = self;
        match group {
            "" => format!("/api/v1/namespaces/{namespace}/{plural}"),
            _ => format!("/apis/{group}/v1/namespaces/{namespace}/{plural}"),
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
