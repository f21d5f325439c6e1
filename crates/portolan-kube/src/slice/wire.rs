//! An EndpointSlice as the API server writes it. Unknown fields are skipped, nil lists are empty.
//!
//! There may be 10,000 endpoints in the first list. What is read of them becomes what is kept right away, where
//! it can: most of the time that a list takes would else go into strings that live for a moment.

use std::{fmt, marker::PhantomData, net::IpAddr, sync::Arc};

use portolan_core::Uid;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, SeqAccess, Visitor},
};

use crate::object::{Meta, Object, Resource, SERVICE_NAME_LABEL, Scope, Selector, null_is_default};

/// `discovery.k8s.io/v1` EndpointSlice.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireSlice {
    pub(crate) metadata: Meta,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) address_type: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) endpoints: Vec<WireEndpoint>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) ports: Vec<WirePort>,
}

impl Object for WireSlice {
    const RESOURCE: Resource = Resource {
        group: "discovery.k8s.io",
        plural: "endpointslices",
        // A million endpoints.
        most: 10_000,
    };

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn selector(scope: &Scope) -> Selector {
        match scope {
            Scope::Service { name, .. } => Selector::Label {
                label: SERVICE_NAME_LABEL,
                value: name.clone(),
            },
            Scope::Named { name, .. } => Selector::Name(name.clone()),
            Scope::Labelled { label, .. } => Selector::HasLabel(label.clone()),
            Scope::Cluster => Selector::All,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireEndpoint {
    #[serde(rename = "addresses", deserialize_with = "null_is_default")]
    pub(super) address: FirstAddress,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) conditions: WireConditions,
    #[serde(deserialize_with = "given")]
    pub(super) hostname: Option<Box<str>>,
    #[serde(deserialize_with = "given")]
    pub(super) node_name: Option<Box<str>>,
    #[serde(deserialize_with = "given")]
    pub(super) zone: Option<Box<str>>,
    pub(super) target_ref: Option<WireTarget>,
    /// Most have none.
    pub(super) hints: Option<Box<WireHints>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireConditions {
    pub(super) ready: Option<bool>,
    pub(super) serving: Option<bool>,
    pub(super) terminating: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireTarget {
    #[serde(deserialize_with = "given")]
    pub(super) kind: Option<Kind>,
    #[serde(deserialize_with = "given")]
    pub(super) name: Option<Arc<str>>,
    #[serde(deserialize_with = "given")]
    pub(super) uid: Option<Uid>,
}

/// The first of the addresses. "No semantics are defined for additional addresses beyond the first, and
/// kube-proxy does not look at them." (discovery.k8s.io/v1, Endpoint.addresses)
#[derive(Clone, Debug, Default)]
pub(super) enum FirstAddress {
    #[default]
    Missing,
    Ip(IpAddr),
    Other(String),
}

/// What stands behind an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pod,
    Other,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireHints {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) for_zones: Vec<WireHint>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) for_nodes: Vec<WireHint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireHint {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WirePort {
    pub(super) name: Option<String>,
    /// Wider than a port, since the API server accepts 65536.
    pub(super) port: Option<i64>,
}

impl From<&str> for FirstAddress {
    fn from(text: &str) -> Self {
        match text.parse() {
            Ok(ip) => Self::Ip(ip),
            Err(_) => Self::Other(text.to_owned()),
        }
    }
}

impl From<&str> for Kind {
    fn from(text: &str) -> Self {
        match text {
            "Pod" => Self::Pod,
            _ => Self::Other,
        }
    }
}

impl<'de> Deserialize<'de> for FirstAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Addresses)
    }
}

struct Addresses;

impl<'de> Visitor<'de> for Addresses {
    type Value = FirstAddress;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of addresses")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut addresses: A) -> Result<FirstAddress, A::Error> {
        let first = addresses.next_element::<Text<FirstAddress>>()?;
        while addresses.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first.map(|first| first.0).unwrap_or_default())
    }
}

/// What is made of a text without storing the text.
struct Text<T>(T);

impl<'de, T: for<'a> From<&'a str>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(OfText(PhantomData))
    }
}

/// The same where there is any text: to Kubernetes, an empty one is none.
fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: for<'a> From<&'a str>,
{
    let text = Option::<Text<Given<T>>>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.0.0))
}

struct Given<T>(Option<T>);

impl<T: for<'a> From<&'a str>> From<&str> for Given<T> {
    fn from(text: &str) -> Self {
        Self((!text.is_empty()).then(|| text.into()))
    }
}

struct OfText<T>(PhantomData<T>);

impl<T: for<'a> From<&'a str>> Visitor<'_> for OfText<T> {
    type Value = Text<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<T>, E> {
        Ok(Text(text.into()))
    }
}
