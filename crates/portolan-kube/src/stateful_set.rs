//! StatefulSets, of which only matters how many Pods they are to have.

use serde::Deserialize;

use crate::object::{Meta, Object, Resource, Scope, Selector, null_is_default};

/// How many Pods a StatefulSet is to have, and from where on it counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StatefulSetSize {
    /// `spec.replicas`, which is 1 where it is not given.
    pub replicas: u32,
    /// The ordinal of its first Pod: `spec.ordinals.start`, which is 0 where it is not given (KEP-3335).
    pub first_ordinal: u32,
}

/// `apps/v1` StatefulSet.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WireStatefulSet {
    pub(crate) metadata: Meta,
    #[serde(default, deserialize_with = "null_is_default")]
    spec: WireSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireSpec {
    replicas: Option<i64>,
    #[serde(deserialize_with = "null_is_default")]
    ordinals: WireOrdinals,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WireOrdinals {
    start: Option<i64>,
}

impl Object for WireStatefulSet {
    const RESOURCE: Resource = Resource {
        group: "apps",
        plural: "statefulsets",
        // One is asked for by its name; a server that does not select sends those of the namespace.
        most: 100_000,
    };

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn selector(scope: &Scope) -> Selector {
        Selector::by_name(scope)
    }
}

impl From<WireStatefulSet> for StatefulSetSize {
    fn from(wire: WireStatefulSet) -> Self {
        // The API server accepts neither what is negative nor what is longer than 31 bits.
        let count = |number: i64| u32::try_from(number.max(0)).unwrap_or(u32::MAX);
        Self {
            replicas: wire.spec.replicas.map_or(1, count),
            first_ordinal: wire.spec.ordinals.start.map_or(0, count),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_read_of_it() {
        let read = |spec: Value| {
            let wire = json!({ "metadata": { "name": "db" }, "spec": spec });
            let size: StatefulSetSize = serde_json::from_value::<WireStatefulSet>(wire)
                .unwrap()
                .into();
            (size.replicas, size.first_ordinal)
        };
        assert_eq!(
            read(json!({ "replicas": 3, "ordinals": { "start": 100 } })),
            (3, 100)
        );
        assert_eq!(read(json!({ "replicas": 0, "ordinals": null })), (0, 0));
        assert_eq!(read(json!({ "ordinals": {} })), (1, 0));
        assert_eq!(read(json!(null)), (1, 0));
        assert_eq!(
            read(json!({ "replicas": -1, "ordinals": { "start": i64::MAX } })),
            (0, u32::MAX)
        );
    }
}
