//! What an answer says of where a request belongs.

use std::{fmt, net::SocketAddr, sync::Arc};

use crate::{Endpoint, Membership, Placement};

/// An answer that says: this belongs there. `MOVED 3999 10.0.0.7:6379`, "not the leader, ask db-2", a 307 with
/// a location.
///
/// ```
/// use portolan_core::policy::Redirect;
///
/// let moved = Redirect::to_address("10.0.0.7:6379".parse().unwrap()).of_shard(3999);
/// let not_leader = Redirect::to_pod("db-2").at_epoch(17);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    to: Destination,
    shard: Option<u64>,
    epoch: Option<u64>,
}

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Destination {
    Named(Arc<str>),
    At(SocketAddr),
}

impl Redirect {
    /// To the Pod of this name. It may be the name alone or a DNS name that begins with it, such as
    /// `db-2.db.shop.svc.cluster.local`.
    #[must_use]
    pub fn to_pod(name: impl Into<Arc<str>>) -> Self {
        Self::to(Destination::Named(name.into()))
    }

    /// To the Pod at this address.
    #[must_use]
    pub fn to_address(address: SocketAddr) -> Self {
        Self::to(Destination::At(address))
    }

    fn to(to: Destination) -> Self {
        Self {
            to,
            shard: None,
            epoch: None,
        }
    }

    /// It is of all keys of this shard (or slot), and not only of the request's own.
    #[must_use]
    pub fn of_shard(mut self, shard: u64) -> Self {
        self.shard = Some(shard);
        self
    }

    /// It was decided in this epoch (or term): what was in an earlier one does not count any more.
    #[must_use]
    pub fn at_epoch(mut self, epoch: u64) -> Self {
        self.epoch = Some(epoch);
        self
    }

    /// Of which shard, where it is of a whole one.
    #[must_use]
    pub fn shard(&self) -> Option<u64> {
        self.shard
    }

    /// In which epoch it was decided, where that is told.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// The member that it leads to; `None` where that is a stranger, to whom nothing may be sent.
    #[must_use]
    pub fn destination<'m>(&self, membership: &'m Membership) -> Option<&'m Placement> {
        let members = membership.members().iter();
        let mut endpoints = members.map(|one| &*one.endpoint);
        let found = match &self.to {
            Destination::Named(name) => {
                let label = name.split('.').next().unwrap_or_default();
                let is_called = |one: &&Endpoint, name: &str| {
                    one.placement().as_str() == name || one.pod() == Some(name)
                };
                let whole = endpoints.clone().find(|one| is_called(one, name));
                whole.or_else(|| endpoints.find(|one| is_called(one, label)))
            }
            Destination::At(address) => {
                endpoints.find(|one| one.address() == *address || one.alternate() == Some(*address))
            }
        };
        found.map(Endpoint::placement)
    }
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Destination::Named(name) => f.write_str(name)?,
            Destination::At(address) => address.fmt(f)?,
        }
        if let Some(shard) = self.shard {
            write!(f, " for shard {shard}")?;
        }
        match self.epoch {
            Some(epoch) => write!(f, " in epoch {epoch}"),
            None => Ok(()),
        }
    }
}
