//! The kinds of object that the cluster serves.

use std::fmt;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Namespace,
    Node,
    Service,
    Endpoints,
    ConfigMap,
    Pod,
    EndpointSlice,
    StatefulSet,
    Deployment,
    ControllerRevision,
    Lease,
}

/// How the API shows a [`Kind`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource {
    /// The kind as objects spell it: `EndpointSlice`.
    pub(crate) kind: &'static str,
    /// The plural of paths and RBAC rules: `endpointslices`.
    pub(crate) plural: &'static str,
    /// The API group, `""` for the core.
    pub(crate) group: &'static str,
    /// The only version served; `v1` for all.
    pub(crate) version: &'static str,
    /// Whether its objects live in namespaces.
    pub(crate) namespaced: bool,
    /// Whether it has the subresource `status`.
    pub(crate) status: bool,
    /// Whether it has the subresource `scale`.
    pub(crate) scale: bool,
}

impl Kind {
    pub(crate) const ALL: [Self; 11] = [
        Self::Namespace,
        Self::Node,
        Self::Service,
        Self::Endpoints,
        Self::ConfigMap,
        Self::Pod,
        Self::EndpointSlice,
        Self::StatefulSet,
        Self::Deployment,
        Self::ControllerRevision,
        Self::Lease,
    ];

    /// The kind that `group` serves under `plural`.
    pub(crate) fn find(group: &str, plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| {
            let resource = kind.resource();
            resource.group == group && resource.plural == plural
        })
    }

    /// The kind that objects spell `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.resource().kind == name)
    }

    pub(crate) fn resource(self) -> Resource {
        let namespaced = |kind, plural, group| Resource {
            kind,
            plural,
            group,
            version: "v1",
            namespaced: true,
            status: false,
            scale: false,
        };
        match self {
            Self::Namespace => Resource {
                namespaced: false,
                status: true,
                ..namespaced("Namespace", "namespaces", "")
            },
            Self::Node => Resource {
                namespaced: false,
                status: true,
                ..namespaced("Node", "nodes", "")
            },
            Self::Service => Resource {
                status: true,
                ..namespaced("Service", "services", "")
            },
            Self::Endpoints => namespaced("Endpoints", "endpoints", ""),
            Self::ConfigMap => namespaced("ConfigMap", "configmaps", ""),
            Self::Pod => Resource {
                status: true,
                ..namespaced("Pod", "pods", "")
            },
            Self::EndpointSlice => {
                namespaced("EndpointSlice", "endpointslices", "discovery.k8s.io")
            }
            Self::StatefulSet => Resource {
                status: true,
                scale: true,
                ..namespaced("StatefulSet", "statefulsets", "apps")
            },
            Self::Deployment => Resource {
                status: true,
                scale: true,
                ..namespaced("Deployment", "deployments", "apps")
            },
            Self::ControllerRevision => {
                namespaced("ControllerRevision", "controllerrevisions", "apps")
            }
            Self::Lease => namespaced("Lease", "leases", "coordination.k8s.io"),
        }
    }
}

impl Resource {
    /// `group/version` as objects spell it; `v1` for the core.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The resource as messages of the API name it: `endpointslices.discovery.k8s.io`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.resource().kind)
    }
}
