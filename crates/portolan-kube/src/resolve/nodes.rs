//! A port on each Node.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use portolan_core::{Endpoint, Placement, SourceError};

use super::{Found, Needs, Of, invalid, port};
use crate::{
    cluster::NodeAddresses,
    node::Node,
    service::{ServiceKind, ServicePort},
    slice::Slice,
};

/// An endpoint for each Node that takes traffic, at the Service's `nodePort`.
///
/// With `externalTrafficPolicy: Local` a Node drops what it has no Pod of its own for. Such Nodes are left
/// out, as the health check of the Nodes (`healthCheckNodePort`) tells a load balancer to.
pub(super) fn find(of: Of<'_>, needs: &mut Needs) -> Found {
    let Of {
        world,
        service,
        want,
    } = of;
    let port = port::of_service(&world.name, want.port.as_ref(), service)?;
    let port = node_port(of, port)?;
    needs.nodes = true;
    needs.slices = service.external_traffic_stays;
    let Some(all) = &world.nodes.known else {
        return Ok(None);
    };
    let holding = if service.external_traffic_stays {
        if world.slices.is_none() {
            return Ok(None);
        }
        Some(holding_endpoints(of)?)
    } else {
        None
    };
    let takes = |node: &&Arc<Node>| {
        let holding = holding.as_ref();
        node.fit && holding.is_none_or(|holding| holding.contains(&*node.name))
    };
    let fit: Vec<_> = all.iter().filter(takes).collect();
    let nodes = fit.iter();
    let endpoints: Vec<_> = nodes
        .filter_map(|node| {
            let addresses = addresses(node, want.node_addresses).iter();
            let addresses = addresses.map(|ip| SocketAddr::new(*ip, port));
            want.endpoint(addresses, service.family, |address| endpoint(node, address))
        })
        .collect();
    if endpoints.is_empty() && !fit.is_empty() {
        return Err(without_address(of));
    }
    Ok(Some(endpoints))
}

fn node_port(of: Of<'_>, port: &ServicePort) -> Result<u16, SourceError> {
    let name = &of.world.name;
    match port.node_port {
        Some(number) => Ok(number),
        None if matches!(
            of.service.kind,
            ServiceKind::NodePort | ServiceKind::LoadBalancer(_)
        ) =>
        {
            Err(invalid(format!(
                "port {port} of Service `{name}` has no port on the Nodes; is \
                 `allocateLoadBalancerNodePorts` off?"
            )))
        }
        None => Err(invalid(format!(
            "Service `{name}` is of type {}, so it has no port on the Nodes; expected NodePort or \
             LoadBalancer",
            of.service.kind.as_type()
        ))),
    }
}

/// The Nodes with a ready endpoint of the port; if there is none anywhere, those with one that serves while it
/// terminates (KEP-1669).
fn holding_endpoints(of: Of<'_>) -> Result<BTreeSet<&str>, SourceError> {
    let Of {
        world,
        service,
        want,
    } = of;
    let plan = port::plan(
        &world.name,
        want.port.as_ref(),
        Ok(service),
        world.all_slices(),
    )?;
    let mut by_node: HashMap<&str, (bool, bool)> = HashMap::new();
    let offering = world
        .all_slices()
        .filter(|slice| plan.in_ports(&slice.ports).is_some());
    for endpoint in offering.flat_map(Slice::endpoints) {
        let Some(node) = endpoint.node() else {
            continue;
        };
        let (ready, lingering) = by_node.entry(node).or_default();
        let conditions = endpoint.conditions();
        *ready |= conditions.is_ready();
        *lingering |= conditions.is_serving() && conditions.is_terminating();
    }
    let any_ready = by_node.values().any(|(ready, _)| *ready);
    let nodes = by_node.into_iter();
    Ok(nodes
        .filter(|(_, (ready, lingering))| if any_ready { *ready } else { *lingering })
        .map(|(node, _)| node)
        .collect())
}

fn addresses(node: &Node, which: NodeAddresses) -> &[IpAddr] {
    match which {
        NodeAddresses::Internal => &node.internal,
        NodeAddresses::External => &node.external,
    }
}

fn endpoint(node: &Node, address: SocketAddr) -> Endpoint {
    let endpoint = Endpoint::new(Placement::new(Arc::clone(&node.name)), address)
        .with_uid(Arc::clone(&node.uid))
        .with_node(Arc::clone(&node.name));
    match &node.zone {
        Some(zone) => endpoint.with_zone(Arc::clone(zone)),
        None => endpoint,
    }
}

fn without_address(of: Of<'_>) -> SourceError {
    let (name, which) = (&of.world.name, of.want.node_addresses);
    let (kind, other) = match which {
        NodeAddresses::Internal => ("InternalIP", NodeAddresses::External),
        NodeAddresses::External => ("ExternalIP", NodeAddresses::Internal),
    };
    invalid(format!(
        "no Node through which Service `{name}` could be reached has an address of type {kind} in a family \
         that is used ({:?}); is it `NodeAddresses::{other:?}` that is meant?",
        of.want.families
    ))
}
