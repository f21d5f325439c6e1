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
    for_now: bool,
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
            for_now: false,
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

    /// It is for this request only, and nothing to be remembered: a 307, whose 308 it is not.
    #[must_use]
    pub fn for_now(mut self) -> Self {
        self.for_now = true;
        self
    }

    /// Whether it is for this request only.
    #[must_use]
    pub fn is_for_now(&self) -> bool {
        self.for_now
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

    /// The member that it leads to; `None` where that is a stranger, to whom nothing may be sent, or where
    /// several bear the name.
    ///
    /// Of a DNS name the first label counts where the whole is nobody's name: it is taken to be of this Service,
    /// for a server has no reason to name Pods of another.
    #[must_use]
    pub fn destination<'m>(&self, membership: &'m Membership) -> Option<&'m Placement> {
        let endpoints = || membership.members().iter().map(|one| &*one.endpoint);
        match &self.to {
            Destination::Named(name) => {
                let label = name.split('.').next().unwrap_or_default();
                let called = |name: &str| {
                    let is_it = |one: &&Endpoint| {
                        one.placement().as_str().eq_ignore_ascii_case(name)
                            || one.pod().is_some_and(|pod| pod.eq_ignore_ascii_case(name))
                    };
                    let mut found = endpoints().filter(is_it).map(Endpoint::placement);
                    let first = found.next()?;
                    Some(found.all(|other| other == first).then_some(first))
                };
                called(name).or_else(|| called(label)).flatten()
            }
            Destination::At(address) => {
                let is_there = |one: &&Endpoint| {
                    one.address() == *address || one.alternate() == Some(*address)
                };
                // An address that was given away is its new Pod's.
                let stays = |one: &&Endpoint| !one.conditions().is_terminating();
                let mut found = endpoints().filter(is_there);
                let live = endpoints().filter(is_there).find(stays);
                live.or_else(|| found.next()).map(Endpoint::placement)
            }
        }
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
