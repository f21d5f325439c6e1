//! The ring of nginx.

use std::sync::Arc;

use super::{
    super::{
        host::{Host, Hosts},
        order::Order,
        settings::{Settings, common_settings},
    },
    kept::Share,
    points::{Point, Ring},
};
use crate::{Candidates, Endpoint, Picker, Policy, policy::Changes};

/// The ring of nginx (`hash … consistent`) and pingora, for fleets in which a key must belong to the same host for
/// them and for Portolan. Where nobody else has to agree, take [`RingHash`](super::RingHash).
///
/// Several rings go by the name of ketama. This is the one of Perl's Cache::Memcached::Fast, which nginx took over:
/// CRC-32, and 160 points for each unit of weight. (libketama's own has MD5, and points in fours; Envoy's is
/// [`GrpcRingHash`](super::GrpcRingHash).) Its points have 32 bits: among 160,000 some three coincide, where the
/// others may prefer another host than this one, which takes the one whose placement comes first.
///
/// The name of a host is what nginx has in `server HOST:PORT;`:
///
/// - [`by_address`](Self::by_address): the address. A Pod that restarts has another one, and its keys move.
/// - [`by_placement`](Self::by_placement): the stable name, and the address's port.
#[derive(Clone, Debug)]
pub struct Ketama {
    by_address: bool,
    settings: Settings,
}

common_settings!(Ketama);

/// Points for each unit of weight.
const POINTS: u32 = 160;

impl Ketama {
    /// The ring on which a host's name is its IP address.
    #[must_use]
    pub fn by_address() -> Self {
        Self {
            by_address: true,
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

    fn host(&self, endpoint: &Endpoint) -> String {
        match self.by_address {
            true => endpoint.address().ip().to_string(),
            false => endpoint.placement().to_string(),
        }
    }
}

impl Policy for Ketama {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let hosts = Hosts::of(candidates);
        let mut points = Vec::new();
        // nginx would take them all; but there is no memory for more than a ring may have.
        for (host, share) in hosts.iter().zip(Share::of_each(&hosts, POINTS)) {
            let index = hosts.endpoint(host);
            let Some(candidate) = index.and_then(|index| candidates.get(index)) else {
                continue;
            };
            let mut name = crc32fast::Hasher::new();
            name.update(self.host(&candidate.endpoint).as_bytes());
            name.update(b"\0");
            name.update(candidate.endpoint.address().port().to_string().as_bytes());
            let mut former = 0_u32;
            for _ in 0..share.points() {
                let mut point = name.clone();
                point.update(&former.to_le_bytes());
                former = point.finalize();
                points.push(Point::new(on_ring(former), host));
            }
        }
        let ring = KetamaRing(Ring::of(&points));
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
struct KetamaRing(Ring);

impl Order for KetamaRing {
    const NAME: &'static str = "Ketama";

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        on_ring(crc32fast::hash(key))
    }

    #[inline]
    fn first(&self, hash: u64) -> Option<Host> {
        self.0.first(hash)
    }

    fn first_such(&self, hash: u64, such: impl FnMut(Host) -> bool) -> Option<Host> {
        self.0.first_such(hash, such)
    }
}

/// 32 bits on a ring of 64.
#[inline]
fn on_ring(hash: u32) -> u64 {
    u64::from(hash) << 32
}
