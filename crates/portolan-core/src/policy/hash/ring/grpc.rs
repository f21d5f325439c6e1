//! The ring of gRPC and Envoy, to the last bit.

use std::sync::Arc;

use xxhash_rust::xxh64::xxh64;

use super::{
    super::{
        host::{Host, Hosts},
        order::Order,
        settings::{Settings, common_settings},
    },
    points::{Point, Ring},
};
use crate::{Candidate, Candidates, Endpoint, Picker, Policy, policy::Changes};

/// The ring of gRPC (`ring_hash_experimental`, gRFC A42) and Envoy (`RING_HASH`), for fleets in which a key must
/// belong to the same host for them and for Portolan. Where nobody else has to agree, take [`RingHash`](super::RingHash).
///
/// Its number of points is between two limits, and is divided among the hosts by weight. So hosts that come and go
/// change how many points the others have, and keys that have nothing to do with it move: 12% where there are three
/// hosts. With the usual limits, 100 hosts share 1,100 points, and the busiest has nearly twice the mean.
///
/// A host's points are the XXH64 of `NAME_0`, `NAME_1`, …; a key's hash is the XXH64 of its bytes. That is what gRPC
/// does with the request header that it is told to hash (several values are joined by `,` there, and none is a host at
/// random), and Envoy with a single hash policy. What the name is, is to be the same everywhere:
///
/// - [`by_address`](Self::by_address): the address, `IP:PORT`, as gRPC and Envoy have it unless told otherwise. A Pod
///   that restarts has another address, and its keys move.
/// - [`by_placement`](Self::by_placement): the stable name. gRPC and Envoy have it where their control plane sets
///   `hash_key` in the metadata `envoy.lb` of each endpoint to it (gRFC A76), and Envoy where it hashes host names that
///   are the same.
///
/// Where the points cannot be divided evenly, who gets the odd one goes by the order of the names, as in gRPC; Envoy
/// goes by the order in which it is told of the hosts.
///
/// ```
/// use portolan_core::policy::GrpcRingHash;
///
/// let like_grpc = GrpcRingHash::by_address(); // 1,024 to 4,096 points
/// let like_envoy = GrpcRingHash::by_address().ring_size(1_024, 8 << 20);
/// # let _: [&dyn portolan_core::Policy; 2] = [&like_grpc, &like_envoy];
/// ```
#[derive(Clone, Debug)]
pub struct GrpcRingHash {
    by_address: bool,
    least: u64,
    most: u64,
    settings: Settings,
}

common_settings!(GrpcRingHash);

/// Neither gRPC nor Envoy has larger rings.
const LARGEST: u64 = 8 << 20;

impl GrpcRingHash {
    /// The ring on which a host's name is its address.
    #[must_use]
    pub fn by_address() -> Self {
        Self {
            by_address: true,
            least: 1_024,
            most: 4_096,
            settings: Settings::default(),
        }
    }

    /// The ring on which a host's name is its [placement](crate::Placement).
    #[must_use]
    pub fn by_placement() -> Self {
        Self {
            by_address: false,
            ..Self::by_address()
        }
    }

    /// Sets the limits for the number of points (`min_ring_size`, `max_ring_size`). Default: 1,024 and 4,096, as
    /// gRPC has it; Envoy's are 1,024 and 8 Mi (8,388,608), and nobody takes more. A minimum above the
    /// maximum is as the maximum.
    #[must_use]
    pub fn ring_size(mut self, least: u64, most: u64) -> Self {
        self.most = most.clamp(1, LARGEST);
        self.least = least.clamp(1, self.most);
        self
    }

    fn name(&self, endpoint: &Endpoint) -> String {
        match self.by_address {
            true => endpoint.address().to_string(),
            false => endpoint.placement().to_string(),
        }
    }

    /// How many points of each host, as gRPC and Envoy reckon, in the same floating point.
    fn points(&self, hosts: &[(String, Host, u32)]) -> Vec<Point> {
        let sum: f64 = hosts.iter().map(|(_, _, weight)| f64::from(*weight)).sum();
        let normalized = |weight: u32| f64::from(weight) / sum;
        let least = hosts.iter().map(|(_, _, weight)| normalized(*weight));
        let least = least.fold(1.0, f64::min);
        // As many as it takes for the lightest host to have a whole number of them.
        let scale = ((least * self.least as f64).ceil() / least).min(self.most as f64);
        let mut points = Vec::with_capacity(scale.ceil() as usize);
        let mut due = 0.0;
        let mut text = String::new();
        for (name, host, weight) in hosts {
            due += scale * normalized(*weight);
            let mut number = 0_u64;
            while (points.len() as f64) < due {
                text.clear();
                text.push_str(name);
                text.push('_');
                text.push_str(&number.to_string());
                points.push(Point::new(xxh64(text.as_bytes(), 0), *host));
                number += 1;
            }
        }
        points
    }
}

impl Policy for GrpcRingHash {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let hosts = Hosts::of(candidates);
        let first = |host: Host| -> Option<&Candidate> { candidates.get(hosts.endpoint(host)?) };
        let mut named: Vec<_> = hosts
            .iter()
            .filter(|host| hosts.weight(*host) > 0)
            .filter_map(|host| Some((self.name(&first(host)?.endpoint), host, hosts.weight(host))))
            .collect();
        // gRPC reckons in the order of the names.
        named.sort();
        let ring = GrpcRing(Ring::of(&self.points(&named)));
        self.settings.picker(candidates, hosts, ring)
    }

    /// A key has one place for all clients.
    fn is_by_identity(&self) -> bool {
        true
    }

    fn changes(&self) -> Option<Changes> {
        self.settings.changes()
    }
}

#[derive(Debug)]
struct GrpcRing(Ring);

impl Order for GrpcRing {
    const NAME: &'static str = "GrpcRingHash";

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        xxh64(key, 0)
    }

    #[inline]
    fn first(&self, hash: u64) -> Option<Host> {
        self.0.first(hash)
    }

    fn first_such(&self, hash: u64, such: impl FnMut(Host) -> bool) -> Option<Host> {
        self.0.first_such(hash, such)
    }
}

#[cfg(test)]
mod tests {
    use super::{GrpcRingHash, Host, Ring};

    fn hosts(names: &[&str], weights: &[u32]) -> Vec<(String, Host, u32)> {
        let hosts = names.iter().zip(weights).zip(0..);
        hosts
            .map(|((name, weight), host)| ((*name).to_owned(), Host(host), *weight))
            .collect()
    }

    fn counts(names: &[&str], weights: &[u32], least: u64, most: u64) -> Vec<usize> {
        let policy = GrpcRingHash::by_address().ring_size(least, most);
        let points = policy.points(&hosts(names, weights));
        let of = |host| {
            points
                .iter()
                .filter(|point| point.host() == Host(host))
                .count()
        };
        (0..names.len() as u32).map(of).collect()
    }

    const ADDRESSES: [&str; 6] = [
        "127.0.0.1:90",
        "127.0.0.1:91",
        "127.0.0.1:92",
        "127.0.0.1:93",
        "127.0.0.1:94",
        "127.0.0.1:95",
    ];

    /// The ring, and who has which hash, in Envoy's own test (RingHashLoadBalancerTest, Basic).
    #[test]
    fn it_is_envoys_ring() {
        let points = GrpcRingHash::by_address()
            .ring_size(12, 8 << 20)
            .points(&hosts(&ADDRESSES, &[1; 6]));
        let ring = Ring::of(&points);
        let found: Vec<_> = ring
            .points()
            .iter()
            .map(|point| (90 + point.host().0, point.hash()))
            .collect();
        let known = [
            (94, 833_437_586_790_550_860),
            (92, 928_266_305_478_181_108),
            (90, 1_033_482_794_131_418_490),
            (95, 3_551_244_743_356_806_947),
            (93, 3_851_675_632_748_031_481),
            (91, 5_583_722_120_771_150_861),
            (91, 6_311_230_543_546_372_928),
            (93, 7_700_377_290_971_790_572),
            (95, 13_144_177_310_400_110_813),
            (92, 13_444_792_449_719_432_967),
            (94, 15_516_499_411_664_133_160),
            (90, 16_117_243_373_044_804_889),
        ];
        assert_eq!(found, known);
        let owner = |hash| ring.first(hash).map(|host| 90 + host.0);
        assert_eq!(owner(0), Some(94));
        assert_eq!(owner(u64::MAX), Some(94));
        assert_eq!(owner(3_551_244_743_356_806_947), Some(95));
        assert_eq!(owner(3_551_244_743_356_806_948), Some(93));
        assert_eq!(owner(16_117_243_373_044_804_880), Some(90));
    }

    /// As gRPC's and Envoy's tests have it: weights 3, 3, 4; hosts that no ring can be divided among evenly.
    #[test]
    fn points_are_shared_out_as_theirs() {
        let three = &ADDRESSES[..3];
        assert_eq!(counts(three, &[1, 2, 3], 6, 6), [1, 2, 3]);
        assert_eq!(counts(three, &[1, 2, 3], 6144, 8 << 20), [1024, 2048, 3072]);
        assert_eq!(counts(three, &[3, 3, 4], 10, 20), [3, 3, 4]);
        assert_eq!(counts(three, &[3, 3, 4], 7, 20), [3, 3, 4]);
        assert_eq!(counts(&ADDRESSES[..4], &[1; 4], 1, 6), [1, 1, 1, 1]);
        assert_eq!(counts(&ADDRESSES[..4], &[1; 4], 6, 6), [2, 1, 2, 1]);
        assert_eq!(counts(&ADDRESSES[..1], &[1], 1024, 4096), [1024]);
        assert!(counts(&[], &[], 1024, 4096).is_empty());
    }
}
