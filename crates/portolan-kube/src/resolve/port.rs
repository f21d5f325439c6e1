//! Which port of which slice is meant.

use std::{collections::BTreeSet, sync::Arc};

use portolan_core::{PortRef, SourceError};

use super::invalid;
use crate::{
    service::{Service, ServiceKind, ServicePort, TargetPort},
    slice::{Slice, SlicePort},
};

/// How the port is found in each slice. A slice that does not have it has no endpoints for us: its
/// Pods do not offer the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PortPlan {
    /// By the name of the Service's port.
    Named {
        name: Arc<str>,
        /// The number where a slice has the name without one, which means "any".
        otherwise: Option<u16>,
    },
    /// By the number on the Pod, as a client of a headless Service sees it.
    Target(u16),
    /// The same number for all: a headless Service without ports says nothing of them.
    Fixed(u16),
}

impl PortPlan {
    /// The port of the endpoints of a slice with these ports.
    pub(super) fn in_ports(&self, ports: &[SlicePort]) -> Option<u16> {
        let mut ports = ports.iter();
        match self {
            Self::Named { name, otherwise } => {
                let port = ports.find(|port| port.name == *name)?;
                port.number.or(*otherwise)
            }
            Self::Target(target) => ports.find(|port| port.number == Some(*target))?.number,
            Self::Fixed(number) => Some(*number),
        }
    }
}

/// Finds out what the wanted port means, by the Service, or by the slices alone where the Service
/// may not be read.
pub(super) fn plan<'a>(
    name: &str,
    wanted: Option<&PortRef>,
    service: Result<&Service, &SourceError>,
    slices: impl Iterator<Item = &'a Slice> + Clone,
) -> Result<PortPlan, SourceError> {
    match service {
        Ok(service) => by_service(name, wanted, service, slices),
        Err(hidden) => by_slices(name, wanted, hidden, slices),
    }
}

fn by_service<'a>(
    name: &str,
    wanted: Option<&PortRef>,
    service: &Service,
    mut slices: impl Iterator<Item = &'a Slice> + Clone,
) -> Result<PortPlan, SourceError> {
    let headless = service.kind == ServiceKind::Headless;
    if let Some(port) = listed(name, wanted, service)? {
        return Ok(PortPlan::Named {
            name: Arc::clone(&port.name),
            otherwise: target(port).or(Some(port.number.get())),
        });
    }
    if let (true, Some(PortRef::Number(number))) = (headless, wanted) {
        if service.ports.is_empty() {
            return Ok(PortPlan::Fixed(number.get()));
        }
        // A named target port may be any number in each Pod, so only the slices can tell.
        let target = PortPlan::Target(number.get());
        let open = service
            .ports
            .iter()
            .any(|port| self::target(port).is_none());
        let empty = slices.clone().all(|slice| slice.endpoints().is_empty());
        if open && (empty || slices.any(|slice| target.in_ports(&slice.ports).is_some())) {
            return Ok(target);
        }
    }
    Err(missing(name, wanted, service))
}

/// The port of the Service that is meant.
pub(super) fn of_service<'a>(
    name: &str,
    wanted: Option<&PortRef>,
    service: &'a Service,
) -> Result<&'a ServicePort, SourceError> {
    listed(name, wanted, service)?.ok_or_else(|| missing(name, wanted, service))
}

/// The port of the Service that is meant, or nothing where it lists none that could be.
fn listed<'a>(
    name: &str,
    wanted: Option<&PortRef>,
    service: &'a Service,
) -> Result<Option<&'a ServicePort>, SourceError> {
    let headless = service.kind == ServiceKind::Headless;
    Ok(match wanted {
        None => match &*service.ports {
            [only] => Some(only),
            [] => {
                return Err(invalid(format!(
                    "Service `{name}` has no ports; write the number on which its Pods listen, such as `{name}:8080`"
                )));
            }
            _ => {
                return Err(invalid(format!(
                    "Service `{name}` has several ports; write the one that is meant: {}",
                    service.ports_for_people()
                )));
            }
        },
        Some(PortRef::Name(wanted)) => service.ports.iter().find(|port| port.name == *wanted),
        Some(PortRef::Number(wanted)) => {
            let by_number = || {
                service
                    .ports
                    .iter()
                    .filter(move |port| port.number == *wanted)
            };
            let by_target = |port: &&_| headless && target(port) == Some(wanted.get());
            // DNS has one number twice, and what is asked for here is spoken over TCP.
            by_number()
                .find(|port| port.tcp)
                .or_else(|| by_number().next())
                .or_else(|| service.ports.iter().find(by_target))
        }
        Some(_) => None,
    })
}

fn missing(name: &str, wanted: Option<&PortRef>, service: &Service) -> SourceError {
    let wanted = wanted.map(ToString::to_string).unwrap_or_default();
    invalid(format!(
        "Service `{name}` has no port `{wanted}`; it has: {}",
        service.ports_for_people()
    ))
}

/// The target port, where it is a number.
fn target(port: &ServicePort) -> Option<u16> {
    match port.target {
        TargetPort::Number(number) => Some(number),
        TargetPort::Name(_) => None,
    }
}

fn by_slices<'a>(
    name: &str,
    wanted: Option<&PortRef>,
    hidden: &SourceError,
    slices: impl Iterator<Item = &'a Slice>,
) -> Result<PortPlan, SourceError> {
    let in_slices: BTreeSet<&Arc<str>> = slices
        .flat_map(|slice| &slice.ports)
        .map(|port| &port.name)
        .collect();
    let listed = || {
        let listed: Vec<_> = in_slices.iter().map(|name| format!("`{name}`")).collect();
        listed.join(", ")
    };
    let named = |name: &Arc<str>| PortPlan::Named {
        name: Arc::clone(name),
        otherwise: None,
    };
    match wanted {
        Some(PortRef::Name(wanted)) if in_slices.is_empty() || in_slices.contains(wanted) => {
            Ok(named(wanted))
        }
        Some(PortRef::Name(wanted)) => Err(invalid(format!(
            "no endpoint of Service `{name}` has a port `{wanted}`; they have: {}",
            listed()
        ))),
        None => match in_slices.first() {
            Some(only) if in_slices.len() == 1 => Ok(named(only)),
            Some(_) => Err(invalid(format!(
                "the endpoints of Service `{name}` have several ports; write the one that is meant: {}",
                listed()
            ))),
            // Nothing to choose from yet, and no endpoint to choose a port for.
            None => Ok(named(&Arc::from(""))),
        },
        // What the number means is written in the Service, which may not be read.
        Some(_) => Err(hidden.clone()),
    }
}
