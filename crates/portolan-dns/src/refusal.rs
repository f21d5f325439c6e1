//! Addresses that nobody can have meant, and that are left out.

use std::{fmt, net::IpAddr};

/// Why an address, or a record, is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Loopback,
    Unspecified,
    Multicast,
    Broadcast,
    LinkLocal,
    MappedV4,
    WrongFamily,
    OddName,
    PortZero,
}

/// Whether this can be the address of an endpoint.
///
/// A server that lies, or a zone with a mistake in it, could otherwise turn this client's requests on
/// its own machine (loopback), or on nobody in particular. Kubernetes refuses the same addresses in
/// slices, but nobody checks what stands in other zones.
pub(crate) fn check(ip: IpAddr, allow_loopback: bool) -> Result<(), Refusal> {
    if let IpAddr::V6(ip) = ip {
        if ip.to_ipv4_mapped().is_some() {
            return Err(Refusal::MappedV4);
        }
        // It means nothing without the number of an interface.
        if ip.is_unicast_link_local() {
            return Err(Refusal::LinkLocal);
        }
    }
    if ip.is_unspecified() {
        Err(Refusal::Unspecified)
    } else if ip.is_multicast() {
        Err(Refusal::Multicast)
    } else if matches!(ip, IpAddr::V4(ip) if ip.is_broadcast()) {
        Err(Refusal::Broadcast)
    } else if ip.is_loopback() && !allow_loopback {
        Err(Refusal::Loopback)
    } else {
        Ok(())
    }
}

/// What was left out of one resolution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) count: usize,
    /// The first in the order of the alphabet: servers shuffle their answers, and what is the same
    /// must look the same.
    pub(crate) example: Option<String>,
}

impl Rejected {
    pub(crate) fn note(&mut self, what: impl fmt::Display, why: Refusal) {
        let example = format!("{what} ({why})");
        self.add(1, Some(example));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.add(other.count, other.example);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn add(&mut self, count: usize, example: Option<String>) {
        self.count += count;
        self.example = match (self.example.take(), example) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Unspecified => "unspecified",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::LinkLocal => "link-local, without an interface",
            Self::MappedV4 => "IPv4 in the clothes of IPv6",
            Self::WrongFamily => "not of the family that was asked for",
            Self::OddName => "not the name of a host",
            Self::PortZero => "port 0",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(ip: &str) -> Option<Refusal> {
        check(ip.parse().unwrap(), false).err()
    }

    #[test]
    fn what_cannot_be_an_endpoint_is_refused() {
        for (ip, expected) in [
            ("127.0.0.1", Refusal::Loopback),
            ("127.255.3.4", Refusal::Loopback),
            ("::1", Refusal::Loopback),
            ("0.0.0.0", Refusal::Unspecified),
            ("::", Refusal::Unspecified),
            ("224.0.0.1", Refusal::Multicast),
            ("ff02::1", Refusal::Multicast),
            ("255.255.255.255", Refusal::Broadcast),
            ("fe80::1", Refusal::LinkLocal),
            ("::ffff:10.0.0.1", Refusal::MappedV4),
            ("::ffff:127.0.0.1", Refusal::MappedV4),
        ] {
            assert_eq!(refusal(ip), Some(expected), "{ip}");
        }
        for ip in ["10.244.0.7", "203.0.113.9", "fd00::7", "2001:db8::1"] {
            assert_eq!(refusal(ip), None, "{ip}");
        }
    }

    #[test]
    fn loopback_is_allowed_where_that_is_said_and_nothing_else_is() {
        assert_eq!(check("127.3.2.1".parse().unwrap(), true), Ok(()));
        assert_eq!(check("::1".parse().unwrap(), true), Ok(()));
        let mapped = "::ffff:127.0.0.1".parse().unwrap();
        assert_eq!(check(mapped, true), Err(Refusal::MappedV4));
    }

    #[test]
    fn the_example_does_not_depend_on_the_order() {
        let mut one = Rejected::default();
        one.note("127.0.0.2", Refusal::Loopback);
        one.note("127.0.0.1", Refusal::Loopback);
        let mut other = Rejected::default();
        other.note("127.0.0.1", Refusal::Loopback);
        let mut second = Rejected::default();
        second.note("127.0.0.2", Refusal::Loopback);
        other.merge(second);
        assert_eq!(one, other);
        assert_eq!(one.count, 2);
    }
}
