//! From what was read to what is kept. Whatever cannot be used is left out and counted; the rest of
//! its slice stays.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use portolan_core::{Conditions, Endpoint, Placement};

use super::{
    Names, Slice, SlicePort, entry,
    wire::{FirstAddress, Kind, WireEndpoint, WirePort, WireSlice},
};

/// What of a slice could not be used.
///
/// The API server refuses some nonsense and accepts other (a port of 65536, 255.255.255.255), so a
/// slice made by hand may bring any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// Endpoints, by DNS name: type FQDN is legal, deprecated, and nobody else reads it either.
    pub(crate) names: usize,
    /// Endpoints without an address that can be connected to.
    pub(crate) addresses: usize,
    /// Ports out of range.
    pub(crate) ports: usize,
    /// One of them, as an example.
    pub(crate) example: Option<String>,
}

impl Rejected {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn note(&mut self, example: impl fmt::Display) {
        if self.example.is_none() {
            // It comes from anywhere and goes into a log.
            let text = example.to_string();
            self.example = Some(text.chars().take(64).flat_map(char::escape_debug).collect());
        }
    }
}

impl Slice {
    /// The slice, and what of it was left out. `port` says which of its ports is likely to be wanted.
    pub(crate) fn from_wire(
        wire: WireSlice,
        names: &mut Names,
        port: impl FnOnce(&[SlicePort]) -> Option<u16>,
    ) -> (Self, Rejected) {
        let mut rejected = Rejected::default();
        let ports: Box<[SlicePort]> = wire
            .ports
            .iter()
            .filter_map(|port| convert_port(port, names, &mut rejected))
            .collect();
        // Any will do where none is wanted.
        let likely = port(&ports).unwrap_or_default();
        let family = match wire.address_type.as_str() {
            "IPv4" => Some(IpAddr::is_ipv4 as fn(&IpAddr) -> bool),
            "IPv6" => Some(IpAddr::is_ipv6 as fn(&IpAddr) -> bool),
            _ => None,
        };
        let endpoints = match family {
            Some(is_of_family) => wire
                .endpoints
                .into_iter()
                .filter_map(|endpoint| {
                    convert_endpoint(endpoint, is_of_family, likely, names, &mut rejected)
                        .map(Arc::new)
                })
                .collect(),
            None => {
                rejected.names = wire.endpoints.len();
                if rejected.names > 0 {
                    rejected.note(format_args!("addressType {}", wire.address_type));
                }
                Vec::new()
            }
        };
        names.sweep();
        let version = wire.metadata.version().unwrap_or(0);
        let slice = Self::new(wire.metadata.name.into(), version, ports, endpoints);
        (slice, rejected)
    }
}

fn convert_port(port: &WirePort, names: &mut Names, rejected: &mut Rejected) -> Option<SlicePort> {
    let number = match port.port {
        None => None,
        Some(number) => match u16::try_from(number) {
            Ok(1..) => u16::try_from(number).ok(),
            _ => {
                rejected.ports += 1;
                rejected.note(format_args!("port {number}"));
                return None;
            }
        },
    };
    Some(SlicePort {
        name: names.share(port.name.as_deref().unwrap_or_default()),
        number,
    })
}

fn convert_endpoint(
    wire: WireEndpoint,
    is_of_family: fn(&IpAddr) -> bool,
    port: u16,
    names: &mut Names,
    rejected: &mut Rejected,
) -> Option<Endpoint> {
    let ip = match wire.address {
        FirstAddress::Ip(ip) if is_of_family(&ip) && is_connectable(ip) => ip,
        unusable => {
            rejected.addresses += 1;
            match unusable {
                FirstAddress::Missing => rejected.note("no address"),
                FirstAddress::Ip(ip) => rejected.note(ip),
                FirstAddress::Other(text) => rejected.note(text),
            }
            return None;
        }
    };
    let target = wire.target_ref.unwrap_or_default();
    let is_pod = target.kind.is_none_or(|kind| kind == Kind::Pod);
    let pod = target.name.filter(|_| is_pod);
    let address = SocketAddr::new(ip, port);
    let (placement, ordinal) = match (wire.hostname, &pod) {
        (Some(hostname), _) => {
            let placement = Placement::new(hostname);
            // Only a hostname that Kubernetes gave ends with an ordinal. The name of a Deployment's Pod
            // may end with digits by chance.
            let ordinal = placement.ordinal();
            (placement, ordinal)
        }
        (None, Some(pod)) => (Placement::new(Arc::clone(pod)), None),
        (None, None) => (entry::nameless(address), None),
    };
    let conditions = Conditions::new(
        wire.conditions.ready,
        wire.conditions.serving,
        wire.conditions.terminating,
    );
    let (zones, nodes) = wire.hints.as_ref().map_or((&[][..], &[][..]), |hints| {
        (&hints.for_zones, &hints.for_nodes)
    });
    let topology = names.share_topology(
        wire.node_name.as_deref(),
        wire.zone.as_deref(),
        zones.iter().map(|hint| hint.name.as_str()),
        nodes.iter().map(|hint| hint.name.as_str()),
    );
    let mut endpoint = Endpoint::new(placement, address)
        .with_conditions(conditions)
        .with_topology(topology);
    if let Some(uid) = target.uid {
        endpoint = endpoint.with_uid(uid);
    }
    if let Some(pod) = pod {
        endpoint = endpoint.with_pod(pod);
    }
    if let Some(ordinal) = ordinal {
        endpoint = endpoint.with_ordinal(ordinal);
    }
    Some(endpoint)
}

/// Whether a TCP connection to it makes sense at all. Loopback does: a test's Pods live there.
fn is_connectable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()),
        IpAddr::V6(v6) => {
            !(v6.is_unspecified() || v6.is_multicast() || v6.to_ipv4_mapped().is_some())
        }
    }
}
