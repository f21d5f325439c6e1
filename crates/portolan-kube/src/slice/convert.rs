//! From what was read to what is kept. Whatever cannot be used is left out and counted; the rest of
//! its slice stays.

use std::{fmt, net::IpAddr, sync::Arc};

use portolan_core::Conditions;

use super::{
    Names, Slice, SliceEndpoint, SlicePort, bucket,
    wire::{WireEndpoint, WirePort, WireSlice},
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
    /// The slice, and what of it was left out.
    pub(crate) fn from_wire(wire: WireSlice, names: &mut Names) -> (Self, Rejected) {
        let mut rejected = Rejected::default();
        let ports = wire
            .ports
            .iter()
            .filter_map(|port| convert_port(port, names, &mut rejected))
            .collect();
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
                    convert_endpoint(endpoint, is_of_family, names, &mut rejected)
                })
                .collect(),
            None => {
                rejected.names = wire.endpoints.len();
                if rejected.names > 0 {
                    rejected.note(format_args!("addressType {}", wire.address_type));
                }
                Box::default()
            }
        };
        names.sweep();
        let slice = Self {
            version: wire.metadata.version().unwrap_or(0),
            name: wire.metadata.name.into(),
            ports,
            endpoints,
        };
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
    names: &mut Names,
    rejected: &mut Rejected,
) -> Option<SliceEndpoint> {
    // "No semantics are defined for additional addresses beyond the first, and kube-proxy does not
    // look at them." (discovery.k8s.io/v1, Endpoint.addresses)
    let text = wire.addresses.first().map_or("no address", String::as_str);
    let parsed = text.parse::<IpAddr>().ok();
    let Some(ip) = parsed.filter(|ip| is_of_family(ip) && is_connectable(*ip)) else {
        rejected.addresses += 1;
        rejected.note(text);
        return None;
    };
    let target = wire.target_ref.unwrap_or_default();
    let is_pod = target.kind.as_deref().is_none_or(|kind| kind == "Pod");
    let given = |text: &Option<String>| {
        text.as_deref()
            .filter(|text| !text.is_empty())
            .map(Arc::<str>::from)
    };
    let pod = if is_pod { given(&target.name) } else { None };
    let hostname = match (wire.hostname.as_deref(), &pod) {
        // The usual case in a StatefulSet: one string is enough.
        (Some(hostname), Some(pod)) if hostname == &**pod => Some(Arc::clone(pod)),
        _ => given(&wire.hostname),
    };
    let uid = given(&target.uid);
    let conditions = Conditions::new(
        wire.conditions.ready,
        wire.conditions.serving,
        wire.conditions.terminating,
    );
    Some(SliceEndpoint {
        ip,
        conditions,
        hostname,
        bucket: bucket(uid.as_deref(), ip),
        pod,
        uid,
        node: wire.node_name.as_deref().map(|node| names.share(node)),
        zone: wire.zone.as_deref().map(|zone| names.share(zone)),
        hints: names.share_hints(
            wire.hints.for_zones.iter().map(|hint| hint.name.as_str()),
            wire.hints.for_nodes.iter().map(|hint| hint.name.as_str()),
        ),
    })
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
