//! Where Services are found.

use std::sync::Arc;

use portolan_core::{ParseServiceRefError, ServiceRef, Source};

use crate::{BalancerBuilder, BuildError};

/// Where Services are found: a Kubernetes cluster, or any other [`Source`].
///
/// Make one for the process and clone it where it is needed: over the Kubernetes API, all balancers
/// that follow the same Service share one watch.
#[derive(Clone, Debug)]
pub struct Cluster {
    source: Arc<dyn Source>,
}

impl Cluster {
    /// The cluster that this process runs in, by its Pod's service account; outside of a Pod, the
    /// one that the kubeconfig names (`$KUBECONFIG`, else `~/.kube/config`).
    ///
    /// # Errors
    /// Where neither is there, or what is there cannot be read. It connects to nothing yet.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let cluster = portolan::Cluster::infer().await?;
    /// let nodes = cluster.service("db.shop:client")?.nodes()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "kube")]
    pub async fn infer() -> Result<Self, portolan_kube::Error> {
        Ok(Self::from_source(portolan_kube::Cluster::infer().await?))
    }

    /// The Services that a source knows.
    #[must_use]
    pub fn from_source(source: impl Source + 'static) -> Self {
        Self {
            source: Arc::new(source),
        }
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
        Ok(BalancerBuilder::new(Arc::clone(&self.source), service))
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
        Self::from_source(dns)
    }
}

#[cfg(feature = "kube")]
impl From<portolan_kube::Cluster> for Cluster {
    fn from(cluster: portolan_kube::Cluster) -> Self {
        Self::from_source(cluster)
    }
}

#[cfg(feature = "kube")]
impl From<portolan_kube::kube::Client> for Cluster {
    /// The cluster that this client talks to, in the version of kube that is re-exported as
    /// [`kube::kube`](crate::kube::kube).
    fn from(client: portolan_kube::kube::Client) -> Self {
        Self::from_source(portolan_kube::Cluster::from(client))
    }
}
