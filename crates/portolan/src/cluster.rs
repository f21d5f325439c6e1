//! Where Services are found.

use std::sync::Arc;

use futures::stream::BoxStream;
use portolan_core::{Location, ParseServiceRefError, Resolution, ServiceRef, Source};

use crate::{BalancerBuilder, BuildError};

/// Where Services are found: a Kubernetes cluster, or any other [`Source`].
///
/// Make one for the process and clone it where it is needed: over the Kubernetes API, all balancers
/// that follow the same Service share one watch.
#[derive(Clone, Debug)]
pub struct Cluster {
    source: Arc<dyn Source>,
    location: Location,
    /// The namespace of Services that are named without one, where the source has one.
    namespace: Option<Arc<str>>,
    #[cfg(feature = "kube")]
    kube: Option<portolan_kube::Cluster>,
}

impl Cluster {
    /// The cluster that this process runs in, by its Pod's service account; outside of a Pod, the
    /// one that the kubeconfig names (`$KUBECONFIG`, else `~/.kube/config`).
    ///
    /// What the environment says of [where it runs](portolan_kube::Cluster::location_by_environment) is taken
    /// for true. [`locate`](Self::locate) asks for the rest.
    ///
    /// # Errors
    /// Where neither is there, or what is there cannot be read. It connects to nothing yet.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let cluster = portolan::Cluster::infer().await?.locate().await;
    /// let nodes = cluster.service("db.shop:client")?.nodes()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "kube")]
    pub async fn infer() -> Result<Self, portolan_kube::Error> {
        let cluster = Self::from(portolan_kube::Cluster::infer().await?);
        Ok(cluster.with_location(portolan_kube::Cluster::location_by_environment()))
    }

    /// The same cluster, where it was found out on which Node and in which zone this client runs, as far as
    /// the environment or the API say: see [`portolan_kube::Cluster::locate`]. It takes 3 s at most. What is not
    /// found out stays as it was; a cluster that is not one of Kubernetes stays as it is.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    #[cfg(feature = "kube")]
    #[must_use]
    pub async fn locate(self) -> Self {
        let Some(kube) = &self.kube else {
            return self;
        };
        let found = kube.locate().await;
        let mut here = self.location.clone();
        if let Some(node) = found.node() {
            here = here.with_node(node);
        }
        if let Some(zone) = found.zone() {
            here = here.with_zone(zone);
        }
        self.with_location(here)
    }

    /// The Services that a source knows.
    #[must_use]
    pub fn from_source(source: impl Source + 'static) -> Self {
        Self {
            source: Arc::new(source),
            location: Location::UNKNOWN,
            namespace: None,
            #[cfg(feature = "kube")]
            kube: None,
        }
    }

    /// The same cluster, where this client is known to run on this Node, in this zone. Topology hints and
    /// `internalTrafficPolicy` of a Service are about that. Default: unknown, and so every endpoint is as
    /// near as any other.
    #[must_use]
    pub fn with_location(mut self, location: Location) -> Self {
        self.location = location;
        self
    }

    /// Where this client runs, as far as is known.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// A balancer for one Service, written `name[.namespace[.svc[.domain]]][:port]` (see
    /// [`ServiceRef`]).
    ///
    /// # Errors
    /// Where the name cannot be read; the error says what was expected.
    pub fn service<T>(&self, service: T) -> Result<BalancerBuilder, BuildError>
    where
        T: TryInto<ServiceRef>,
        ParseServiceRefError: From<T::Error>,
    {
        let service = service.try_into().map_err(ParseServiceRefError::from)?;
        let (source, location) = (Arc::clone(&self.source), self.location.clone());
        let builder = BalancerBuilder::new(source, service, location);
        Ok(builder.at_home_in(self.namespace.clone()))
    }
}

/// One cluster may be a part of [several](crate::source::union), or have [others](crate::source::first_of)
/// in its place.
impl Source for Cluster {
    fn watch(&self, service: &ServiceRef) -> BoxStream<'static, Resolution> {
        self.source.watch(service)
    }

    fn suspect(&self, service: &ServiceRef) {
        self.source.suspect(service);
    }
}

#[cfg(feature = "dns")]
impl From<portolan_dns::Dns> for Cluster {
    /// The cluster whose Services this DNS knows.
    ///
    /// ```
    /// use portolan::{Cluster, dns::Dns};
    ///
    /// // In a Pod this is `Dns::from_system()?`.
    /// let dns = Dns::with_nameservers(["10.96.0.10:53".parse()?])?;
    /// let cluster = Cluster::from(dns);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn from(dns: portolan_dns::Dns) -> Self {
        Self {
            namespace: dns.namespace().map(Arc::from),
            ..Self::from_source(dns)
        }
    }
}

#[cfg(feature = "kube")]
impl From<portolan_kube::Cluster> for Cluster {
    fn from(cluster: portolan_kube::Cluster) -> Self {
        let kube = Some(cluster.clone());
        Self {
            namespace: Some(cluster.namespace().into()),
            kube,
            ..Self::from_source(cluster)
        }
    }
}

#[cfg(feature = "kube")]
impl From<portolan_kube::kube::Client> for Cluster {
    /// The cluster that this client talks to, in the version of kube that is re-exported as
    /// [`kube::kube`](crate::kube::kube).
    fn from(client: portolan_kube::kube::Client) -> Self {
        Self::from(portolan_kube::Cluster::from(client))
    }
}
