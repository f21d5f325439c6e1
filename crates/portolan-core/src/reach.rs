//! What stands between a client and the Pods.

/// How a Service is reached: what the addresses of an [`EndpointSet`](crate::EndpointSet) are.
///
/// | reach | addresses | port | who balances |
/// |---|---|---|---|
/// | `Pods` | the Pods' own | the target port | this library, request by request |
/// | `VirtualIp` | `spec.clusterIPs` | the Service's | kube-proxy, connection by connection |
/// | `Nodes` | the ready Nodes' | the `nodePort` | this library chooses the Node, kube-proxy the Pod |
/// | `LoadBalancer` | `status.loadBalancer.ingress` | the Service's | whatever stands there |
/// | `ExternalName` | those of `spec.externalName`, by DNS | the one asked for | this library, among them |
///
/// ```
/// use portolan_core::{Reach, ServiceRef};
/// let outside: ServiceRef = "orders.shop:http".parse()?;
/// let outside = outside.with_reach(Reach::Nodes);
/// assert_eq!(outside.reach(), Some(Reach::Nodes));
/// # Ok::<(), portolan_core::ParseServiceRefError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reach {
    /// The Pods themselves: the only reach in which a request can be sent to one that is chosen.
    #[default]
    Pods,
    /// The Service's own address, behind which kube-proxy chooses a Pod for each connection. For
    /// clients that must do as all others do, such as by a network policy.
    VirtualIp,
    /// A port on the Nodes, for clients that reach those but not the Pods.
    Nodes,
    /// The load balancer that the cluster's provider has put before the Service.
    LoadBalancer,
    /// Another DNS name, to which the Service is an alias.
    ExternalName,
}
