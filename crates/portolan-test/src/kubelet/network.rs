//! Addresses for Pods.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::pod::Port;

/// How many addresses are tried for one Pod before it is given up.
const ATTEMPTS: usize = 64;

/// A range of IPv4 addresses for Pods, all of which this machine accepts as its own; in dual stack each
/// Pod has an IPv6 address too ([`with_ipv6`](Self::with_ipv6)).
///
/// Addresses are given out in order and come round again only at the end of the range, as in real
/// clusters. Clones share the range.
#[derive(Clone, Debug)]
pub struct PodNetwork {
    range: Range,
    /// The addresses of the other family, in a dual-stack network: this, and a Pod's IPv4 address
    /// in the last 32 bits.
    ipv6: Option<Ipv6Addr>,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    first: u32,
    prefix: u32,
}

#[derive(Debug, Default)]
struct State {
    next: u32,
    held: HashSet<Ipv4Addr>,
}

/// An address that a Pod holds; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct PodAddress {
    network: PodNetwork,
    ip: Ipv4Addr,
}

impl PodNetwork {
    /// A random range of some 1,000 addresses in 127.0.0.0/8, so that clusters do not meet even
    /// if they run at the same time. Linux accepts them all without configuration.
    #[must_use]
    pub fn loopback() -> Self {
        // 127.0 and 127.1 are left to what people run by hand.
        let block = fastrand::u32(0x7f02_0000 >> 10..0x7fff_0000 >> 10);
        Self::new(Range {
            first: block << 10,
            prefix: 22,
        })
    }

    /// The range `cidr`, such as `10.244.0.0/16`. The machine must have a route that makes it
    /// local (`ip route add local 10.244.0.0/16 dev lo` in a network namespace of the test's own).
    ///
    /// # Errors
    /// [`Error::BadNetwork`] unless it is IPv4 with a prefix of 8 to 30 bits.
    pub fn range(cidr: &str) -> Result<Self, Error> {
        let parse = || {
            let (address, prefix) = cidr.split_once('/')?;
            let address: Ipv4Addr = address.parse().ok()?;
            let prefix: u32 = prefix.parse().ok()?;
            (8..=30).contains(&prefix).then_some(Range {
                first: u32::from(address) >> (32 - prefix) << (32 - prefix),
                prefix,
            })
        };
        let range = parse().ok_or_else(|| Error::BadNetwork(cidr.to_owned()))?;
        Ok(Self::new(range))
    }

    /// The same network in dual stack: each Pod has a second address, in the IPv6 range `cidr`, such
    /// as `fd00:10:244::/64`, which ends like its IPv4 address. The machine must have made the range
    /// local (`ip -6 route add local fd00:10:244::/64 dev lo`), and let programs bind to it
    /// (`net.ipv6.ip_nonlocal_bind`): of IPv6, loopback is a single address and will not do.
    ///
    /// # Errors
    /// [`Error::BadNetwork`] unless it is IPv6 with a prefix of at most 96 bits.
    pub fn with_ipv6(mut self, cidr: &str) -> Result<Self, Error> {
        let parse = || {
            let (address, prefix) = cidr.split_once('/')?;
            let address: Ipv6Addr = address.parse().ok()?;
            let prefix: u32 = prefix.parse().ok()?;
            let mask = u128::MAX
                .checked_shl(128_u32.checked_sub(prefix)?)
                .unwrap_or(0);
            (prefix <= 96).then(|| Ipv6Addr::from_bits(address.to_bits() & mask))
        };
        self.ipv6 = Some(parse().ok_or_else(|| Error::BadNetwork(cidr.to_owned()))?);
        Ok(self)
    }

    fn new(range: Range) -> Self {
        Self {
            range,
            ipv6: None,
            state: Arc::default(),
        }
    }

    /// Finds an address on which all `ports` are free, and listens on them. With `wanted`, only
    /// that one will do.
    pub(crate) fn allocate(
        &self,
        ports: &[u16],
        wanted: Option<Ipv4Addr>,
    ) -> Result<(PodAddress, Vec<Port>), Error> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let attempts = if wanted.is_some() { 1 } else { ATTEMPTS };
        for _ in 0..attempts {
            let Some(address) = wanted.map_or_else(|| self.next(), |ip| Some(self.hold(ip))) else {
                break;
            };
            let opened: io::Result<Vec<Port>> =
                ports.iter().map(|port| address.open(*port)).collect();
            match opened {
                Ok(ports) => return Ok((address, ports)),
                Err(error) => last = error,
            }
        }
        Err(Error::NoAddress {
            network: format!("{}/{}", Ipv4Addr::from(self.range.first), self.range.prefix),
            ports: ports.to_vec(),
            source: last,
        })
    }

    /// The next address that nobody holds.
    pub(crate) fn next(&self) -> Option<PodAddress> {
        let mut state = self.lock();
        let size = 1_u32 << (32 - self.range.prefix);
        for _ in 0..size {
            state.next = (state.next + 1) % size;
            let ip = Ipv4Addr::from(self.range.first + state.next);
            // Some systems take these for a network and its broadcast address.
            let odd = matches!(ip.octets(), [.., 0 | 255]);
            if !odd && state.held.insert(ip) {
                return Some(PodAddress {
                    network: self.clone(),
                    ip,
                });
            }
        }
        None
    }

    fn hold(&self, ip: Ipv4Addr) -> PodAddress {
        self.lock().held.insert(ip);
        PodAddress {
            network: self.clone(),
            ip,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PodAddress {
    pub(crate) fn ip(&self) -> IpAddr {
        IpAddr::V4(self.ip)
    }

    /// The address of the other family, in a dual-stack network.
    pub(crate) fn other_ip(&self) -> Option<IpAddr> {
        let range = self.network.ipv6?;
        let ip = range.to_bits() | u128::from(self.ip.to_bits());
        Some(Ipv6Addr::from_bits(ip).into())
    }

    /// Listens on a port of all its addresses.
    pub(crate) fn open(&self, port: u16) -> io::Result<Port> {
        let other = self.other_ip().map(|ip| SocketAddr::new(ip, port));
        Port::open(SocketAddr::new(self.ip(), port), other)
    }
}

impl Drop for PodAddress {
    fn drop(&mut self) {
        self.network.lock().held.remove(&self.ip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_parsed_or_refused() {
        let network = PodNetwork::range("10.244.7.9/16").unwrap();
        let first = network.next().unwrap();
        assert_eq!(first.ip(), IpAddr::from([10, 244, 0, 1]));
        for wrong in ["10.244.0.0", "10.244.0.0/31", "fd00::/64", "x/16"] {
            assert!(matches!(
                PodNetwork::range(wrong),
                Err(Error::BadNetwork(_))
            ));
        }
    }

    #[test]
    fn a_second_address_ends_like_the_first() {
        let network = PodNetwork::range("10.244.0.0/16").unwrap();
        assert_eq!(network.next().unwrap().other_ip(), None);
        let network = network.with_ipv6("fd00:10:244::7/64").unwrap();
        let pod = network.hold([10, 244, 3, 9].into());
        let six: IpAddr = "fd00:10:244::10.244.3.9".parse().unwrap();
        assert_eq!(pod.other_ip(), Some(six));
        for wrong in ["fd00::", "fd00::/97", "fd00::/129", "10.244.0.0/16", "x/64"] {
            let refused = network.clone().with_ipv6(wrong);
            assert!(matches!(refused, Err(Error::BadNetwork(_))), "{wrong}");
        }
    }

    #[test]
    fn addresses_come_round_only_at_the_end_of_the_range() {
        let network = PodNetwork::range("127.9.9.0/30").unwrap();
        let [one, two] = [network.next().unwrap(), network.next().unwrap()];
        assert_ne!(one.ip(), two.ip());
        let three = network.next().unwrap();
        assert!(network.next().is_none(), "all are held");
        let given_back = three.ip();
        drop(three);
        assert_eq!(network.next().unwrap().ip(), given_back);
    }

    #[tokio::test]
    async fn a_taken_address_is_passed_over() {
        let network = PodNetwork::loopback();
        let (first, ports) = network.allocate(&[8080], None).unwrap();
        let elsewhere = PodNetwork::new(network.range);
        let (second, _ports) = elsewhere.allocate(&[8080], None).unwrap();
        assert_ne!(first.ip(), second.ip());
        assert_eq!(ports.len(), 1);
    }
}
