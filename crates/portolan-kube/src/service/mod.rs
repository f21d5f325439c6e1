//! The Service itself: its type, its ports, and which IP family it prefers.

mod wire;

use std::{fmt, sync::Arc};

pub(crate) use wire::WireService;

/// What of a Service decides how its endpoints are found.
///
/// `publishNotReadyAddresses` is not here: the controller that writes the slices heeds it. Nor is
/// the selector: the slices are labelled with the Service's name, whoever made them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) kind: ServiceKind,
    pub(crate) ports: Box<[ServicePort]>,
    /// `spec.ipFamilies[0]`: the family of the Service's own address.
    pub(crate) family: Option<Family>,
}

/// How a Service is offered, and so what a client can reach. Later: NodePort and LoadBalancer from
/// outside of the cluster, ExternalName by DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServiceKind {
    /// With a virtual IP, perhaps offered outside too: a Pod of the cluster can reach the Pods.
    Virtual,
    /// `clusterIP: None`. Clients connect to the Pods, hence to the *target* port.
    Headless,
    /// `spec.type` is one that has no endpoints, or that is not known.
    Unhandled(Arc<str>),
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServicePort {
    /// Empty where the only port has no name.
    pub(crate) name: Arc<str>,
    pub(crate) number: u16,
    pub(crate) target: TargetPort,
    /// Whether it is for TCP. DNS has the same number twice, for TCP and UDP.
    pub(crate) tcp: bool,
}

/// The port on the Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TargetPort {
    Number(u16),
    /// The name of a container's port, which may be another number in each Pod.
    Name(Arc<str>),
}

/// An IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Service {
    /// The ports for an error message: what could have been asked for.
    pub(crate) fn ports_for_people(&self) -> String {
        if self.ports.is_empty() {
            return "no ports".into();
        }
        let ports: Vec<_> = self.ports.iter().map(ToString::to_string).collect();
        ports.join(", ")
    }
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.name {
            "" => write!(f, "{}", self.number),
            name => write!(f, "`{name}` ({})", self.number),
        }
    }
}

#[cfg(test)]
mod tests;
