//! Another name in DNS.

use std::num::NonZeroU16;

use portolan_core::{Endpoint, PortRef, SourceError};

use super::{Found, Host, Needs, Of, invalid};
use crate::{
    cluster::IpFamilies,
    service::{HostName, ServiceKind},
};

/// An endpoint for each address that DNS knows of `spec.externalName`, at the port that was asked for.
pub(super) fn find(of: Of<'_>, needs: &mut Needs) -> Found {
    let host = Host {
        name: target(of)?.clone(),
        port: port(of)?,
    };
    let found = addresses(of, &host);
    needs.hosts.insert(host);
    Ok(found)
}

/// What DNS knows of a name; nothing as long as it has not answered.
pub(super) fn addresses(of: Of<'_>, host: &Host) -> Option<Vec<Endpoint>> {
    let known = of.world.hosts.get(host)?.known.as_ref()?;
    let named = |endpoint: Endpoint| endpoint.with_host(host.name.shared());
    if of.want.families == IpFamilies::AsService {
        // A Service that is an alias has no families, and DNS knows best.
        return Some(known.iter().map(|one| named((**one).clone())).collect());
    }
    let in_use = known.iter().filter_map(|one| {
        let addresses = [Some(one.address()), one.alternate()];
        of.want
            .endpoint(addresses.into_iter().flatten(), None, |address| {
                Endpoint::new(one.placement().clone(), address)
            })
    });
    Some(in_use.map(named).collect())
}

fn target(of: Of<'_>) -> Result<&HostName, SourceError> {
    let name = &of.world.name;
    match &of.service.kind {
        ServiceKind::ExternalName(Ok(host)) => Ok(host),
        ServiceKind::ExternalName(Err(text)) if text.is_empty() => Err(invalid(format!(
            "Service `{name}` is of type ExternalName, and its `spec.externalName` is empty; expected a DNS name"
        ))),
        ServiceKind::ExternalName(Err(text)) => Err(invalid(format!(
            "Service `{name}` is an alias of `{}`, which is no DNS name; for an IP address, make a headless \
             Service without selector, and an EndpointSlice with that address",
            text.escape_debug()
        ))),
        // Whoever asks for this reach of another type has been told already.
        other => Err(invalid(format!(
            "Service `{name}` is of type {}, not ExternalName",
            other.as_type()
        ))),
    }
}

/// An alias need not list any ports, so a number is taken as it is.
fn port(of: Of<'_>) -> Result<NonZeroU16, SourceError> {
    let (name, service) = (&of.world.name, of.service);
    let mut ports = service.ports.iter();
    let (listed, asked) = match &of.want.port {
        Some(PortRef::Number(number)) => return Ok(*number),
        Some(PortRef::Name(wanted)) => (
            ports.find(|port| port.name == *wanted),
            format!("no port `{wanted}`"),
        ),
        None => match &*service.ports {
            [only] => (Some(only), String::new()),
            [] => (None, "no ports".into()),
            _ => (None, "several ports".into()),
        },
        Some(other) => (None, format!("no port `{other}`")),
    };
    match listed {
        Some(port) => Ok(port.number),
        None => Err(invalid(format!(
            "Service `{name}` is of type ExternalName and lists {asked}; write the number that is meant, such \
             as `{name}:443`, or list the port in its `spec.ports`"
        ))),
    }
}
