//! What SRV records say (RFC 2782): where to, in which order, how much of it, and what came along.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU16,
};

use hickory_resolver::proto::rr::{Name, RData, Record, rdata::SRV};
use portolan_core::Weight;

use crate::{
    IpFamilies,
    lookup::{Addresses, ip, least},
    refusal::{Refusal, Rejected},
};

/// What an SRV record says, with a port that can be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) weight: u16,
    pub(crate) port: NonZeroU16,
    pub(crate) name: Name,
}

/// The targets of SRV records, the lowest priority first. The target `.` says that there is nothing
/// (RFC 2782).
pub(crate) fn by_priority(
    records: &[Record],
    rejected: &mut Rejected,
) -> BTreeMap<u16, Vec<Target>> {
    let mut groups: BTreeMap<u16, Vec<Target>> = BTreeMap::new();
    for srv in records.iter().filter_map(srv) {
        if srv.target.is_root() {
            continue;
        }
        if !is_hostname(&srv.target) {
            rejected.note(&srv.target, Refusal::OddName);
            continue;
        }
        let Some(port) = NonZeroU16::new(srv.port) else {
            rejected.note(&srv.target, Refusal::PortZero);
            continue;
        };
        let mut name = srv.target.clone();
        name.set_fqdn(true);
        groups.entry(srv.priority).or_default().push(Target {
            weight: srv.weight,
            port,
            name,
        });
    }
    groups
}

/// What the weights of SRV records mean. Where all are equal, as CoreDNS has them (they change with
/// the number of Pods), they mean nothing.
///
/// A weight of 0 among others is "a very small chance" (RFC 2782), and not none: one hundredth of a
/// weight of 1.
pub(crate) fn weigher(targets: &[Target]) -> impl Fn(u16) -> Weight {
    let first = targets.first().map_or(0, |target| target.weight);
    let differ = targets.iter().any(|target| target.weight != first);
    let some_zero = targets.iter().any(|target| target.weight == 0);
    move |weight| match (differ, some_zero, u32::from(weight)) {
        (false, _, _) => Weight::ONE,
        (true, false, weight) => Weight::new(weight),
        (true, true, weight) => Weight::new((weight * 100).max(1)),
    }
}

/// Addresses that came along with SRV records, and need not be asked for (RFC 2782).
pub(crate) struct Glue(HashMap<Name, Addresses>);

impl Glue {
    pub(crate) fn new(additionals: &[Record], allow_loopback: bool) -> Self {
        let mut glue: HashMap<Name, Addresses> = HashMap::new();
        for record in additionals {
            if let Some(ip) = ip(record) {
                let addresses = glue.entry(record.name.clone()).or_default();
                addresses.exists = true;
                addresses.ttl = least(addresses.ttl, Some(record.ttl));
                addresses.admit(ip, allow_loopback);
            }
        }
        Self(glue)
    }

    /// The addresses of `name`, where there are any of a family that is wanted.
    pub(crate) fn addresses(&self, name: &Name, families: IpFamilies) -> Option<Addresses> {
        let mut addresses = self.0.get(name)?.clone();
        if !families.wants_v4() {
            addresses.v4.clear();
        }
        if !families.wants_v6() {
            addresses.v6.clear();
        }
        (!addresses.is_empty() || !addresses.rejected.is_empty()).then_some(addresses)
    }
}

pub(crate) fn srv(record: &Record) -> Option<&SRV> {
    match &record.data {
        RData::SRV(srv) => Some(srv),
        _ => None,
    }
}

/// Whether this is the name of a host (RFC 1123), with the underscores that some have. DNS allows any
/// bytes, and an endpoint's name gets into logs.
fn is_hostname(name: &Name) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.iter().all(|label| label.iter().all(plain))
}
