//! Where an object lives: namespace and name.

use std::fmt;

use serde_json::Value;

use crate::json;

/// The identity of an object among those of its kind; sorts as lists of the API do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Empty for objects that live in no namespace.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of `object`.
    pub(crate) fn of(object: &Value) -> Self {
        Self::new(
            json::text(object, "/metadata/namespace"),
            json::text(object, "/metadata/name"),
        )
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
