//! The Service itself: its type, its ports, its addresses, and which IP family it prefers.

mod host;
mod wire;

use std::{fmt, net::IpAddr, num::NonZeroU16, sync::Arc};

use portolan_core::{InternalTraffic, SessionAffinity};

pub(crate) use host::HostName;
pub(crate) use wire::WireService;

/// What of a Service decides how its endpoints are found.
///
/// `publishNotReadyAddresses` is not here: the controller that writes the slices heeds it. Nor is
/// the selector: the slices are labelled with the Service's name, whoever made them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// `metadata.uid`: a Service that was deleted and made anew is another one.
    pub(crate) uid: Arc<str>,
    pub(crate) kind: ServiceKind,
    pub(crate) ports: Box<[ServicePort]>,
    /// `spec.ipFamilies[0]`: the family of the Service's own address.
    pub(crate) family: Option<Family>,
    /// `spec.clusterIPs`, as far as they are addresses.
    pub(crate) cluster_ips: Box<[IpAddr]>,
    /// `spec.internalTrafficPolicy`. It is about traffic to the Service's own address, so a headless one has
    /// none to speak of.
    pub(crate) internal_traffic: InternalTraffic,
    /// `spec.sessionAffinity`. kube-proxy goes by it where it stands between; else, who is told to does.
    pub(crate) session_affinity: SessionAffinity,
    /// `spec.externalTrafficPolicy: Local`: a Node passes traffic from outside to its own Pods only.
    pub(crate) external_traffic_stays: bool,
}

/// How a Service is offered, and so what a client can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServiceKind {
    /// With a virtual IP.
    ClusterIp,
    /// `clusterIP: None`. Clients connect to the Pods, hence to the *target* port.
    Headless,
    /// Besides, at a port of each Node.
    NodePort,
    /// Besides, at a load balancer, whose addresses are these. None means that it has none yet.
    LoadBalancer(Box<[Ingress]>),
    /// Only another name in DNS; text that is no name is kept to be told.
    ExternalName(Result<HostName, Arc<str>>),
    /// A type that is not known.
    Unknown(Arc<str>),
}

/// An address of a load balancer: `status.loadBalancer.ingress[]`.
///
/// Its `ipMode` is not here, as it makes no difference to who dials: with `VIP`, kube-proxy takes up what
/// Pods send to the address; with `Proxy` it does not, and their traffic leaves the cluster and comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ingress {
    pub(crate) place: IngressPlace,
    pub(crate) faults: Box<[PortFault]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IngressPlace {
    Ip(IpAddr),
    Host(HostName),
}

/// A port that the load balancer cannot offer (`ingress[].ports[].error`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortFault {
    pub(crate) port: u16,
    pub(crate) tcp: bool,
    /// A reason in CamelCase, by whoever runs the load balancer.
    pub(crate) error: Arc<str>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServicePort {
    /// Empty where the only port has no name.
    pub(crate) name: Arc<str>,
    pub(crate) number: NonZeroU16,
    pub(crate) target: TargetPort,
    /// The port of each Node, where the Service has one there.
    pub(crate) node_port: Option<u16>,
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

impl Family {
    pub(crate) fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
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

impl ServiceKind {
    /// `spec.type`.
    pub(crate) fn as_type(&self) -> &str {
        match self {
            Self::ClusterIp | Self::Headless => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer(_) => "LoadBalancer",
            Self::ExternalName(_) => "ExternalName",
            Self::Unknown(kind) => kind,
        }
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
