//! What a balancer wants of a Service, and which reach that is.

use std::net::SocketAddr;

use portolan_core::{Endpoint, PortRef, Reach, SourceError};

use super::{Needs, invalid};
use crate::{
    cluster::{IpFamilies, NodeAddresses, Vantage},
    service::{Family, ServiceKind},
};

/// What one balancer wants of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) port: Option<PortRef>,
    /// Nothing where the type of the Service, and where the client stands, are to decide.
    pub(crate) reach: Option<Reach>,
    pub(crate) vantage: Vantage,
    pub(crate) families: IpFamilies,
    pub(crate) node_addresses: NodeAddresses,
}

/// Which IP families are used, the preferred one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FamilyOrder {
    pub(crate) first: Family,
    pub(crate) second: Option<Family>,
}

impl Want {
    /// What is needed before the Service is known. Most Services are reached by their Pods, and it is not
    /// worth one more round trip to be sure.
    pub(super) fn needs_at_first(&self) -> Needs {
        Needs {
            slices: self.reach.unwrap_or_default() == Reach::Pods,
            ..Needs::default()
        }
    }

    /// The reach of a Service of this kind.
    pub(super) fn reach(&self, name: &str, kind: &ServiceKind) -> Result<Reach, SourceError> {
        let found = match (self.reach, kind) {
            (_, ServiceKind::Unknown(kind)) => {
                return Err(invalid(format!(
                    "Service `{name}` is of type `{}`, which is not known here; expected ClusterIP (headless \
                     or not), NodePort, LoadBalancer or ExternalName",
                    kind.escape_debug()
                )));
            }
            (None | Some(Reach::ExternalName), ServiceKind::ExternalName(_)) => Reach::ExternalName,
            (Some(other), ServiceKind::ExternalName(_)) => {
                return Err(invalid(format!(
                    "Service `{name}` is of type ExternalName, an alias in DNS and nothing else: it cannot \
                     be reached by {other:?}; leave the reach to the Service, or ask for \
                     `Reach::ExternalName`"
                )));
            }
            (Some(Reach::ExternalName), kind) => {
                return Err(invalid(format!(
                    "Service `{name}` is of type {} and no alias, so it cannot be reached by ExternalName; \
                     leave the reach to the Service",
                    kind.as_type()
                )));
            }
            (Some(wanted), _) => wanted,
            (None, ServiceKind::NodePort) if self.vantage == Vantage::Outside => Reach::Nodes,
            (None, ServiceKind::LoadBalancer(_)) if self.vantage == Vantage::Outside => {
                Reach::LoadBalancer
            }
            (None, _) => Reach::Pods,
        };
        Ok(found)
    }

    /// The endpoint that `make` makes of these addresses, or nothing where none is of a family in use.
    pub(super) fn endpoint(
        &self,
        addresses: impl IntoIterator<Item = SocketAddr>,
        of_service: Option<Family>,
        make: impl FnOnce(SocketAddr) -> Endpoint,
    ) -> Option<Endpoint> {
        let families = self.families.order(of_service);
        let mut by_rank = [None, None];
        for address in addresses {
            let rank = families.rank(Family::of(address.ip()));
            if let Some(place) = rank.and_then(|rank| by_rank.get_mut(rank)) {
                place.get_or_insert(address);
            }
        }
        match by_rank {
            [Some(first), Some(second)] => Some(make(first).with_alternate(second)),
            [one, other] => one.or(other).map(make),
        }
    }
}

impl FamilyOrder {
    /// 0 for the preferred family, 1 for the other where it is used.
    pub(crate) fn rank(self, family: Family) -> Option<usize> {
        if family == self.first {
            Some(0)
        } else {
            (self.second == Some(family)).then_some(1)
        }
    }
}
