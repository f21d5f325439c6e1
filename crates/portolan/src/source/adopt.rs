//! Knowing Pods again in the list of a source that tells less of them.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use portolan_core::{Endpoint, EndpointSet, InternalTraffic, Reach};

/// The endpoints of `list`, each as it is in `known` where it is there as well.
///
/// DNS tells addresses, and of a StatefulSet's Pods the names; the API told UID, zone, node and hints
/// too. Whoever goes from one to the other keeps what the API told, for as long as the Pod has the same
/// address and, where the new list knows it, the same placement: or every Pod would be a new one to
/// whoever follows. The conditions are those of `list`, which is the newer word.
///
/// Whom the Service wants to be used by is as the first of `known` has it, since DNS does not tell; as far
/// as the Nodes of all are known, or nobody would be left.
///
/// A Pod that took over another's address in the meantime is not told apart from it. That takes a source
/// which knows UIDs.
pub(super) fn adopt(list: &EndpointSet, known: &[&EndpointSet]) -> EndpointSet {
    let mut by_address: HashMap<SocketAddr, Vec<&Arc<Endpoint>>> = HashMap::new();
    for endpoint in known.iter().flat_map(|set| set.iter()) {
        let addresses = [Some(endpoint.address()), endpoint.alternate()];
        for address in addresses.into_iter().flatten() {
            by_address.entry(address).or_default().push(endpoint);
        }
    }
    let Some(first) = known.first() else {
        return list.clone();
    };
    let as_known = |endpoint: &Arc<Endpoint>| {
        let same_address = by_address.get(&endpoint.address());
        let same = same_address
            .into_iter()
            .flatten()
            .find(|known| may_be_same(endpoint, known))?;
        Some(if same.conditions() == endpoint.conditions() {
            Arc::clone(same)
        } else {
            Arc::new(Endpoint::clone(same).with_conditions(endpoint.conditions()))
        })
    };
    let endpoints: Vec<_> = list
        .iter()
        .map(|endpoint| as_known(endpoint).unwrap_or_else(|| Arc::clone(endpoint)))
        .collect();
    // A Service for clients on the same Node is one only as far as Nodes are known: a virtual IP has none.
    let has_nodes = endpoints.iter().all(|endpoint| endpoint.node().is_some());
    let internal_traffic = match list.reach() {
        Reach::Pods if has_nodes => first.internal_traffic(),
        _ => InternalTraffic::Cluster,
    };
    EndpointSet::new(endpoints)
        .with_reach(list.reach())
        .with_internal_traffic(internal_traffic)
        .with_session_affinity(first.session_affinity())
}

/// Whether two endpoints at one address may be one: neither placements nor UIDs say otherwise.
fn may_be_same(endpoint: &Endpoint, known: &Endpoint) -> bool {
    let same_uid = match (endpoint.uid(), known.uid()) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    same_uid && (!has_name(endpoint) || endpoint.placement() == known.placement())
}

/// Whether the placement is more than the address in other words.
fn has_name(endpoint: &Endpoint) -> bool {
    let (name, address) = (endpoint.placement().as_str(), endpoint.address());
    name.parse() != Ok(address) && name.parse() != Ok(address.ip())
}

#[cfg(test)]
mod tests {
    use portolan_core::{Conditions, Placement};

    use super::*;

    fn by_dns(name: &str, address: &str) -> Endpoint {
        Endpoint::new(Placement::new(name), address.parse().unwrap())
    }

    fn by_api(name: &str, address: &str) -> Endpoint {
        by_dns(name, address)
            .with_uid(format!("uid of {name}"))
            .with_zone("a")
    }

    fn set(endpoints: impl IntoIterator<Item = Endpoint>) -> EndpointSet {
        endpoints.into_iter().collect()
    }

    #[test]
    fn the_same_pods_are_the_same_pointers() {
        let known = set([
            by_api("db-0", "10.0.0.1:80"),
            by_api("web-x", "10.0.0.2:80"),
        ]);
        // One with its name, one with nothing but an address.
        let list = set([
            by_dns("db-0", "10.0.0.1:80"),
            by_dns("10.0.0.2", "10.0.0.2:80"),
        ]);
        let adopted = adopt(&list, &[&known]);
        assert_eq!(adopted.len(), 2);
        for (adopted, known) in adopted.iter().zip(known.iter()) {
            assert!(Arc::ptr_eq(adopted, known));
        }
    }

    #[test]
    fn another_name_another_port_or_another_uid_is_another_pod() {
        let known = set([by_api("db-0", "10.0.0.1:80")]);
        for other in [
            by_dns("db-1", "10.0.0.1:80"),
            by_dns("db-0", "10.0.0.1:81"),
            by_dns("db-0", "10.0.0.1:80").with_uid("another"),
        ] {
            let list = set([other]);
            assert_eq!(adopt(&list, &[&known]), list);
        }
    }

    #[test]
    fn the_newer_word_on_conditions_counts_and_the_first_list_before_the_second() {
        let terminating = Conditions::new(Some(false), Some(true), Some(true));
        let known = set([by_api("db-0", "10.0.0.1:80").with_conditions(terminating)]);
        let less = set([by_api("db-0", "10.0.0.1:80").with_zone("b")]);
        let adopted = adopt(&set([by_dns("db-0", "10.0.0.1:80")]), &[&known, &less]);
        assert_eq!(adopted, set([by_api("db-0", "10.0.0.1:80")]));
    }

    #[test]
    fn a_service_that_is_for_its_own_node_stays_so() {
        let known = set([by_api("db-0", "10.0.0.1:80").with_node("node-1")]);
        let known = known.with_internal_traffic(InternalTraffic::Local);
        let list = set([by_dns("db-0", "10.0.0.1:80")]);
        let adopted = adopt(&list, &[&known]);
        assert_eq!(adopted, known);
        // The virtual IP is on no Node, and serves every client.
        let virtual_ip = set([by_dns("10.96.0.7", "10.96.0.7:80")]);
        assert_eq!(adopt(&virtual_ip, &[&known]), virtual_ip);
        assert_eq!(
            adopt(&list, &[]).internal_traffic(),
            InternalTraffic::Cluster
        );
    }

    #[test]
    fn both_addresses_of_a_dual_stack_pod_are_one_endpoint() {
        let known = by_api("db-0", "10.0.0.1:80").with_alternate("[fd00::1]:80".parse().unwrap());
        let list = set([
            by_dns("10.0.0.1", "10.0.0.1:80"),
            by_dns("fd00::1", "[fd00::1]:80"),
        ]);
        assert_eq!(adopt(&list, &[&set([known.clone()])]), set([known]));
    }
}
