//! Talking to a part of a large Service only.
//!
//! A client of 20,000 Pods that talks to all of them keeps connections that hardly ever carry a request; and each Pod
//! keeps one for each client. With a [`Subset`], a client talks to a few of them, and all clients together to all.
//!
//! ```
//! use portolan::{Cluster, source::Fixed, subset::Subset};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), portolan::BuildError> {
//! # let cluster = Cluster::from_source(Fixed::default());
//! // This program is one of the Pods of `checkout.shop`, and knows by that Service which one.
//! let peers = cluster.service("checkout.shop:http")?;
//! let nodes = cluster
//!     .service("prices.shop:http")?
//!     .subset(Subset::aperture_of(peers).as_pod("checkout-7d4b9-x2x7k"))
//!     .nodes()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it does not go with
//! - A policy [by identity](crate::Policy::is_by_identity) chooses among all endpoints: a key that has one place must
//!   find it. The subset is passed over, and a warning says so.
//! - A request that is pinned, or has a session, finds only endpoints of the subset, as it finds only those that get
//!   requests at all.

use std::{env, net::IpAddr, sync::Arc};

use portolan_core::{EndpointSet, ServiceRef, Source, subset};

pub use portolan_core::subset::{Aperture, Peers, PeersError, RendezvousSubset};

use crate::{BalancerBuilder, BuildError};

/// Which endpoints of a Service a client talks to at all.
///
/// An [aperture](Self::aperture_of) gives all endpoints the same load, and needs to know which of its peers a client
/// is; when clients come or go, connections move. A [rendezvous](RendezvousSubset) needs a name and moves as little as
/// can be, and the load is even by chance. [The two compared](portolan_core::subset).
///
/// Either is one of the endpoints that get requests at all: an endpoint that cannot be reached is left out, and another
/// takes its place.
#[derive(Clone, Debug)]
pub struct Subset(pub(crate) Kind);

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// All is known.
    Known(subset::Subset),
    /// Which of its peers a client is, their Service says.
    ByOwnService(OwnService),
}

/// The Service that a client is a Pod of.
#[derive(Clone, Debug)]
pub(crate) struct OwnService {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) service: ServiceRef,
    pub(crate) least: Option<u32>,
    /// The name of the client's own Pod.
    pod: Option<Arc<str>>,
    address: Option<IpAddr>,
}

impl Subset {
    /// An [`Aperture`], for which index and number of the peers come from their own Service: that of which this program
    /// is one of the Pods. Nothing else has to be set, and it is followed as Pods of it come and go.
    ///
    /// Of `own` its Service and where that is found are used, and nothing else that is set. All Pods of it count that
    /// do not terminate, ready or not, in the order of their names, so all peers count alike. Which of them is this
    /// one, the environment says: by `POD_NAME`, by `POD_IP`, or, in a Pod, by `HOSTNAME`, which is its name. (`POD_IP`
    /// is for Pods with `hostNetwork`, whose `HOSTNAME` is the Node's.) The downward API sets the first two.
    ///
    /// The client needs the permission to follow its own Service, as any other.
    ///
    /// While a client does not find itself there, it takes as many endpoints by rendezvous instead, by its own name.
    /// At its start it waits for the first word of its own Service, a second at most.
    #[must_use]
    pub fn aperture_of(own: BalancerBuilder) -> Self {
        let (source, service) = own.into_source();
        let given = |name| {
            env::var(name)
                .ok()
                .filter(|value: &String| !value.is_empty())
        };
        // Only a Pod's host name is a Pod's name.
        let host = || given("KUBERNETES_SERVICE_HOST").and_then(|_| given("HOSTNAME"));
        Self(Kind::ByOwnService(OwnService {
            source,
            service,
            least: None,
            pod: given("POD_NAME").or_else(host).map(Arc::from),
            address: given("POD_IP").and_then(|ip| ip.parse().ok()),
        }))
    }

    /// Says which Pod this program is, for an [aperture of its own Service](Self::aperture_of), where the environment
    /// does not. For others it means nothing.
    #[must_use]
    pub fn as_pod(mut self, name: impl Into<Arc<str>>) -> Self {
        if let Kind::ByOwnService(own) = &mut self.0 {
            own.pod = Some(name.into());
        }
        self
    }

    /// Says at which address this program's Pod is, for an [aperture of its own Service](Self::aperture_of), where the
    /// environment does not and its name is not known. For others it means nothing.
    #[must_use]
    pub fn at_address(mut self, address: IpAddr) -> Self {
        if let Kind::ByOwnService(own) = &mut self.0 {
            own.address = Some(address);
        }
        self
    }

    /// How many endpoints an aperture has at least, if there are so many: see [`Aperture::at_least`]. For others it means
    /// nothing.
    #[must_use]
    pub fn at_least(mut self, endpoints: u32) -> Self {
        match &mut self.0 {
            Kind::ByOwnService(own) => own.least = Some(endpoints),
            Kind::Known(subset::Subset::Aperture(aperture)) => {
                *aperture = aperture.at_least(endpoints);
            }
            Kind::Known(_) => {}
        }
        self
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        match &self.0 {
            Kind::ByOwnService(own) if own.pod.is_none() && own.address.is_none() => {
                Err(BuildError::Setting {
                    setting: "subset",
                    value: format!("an aperture of {}", own.service),
                    expected: "expected to know which Pod of it this is: set POD_NAME or POD_IP by the downward \
                               API, or say it by Subset::as_pod or Subset::at_address",
                })
            }
            _ => Ok(()),
        }
    }
}

impl From<Aperture> for Subset {
    fn from(aperture: Aperture) -> Self {
        Self(Kind::Known(aperture.into()))
    }
}

impl From<RendezvousSubset> for Subset {
    fn from(rendezvous: RendezvousSubset) -> Self {
        Self(Kind::Known(rendezvous.into()))
    }
}

impl OwnService {
    /// Which of these Pods the client is.
    pub(crate) fn find(&self, endpoints: &EndpointSet) -> Option<Peers> {
        let stays = endpoints
            .iter()
            .filter(|one| !one.conditions().is_terminating());
        // A Pod may be listed for several ports or addresses; it is one client all the same.
        let mut pods: Vec<_> = stays.collect();
        pods.dedup_by(|next, one| next.placement() == one.placement());
        let is_named = |name: &str| {
            pods.iter()
                .position(|one| one.pod() == Some(name) || one.placement().as_str() == name)
        };
        let is_at = |ip: IpAddr| {
            let alternate = |one: &portolan_core::Endpoint| one.alternate().map(|other| other.ip());
            pods.iter()
                .position(|one| one.address().ip() == ip || alternate(one) == Some(ip))
        };
        let index = self.pod.as_deref().and_then(is_named);
        let index = index.or_else(|| self.address.and_then(is_at))?;
        let (index, count) = (u32::try_from(index).ok()?, u32::try_from(pods.len()).ok()?);
        Peers::new(index, count).ok()
    }

    pub(crate) fn aperture(&self, peers: Peers) -> subset::Subset {
        let aperture = Aperture::of(peers);
        self.least
            .map_or(aperture, |least| aperture.at_least(least))
            .into()
    }

    /// For as long as the client does not find itself: bounded, and another one for each client.
    pub(crate) fn meanwhile(&self) -> subset::Subset {
        let name = match (&self.pod, self.address) {
            (Some(pod), _) => pod.to_string(),
            (None, Some(address)) => address.to_string(),
            (None, None) => String::new(),
        };
        let size = self.least.unwrap_or(Aperture::LEAST);
        RendezvousSubset::of(&name, usize::try_from(size).unwrap_or(usize::MAX)).into()
    }
}
