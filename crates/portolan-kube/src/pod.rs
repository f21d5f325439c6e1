//! A Pod, kept slim: nothing of it matters here but who it is and which labels it has.

use serde::Deserialize;

use crate::object::{Meta, Object, Resource, Scope, Selector};

/// `v1` Pod.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WirePod {
    pub(crate) metadata: Meta,
}

impl Object for WirePod {
    const RESOURCE: Resource = Resource {
        group: "",
        plural: "pods",
        // Several times what the largest clusters have.
        most: 500_000,
    };

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn selector(scope: &Scope) -> Selector {
        Selector::by_name(scope)
    }
}
