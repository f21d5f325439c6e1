//! The load balancer that the cluster's provider has put before a Service.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use portolan_core::{Endpoint, Placement, SourceError, SourceErrorKind};

use super::{Found, Host, Needs, Of, external_name, invalid, port};
use crate::service::{Ingress, IngressPlace, ServiceKind, ServicePort};

/// An endpoint for each address of `status.loadBalancer.ingress`, and for each that DNS knows of the names
/// there, at the Service's port.
///
/// A load balancer takes its time to come into being, and that is a failure of a kind of its own, so that
/// requests wait; one that loses its addresses, which this Service (`had_any`) had, has truly none.
pub(super) fn find(of: Of<'_>, needs: &mut Needs, had_any: &mut Option<Arc<str>>) -> Found {
    let Of {
        world,
        service,
        want,
    } = of;
    let name = &world.name;
    let ServiceKind::LoadBalancer(ingress) = &service.kind else {
        return Err(invalid(format!(
            "Service `{name}` is of type {}, so there is no load balancer before it; expected LoadBalancer",
            service.kind.as_type()
        )));
    };
    let port = port::of_service(name, want.port.as_ref(), service)?;
    if ingress.is_empty() {
        return if had_any.as_ref() == Some(&service.uid) {
            Ok(Some(Vec::new()))
        } else {
            Err(pending(name))
        };
    }
    let able: Vec<&Ingress> = ingress.iter().filter(|one| !is_faulty(one, port)).collect();
    if able.is_empty() {
        return Err(faulty(name, ingress, port));
    }
    let mut endpoints = Vec::new();
    let mut complete = true;
    for one in able {
        match &one.place {
            IngressPlace::Ip(ip) => {
                let address = SocketAddr::new(*ip, port.number.get());
                endpoints.extend(want.endpoint([address], service.family, |address| {
                    Endpoint::new(Placement::new(ip.to_string()), address)
                }));
            }
            IngressPlace::Host(host) => {
                let host = Host {
                    name: host.clone(),
                    port: port.number,
                };
                match external_name::addresses(of, &host) {
                    Some(found) => endpoints.extend(found),
                    None => complete = false,
                }
                needs.hosts.insert(host);
            }
        }
    }
    // Who lists an address and a name for it means one place.
    let mut known = BTreeSet::new();
    endpoints.retain(|endpoint| known.insert(endpoint.address()));
    // Until DNS has answered for all names, the list is not whole.
    if !complete {
        return Ok(None);
    }
    *had_any = Some(Arc::clone(&service.uid));
    Ok(Some(endpoints))
}

fn is_faulty(ingress: &Ingress, port: &ServicePort) -> bool {
    let mut faults = ingress.faults.iter();
    faults.any(|fault| fault.port == port.number.get() && fault.tcp == port.tcp)
}

fn pending(name: &str) -> SourceError {
    let message = format!(
        "the load balancer of Service `{name}` has no address yet; does anybody in this cluster provide \
         load balancers? Until then, `Reach::Nodes` may do"
    );
    SourceError::new(SourceErrorKind::Pending, message)
}

fn faulty(name: &str, ingress: &[Ingress], port: &ServicePort) -> SourceError {
    let faults = ingress.iter().flat_map(|one| &one.faults);
    let mut of_port = faults.filter(|fault| fault.port == port.number.get());
    let reason = of_port.next().map_or("", |fault| &fault.error);
    let message = format!(
        "the load balancer of Service `{name}` cannot offer port {port}: {}",
        reason.escape_debug()
    );
    SourceError::new(SourceErrorKind::Unavailable, message)
}
