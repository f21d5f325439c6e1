//! From addresses to endpoints: which of them are one and the same, and what they are called.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    sync::Arc,
};

use hickory_resolver::proto::rr::Name;
use portolan_core::{Endpoint, EndpointSet, Placement, Weight};

use crate::{IpFamilies, lookup::Addresses, names::label_below};

/// A name, or no name, with addresses and a port.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    pub(crate) identity: Identity,
    pub(crate) addresses: &'a Addresses,
    pub(crate) port: NonZeroU16,
    pub(crate) weight: Weight,
}

/// By what an endpoint is known from one resolution to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// A Pod's own name below the Service's: `db-0`.
    Pod(String),
    /// A host somewhere else, to which an SRV record leads.
    Host(String),
    /// Nothing but the address.
    Address,
}

impl Identity {
    /// What the target of an SRV record of `service` says of who is there.
    pub(crate) fn of_target(target: &Name, service: &Name, addresses: &Addresses) -> Self {
        if target == service {
            return Self::Address;
        }
        match label_below(target, service) {
            // CoreDNS makes up a label for Pods without a name of their own, and that of the next Pod
            // with this address will be the same.
            Some(label) if addresses.all().any(|ip| is_address(&label, ip)) => Self::Address,
            Some(label) => Self::Pod(label),
            None => {
                let name = target.to_ascii().to_ascii_lowercase();
                Self::Host(name.trim_end_matches('.').to_owned())
            }
        }
    }
}

/// Whether the label is only the address in other letters: `10-244-0-7`, `fd00--7`.
fn is_address(label: &str, ip: IpAddr) -> bool {
    ip.to_string().replace(['.', ':'], "-") == label
}

impl Addresses {
    fn all(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4.iter().copied().map(IpAddr::from);
        v4.chain(self.v6.iter().copied().map(IpAddr::from))
    }

    /// The addresses to use, and the one of the other family where it is the same place's.
    fn choose(&self, families: IpFamilies) -> (Vec<IpAddr>, Option<IpAddr>) {
        let v4 = self.v4.iter().copied().map(IpAddr::from).collect();
        let v6 = self.v6.iter().copied().map(IpAddr::from).collect();
        let (first, second): (Vec<IpAddr>, Vec<IpAddr>) = match families.prefers_v6() {
            true => (v6, v4),
            false => (v4, v6),
        };
        match (&*first, &*second) {
            ([_], [other]) => (first, Some(*other)),
            ([], _) => (second, None),
            _ => (first, None),
        }
    }
}

/// The endpoints of one site.
pub(crate) fn endpoints(site: &Site<'_>, families: IpFamilies) -> Vec<Endpoint> {
    let (chosen, alternate) = site.addresses.choose(families);
    let at = |ip| SocketAddr::new(ip, site.port.get());
    let alone = chosen.len() == 1;
    let endpoint = |ip: IpAddr| {
        let endpoint = match &site.identity {
            Identity::Pod(label) => pod(label, at(ip)),
            // Of a host with several addresses each is a place of its own.
            Identity::Host(name) if alone => Endpoint::new(Placement::new(&**name), at(ip)),
            _ => Endpoint::new(Placement::new(ip.to_string()), at(ip)),
        };
        let endpoint = endpoint.with_weight(site.weight);
        match alternate {
            Some(other) => endpoint.with_alternate(at(other)),
            None => endpoint,
        }
    };
    chosen.into_iter().map(endpoint).collect()
}

/// The endpoint of a Pod with a name of its own. Where that ends with an ordinal it is a StatefulSet's,
/// and the Pod's hostname is the Pod's name.
fn pod(label: &str, address: SocketAddr) -> Endpoint {
    let placement = Placement::new(label);
    let ordinal = placement.ordinal();
    let endpoint = Endpoint::new(placement, address);
    match ordinal {
        Some(ordinal) => endpoint.with_ordinal(ordinal).with_pod(label),
        None => endpoint,
    }
}

/// The set of these endpoints, in which those that did not change are the same as before. Where none
/// did, it is the same set.
pub(crate) fn set(endpoints: Vec<Endpoint>, before: Option<&EndpointSet>) -> EndpointSet {
    let known: HashMap<_, &Arc<Endpoint>> = before
        .into_iter()
        .flat_map(|set| set.iter())
        .map(|one| ((one.placement(), one.incarnation()), one))
        .collect();
    let shared = endpoints
        .into_iter()
        .map(
            |endpoint| match known.get(&(endpoint.placement(), endpoint.incarnation())) {
                Some(same) if ***same == endpoint => Arc::clone(same),
                _ => Arc::new(endpoint),
            },
        )
        .collect();
    let set = EndpointSet::new(shared);
    let unchanged = |before: &&EndpointSet| {
        before.len() == set.len()
            && before
                .iter()
                .zip(set.iter())
                .all(|(a, b)| Arc::ptr_eq(a, b))
    };
    before.filter(unchanged).cloned().unwrap_or(set)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::names::host;

    fn addresses(ips: &[&str]) -> Addresses {
        let mut addresses = Addresses::default();
        for ip in ips {
            addresses.admit(ip.parse().unwrap(), false);
        }
        addresses
    }

    fn identity(target: &str, ips: &[&str]) -> Identity {
        let service = host("db.shop.svc.cluster.local").unwrap();
        Identity::of_target(&host(target).unwrap(), &service, &addresses(ips))
    }

    #[test]
    fn a_pods_own_name_is_told_from_one_that_is_made_of_its_address() {
        let below = |label: &str| format!("{label}.db.shop.svc.cluster.local");
        assert_eq!(
            identity(&below("db-0"), &["10.244.0.7"]),
            Identity::Pod("db-0".into())
        );
        assert_eq!(
            identity(&below("10-244-0-7"), &["10.244.0.7"]),
            Identity::Address
        );
        assert_eq!(identity(&below("fd00--7"), &["fd00::7"]), Identity::Address);
        // A name that looks like some other address is a name.
        assert_eq!(
            identity(&below("10-244-0-8"), &["10.244.0.7"]),
            Identity::Pod("10-244-0-8".into())
        );
        assert_eq!(
            identity("db.shop.svc.cluster.local", &["10.96.0.7"]),
            Identity::Address
        );
        assert_eq!(
            identity("A.example.com", &["203.0.113.7"]),
            Identity::Host("a.example.com".into())
        );
    }

    fn made(identity: Identity, ips: &[&str], families: IpFamilies) -> Vec<Endpoint> {
        let site = Site {
            identity,
            addresses: &addresses(ips),
            port: NonZeroU16::new(80).unwrap(),
            weight: Weight::ONE,
        };
        endpoints(&site, families)
    }

    #[test]
    fn a_stateful_set_pod_has_its_name_and_ordinal() {
        let made = made(
            Identity::Pod("db-12".into()),
            &["10.0.0.1"],
            IpFamilies::PreferV4,
        );
        let [endpoint] = &*made else { panic!() };
        assert_eq!(endpoint.placement().as_str(), "db-12");
        assert_eq!(endpoint.ordinal(), Some(12));
        assert_eq!(endpoint.pod(), Some("db-12"));
        assert_eq!(endpoint.address(), "10.0.0.1:80".parse().unwrap());
    }

    #[test]
    fn a_hostname_that_is_no_stateful_sets_is_a_placement_only() {
        let made = made(
            Identity::Pod("leader".into()),
            &["10.0.0.1"],
            IpFamilies::PreferV4,
        );
        assert_eq!(made[0].placement().as_str(), "leader");
        assert_eq!((made[0].ordinal(), made[0].pod()), (None, None));
    }

    #[test]
    fn one_address_of_each_family_is_one_endpoint() {
        let both = ["10.0.0.1", "fd00::1"];
        for (families, address, alternate) in [
            (IpFamilies::PreferV4, "10.0.0.1:80", "[fd00::1]:80"),
            (IpFamilies::PreferV6, "[fd00::1]:80", "10.0.0.1:80"),
        ] {
            for identity in [Identity::Pod("db-0".into()), Identity::Address] {
                let made = made(identity, &both, families);
                assert_eq!(made.len(), 1);
                assert_eq!(made[0].address(), address.parse().unwrap());
                assert_eq!(made[0].alternate(), Some(alternate.parse().unwrap()));
            }
        }
    }

    #[test]
    fn without_names_one_family_counts() {
        let ips = ["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"];
        let made = |families| {
            let made = made(Identity::Address, &ips, families);
            let names: Vec<_> = made
                .iter()
                .map(|one| (one.placement().to_string(), one.alternate()))
                .collect();
            names
        };
        let names = |names: [&str; 2]| names.map(|name| (name.to_owned(), None)).to_vec();
        assert_eq!(made(IpFamilies::PreferV4), names(["10.0.0.1", "10.0.0.2"]));
        assert_eq!(made(IpFamilies::PreferV6), names(["fd00::1", "fd00::2"]));
    }

    #[test]
    fn the_other_family_serves_where_the_preferred_one_has_none() {
        let made = made(
            Identity::Address,
            &["fd00::1", "fd00::2"],
            IpFamilies::PreferV4,
        );
        assert_eq!(made.len(), 2);
    }

    #[test]
    fn a_host_is_known_by_its_name_if_it_has_one_address() {
        let host = || Identity::Host("a.example.com".into());
        let one = made(host(), &["10.0.0.1"], IpFamilies::PreferV4);
        assert_eq!(one[0].placement().as_str(), "a.example.com");
        let two = made(host(), &["10.0.0.1", "10.0.0.2"], IpFamilies::PreferV4);
        assert_eq!(two[0].placement().as_str(), "10.0.0.1");
        assert_eq!(two[1].placement().as_str(), "10.0.0.2");
    }

    fn endpoint((placement, address, weight): (u8, u8, u32)) -> Endpoint {
        let address = SocketAddr::from(([10, 0, 0, address], 80));
        Endpoint::new(Placement::new(format!("db-{placement}")), address)
            .with_weight(Weight::new(weight))
    }

    proptest! {
        #[test]
        fn sharing_changes_nothing_but_what_is_shared(
            before in proptest::collection::vec((0u8..6, 0u8..3, 1u32..3), 0..12),
            now in proptest::collection::vec((0u8..6, 0u8..3, 1u32..3), 0..12),
        ) {
            let before: EndpointSet = before.into_iter().map(endpoint).collect();
            let naive: EndpointSet = now.iter().copied().map(endpoint).collect();
            let shared = set(now.into_iter().map(endpoint).collect(), Some(&before));
            prop_assert_eq!(&shared, &naive);
            for one in shared.iter() {
                let same = before.iter().find(|other| *other == one);
                prop_assert!(same.is_none_or(|same| Arc::ptr_eq(same, one)));
            }
            prop_assert_eq!(shared.is_same(&before), naive == before);
        }
    }
}
