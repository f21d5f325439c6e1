//! The cluster: the source that everything else starts from.

mod access;
mod cache;
mod infer;
mod locate;
mod options;

use std::{fmt, path::Path, pin::Pin, sync::Arc};

use futures::{Stream, stream};
use portolan_core::{
    HostResolver, ParseServiceRefError, Resolution, ServiceRef, Source, SourceError,
    SourceErrorKind, policy::Leadership,
};

pub(crate) use access::Access;
pub use options::{IpFamilies, NodeAddresses, Vantage, WatchOptions};

use tokio::{runtime::Handle, sync::Semaphore};

use crate::{
    Error, Observations, StatefulSetSize,
    config_map::WireConfigMap,
    object::Object,
    resolve::Want,
    stateful_set::WireStatefulSet,
    watch::{
        Counters, Key, LeaseWatch, NodeRegistry, Registry, Streaming, WatchStats, observe,
        subscribe, watch_lease, with_labels,
    },
};

/// A Kubernetes cluster, as a [`Source`] of endpoints.
///
/// ```no_run
/// use portolan_core::{ServiceRef, Source};
/// use portolan_kube::Cluster;
///
/// # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::infer().await?; // in a Pod, else by the kubeconfig
/// let service: ServiceRef = "orders.shop:http".parse()?;
/// let resolutions = cluster.watch(&service);
/// # Ok(())
/// # }
/// ```
///
/// Cloning is cheap, and clones share their watches: there is one watch per Service, however many
/// balancers follow it. It starts when the first stream is polled and ends when the last one is
/// dropped. The watch runs as a task on the Tokio runtime of whoever polled first.
///
/// The same is shared by all clusters that [`infer`](Self::infer) and
/// [`from_kubeconfig`](Self::from_kubeconfig) make of the same configuration (its files, their text
/// and the context, or the Pod's service account) on the same Tokio runtime, so that one process has
/// one watch per Service even where its parts know nothing of each other. Not shared are clusters
/// made of a [`kube::Client`], which may be anybody's, and those
/// [`with_watch_options`](Self::with_watch_options): clone those.
///
/// # What it asks of the API server
/// A list and a watch of the Service and of its EndpointSlices, filtered by the server; `list` and `watch` on both are the permissions needed (see [`ROLE`]).
/// Where Services may not be read, the slices are followed alone: the port must then be named, and
/// a Service that does not exist looks like one without endpoints.
///
/// Where a Service is reached by the ports of Nodes, and only then, the Nodes of the cluster are watched,
/// once for all Services ([`NODE_ROLE`]).
///
/// # How Services are reached
/// By the [`Reach`](portolan_core::Reach) of the [`ServiceRef`], or, where it has none, as their type and
/// this cluster's [`Vantage`] have it. A Service that changes its type, its ports or its selector is followed.
///
/// [`ROLE`]: crate::ROLE
/// [`NODE_ROLE`]: crate::NODE_ROLE
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
    namespace: Arc<str>,
    families: IpFamilies,
    vantage: Vantage,
    node_addresses: NodeAddresses,
    /// In order, each once.
    pod_labels: Arc<[Arc<str>]>,
}

/// What the clones of a cluster share.
pub(crate) struct Shared {
    pub(crate) access: Access,
    pub(crate) options: WatchOptions,
    pub(crate) registry: Arc<Registry>,
    pub(crate) nodes: Arc<NodeRegistry>,
    /// Who knows the addresses of DNS names.
    pub(crate) hosts: Option<Arc<dyn HostResolver>>,
    /// Turns to list.
    pub(crate) lists: Arc<Semaphore>,
    /// Whether the API server is believed to have streaming lists.
    pub(crate) streaming: Arc<Streaming>,
    pub(crate) counters: Arc<Counters>,
}

impl Cluster {
    /// The cluster that this program runs in, by its Pod's service account; outside of a Pod, the one
    /// of the kubeconfig (`$KUBECONFIG`, else `~/.kube/config`) and its current context.
    ///
    /// A service account's token is read again as it rotates, and all credentials are once the API
    /// server refuses them: whatever took their place is in use some 10 s later, at most 40 s.
    /// Nothing is asked of the cluster yet.
    ///
    /// By a service account this program stands [inside](Vantage::Inside) the cluster. By a kubeconfig it
    /// stands [outside](Vantage::Outside), unless it is a Pod all the same (`KUBERNETES_SERVICE_HOST` is set).
    ///
    /// # Errors
    /// Where there is neither, or where what there is cannot be used; each error says what to do.
    pub async fn infer() -> Result<Self, Error> {
        infer::infer().await.and_then(Self::found)
    }

    /// The cluster of a kubeconfig file, by the context of this name or else its current one. As with
    /// [`infer`](Self::infer), this program is taken to stand outside of it unless it is a Pod.
    ///
    /// # Errors
    /// Where the file is missing or malformed, has no such context, or names credentials that cannot
    /// be loaded.
    pub async fn from_kubeconfig(
        path: impl AsRef<Path>,
        context: Option<&str>,
    ) -> Result<Self, Error> {
        infer::from_kubeconfig(path.as_ref(), context)
            .await
            .and_then(Self::found)
    }

    fn found(found: infer::Found) -> Result<Self, Error> {
        let namespace = found.config.default_namespace.trim_end().into();
        Ok(Self {
            namespace,
            shared: cache::shared(found)?,
            families: IpFamilies::default(),
            vantage: infer::vantage(),
            node_addresses: NodeAddresses::default(),
            pod_labels: Arc::default(),
        })
    }

    /// The same cluster, where Services that are named without a namespace are in this one. Default:
    /// the Pod's own, or the one of the kubeconfig's context.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The same cluster with another choice among a Pod's addresses. Default:
    /// [`IpFamilies::AsService`].
    #[must_use]
    pub fn with_ip_families(mut self, families: IpFamilies) -> Self {
        self.families = families;
        self
    }

    /// The same cluster, where this program is known to stand inside or outside. Default: as it was
    /// [inferred](Self::infer); inside, where the cluster comes from a [`kube::Client`].
    #[must_use]
    pub fn with_vantage(mut self, vantage: Vantage) -> Self {
        self.vantage = vantage;
        self
    }

    /// The same cluster with another choice among the addresses of Nodes. Default:
    /// [`NodeAddresses::Internal`].
    #[must_use]
    pub fn with_node_addresses(mut self, addresses: NodeAddresses) -> Self {
        self.node_addresses = addresses;
        self
    }

    /// The same cluster, where endpoints have these labels of their Pods. Default: none, since slices do not tell
    /// them, and Pods are large and change often.
    ///
    /// For each label the Pods of the Service's namespace that have it are listed and watched, which needs
    /// [`POD_ROLE`](crate::POD_ROLE) besides; nothing of them is kept but the labels asked for. A label is that of
    /// the same Pod, by its UID, and not of one that had its name before. Where the watch fails, the last labels
    /// stay, and the endpoints are said to be stale.
    ///
    /// ```
    /// use portolan_core::policy::preset;
    ///
    /// # fn doc(cluster: portolan_kube::Cluster) {
    /// let cluster = cluster.with_pod_labels(preset::CLOUD_NATIVE_PG.names());
    /// # }
    /// ```
    #[must_use]
    pub fn with_pod_labels<L: Into<Arc<str>>>(
        mut self,
        labels: impl IntoIterator<Item = L>,
    ) -> Self {
        let labels: std::collections::BTreeSet<_> = labels.into_iter().map(Into::into).collect();
        self.pod_labels = labels.into_iter().collect();
        self
    }

    /// Watches a Lease of this cluster's [namespace](Self::namespace), and tells the leadership who holds it, until
    /// the watch is dropped. Needs [`LEASE_ROLE`](crate::LEASE_ROLE).
    ///
    /// - The holder is the Pod that `spec.holderIdentity` names, up to the first `_`: client-go appends a random
    ///   suffix to the name of the host.
    /// - The epoch is `spec.leaseTransitions`. A Lease that is deleted and made anew counts on from there.
    /// - A Lease that did not change for `spec.leaseDurationSeconds`, by this machine's own monotonic clock since it
    ///   was seen to change, has no holder: clocks of different machines are not compared. So it is while the API
    ///   server cannot be reached, where the holder cannot renew it either. Neither has one that is deleted or
    ///   let go of.
    ///
    /// # Errors
    /// Where this is not called within a Tokio runtime.
    ///
    /// ```no_run
    /// # async fn doc(cluster: portolan_kube::Cluster) -> Result<(), portolan_kube::Error> {
    /// use portolan_core::policy::{Leadership, PrimaryReplica};
    ///
    /// let leadership = Leadership::new();
    /// let watch = cluster.with_namespace("shop").watch_lease("db", &leadership)?;
    /// let policy = PrimaryReplica::by_leadership(&leadership);
    /// # Ok(()) }
    /// ```
    pub fn watch_lease(&self, name: &str, leadership: &Leadership) -> Result<LeaseWatch, Error> {
        let runtime = Handle::try_current().map_err(|cause| Error::Client {
            cause: cause.into(),
        })?;
        let (shared, namespace) = (Arc::clone(&self.shared), self.namespace.to_string());
        Ok(watch_lease(
            &runtime,
            shared,
            namespace,
            name.to_owned(),
            leadership.clone(),
        ))
    }

    /// The text under a key of a ConfigMap of this cluster's [namespace](Self::namespace), whole, whenever it changes;
    /// [`Absent`](crate::Observed::Absent) where there is no such ConfigMap, or no such key in it. Needs
    /// [`CONFIG_MAP_ROLE`](crate::CONFIG_MAP_ROLE).
    ///
    /// # Errors
    /// None of its own: whatever goes wrong is [said](crate::Observed::Failed) by the stream, and so is a name that is
    /// none, or a value that is no text (`binaryData`).
    ///
    /// ```no_run
    /// # async fn doc(cluster: portolan_kube::Cluster) {
    /// use futures::StreamExt as _;
    /// use portolan_kube::Observed;
    ///
    /// let mut texts = cluster.with_namespace("shop").config_map("shards", "map.json");
    /// while let Some(observed) = texts.next().await {
    ///     match observed {
    ///         Observed::Present(text) => println!("{text}"),
    ///         Observed::Absent => println!("there is none (yet)"),
    ///         Observed::Failed(error) => println!("the last one stays: {error}"),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    pub fn config_map(&self, name: &str, key: impl Into<Arc<str>>) -> Observations<Arc<str>> {
        let key = key.into();
        self.observe(name, move |object: WireConfigMap| object.text(&key))
    }

    /// How many Pods a StatefulSet of this cluster's [namespace](Self::namespace) is to have, whenever that changes;
    /// [`Absent`](crate::Observed::Absent) where there is no such StatefulSet. Needs
    /// [`STATEFUL_SET_ROLE`](crate::STATEFUL_SET_ROLE).
    ///
    /// It tells what is wanted (`spec.replicas`), and not how many Pods are there: a Pod that is absent is not
    /// removed. [`count_shards`](Observations::count_shards) makes it the number of shards.
    ///
    /// # Errors
    /// None of its own: whatever goes wrong is [said](crate::Observed::Failed) by the stream.
    pub fn stateful_set_size(&self, name: &str) -> Observations<StatefulSetSize> {
        self.observe(name, |object: WireStatefulSet| Ok(Some(object.into())))
    }

    fn observe<K: Object, T: Clone + PartialEq + Send + 'static>(
        &self,
        name: &str,
        read: impl Fn(K) -> Result<Option<T>, SourceError> + Send + 'static,
    ) -> Observations<T> {
        let (shared, namespace) = (Arc::clone(&self.shared), self.namespace.to_string());
        observe(shared, namespace, name.to_owned(), read)
    }

    /// The same cluster, which asks this resolver for the addresses of DNS names: those that Services of type
    /// ExternalName stand for, and those of load balancers that have a hostname and no address. It shares no
    /// watches with the former. Default: none, and such Services fail with an error that says so, because
    /// most programs have none and a DNS client is no small thing to link.
    #[must_use]
    pub fn with_host_resolver(mut self, hosts: impl HostResolver + 'static) -> Self {
        let Shared {
            access, options, ..
        } = &*self.shared;
        let mut shared = Shared::new(access.clone(), options.clone());
        shared.hosts = Some(Arc::new(hosts));
        self.shared = Arc::new(shared);
        self
    }

    /// The same cluster with another timing of watches. It shares none with the former, only with its
    /// own clones.
    #[must_use]
    pub fn with_watch_options(mut self, options: WatchOptions) -> Self {
        let mut shared = Shared::new(self.shared.access.clone(), options);
        shared.hosts.clone_from(&self.shared.hosts);
        self.shared = Arc::new(shared);
        self
    }

    /// Where this program stands.
    #[must_use]
    pub fn vantage(&self) -> Vantage {
        self.vantage
    }

    /// The namespace of Services that are named without one.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What the watches of this cluster did so far, for metrics: all that share their watches with it
    /// have the same numbers.
    ///
    /// ```
    /// # fn doc(cluster: &portolan_kube::Cluster) {
    /// let stats = cluster.watch_stats();
    /// println!("{} endpoints and ports make no sense", stats.rejected);
    /// # }
    /// ```
    #[must_use]
    pub fn watch_stats(&self) -> WatchStats {
        self.shared.counters.snapshot(self.shared.registry.len())
    }

    fn key(&self, service: &ServiceRef) -> Result<Key, ParseServiceRefError> {
        let service = service.clone().or_namespace(&self.namespace)?;
        Ok(Key {
            namespace: service.namespace().unwrap_or(&self.namespace).into(),
            name: service.name().into(),
        })
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    fn new(access: Access, options: WatchOptions) -> Self {
        Self {
            access,
            lists: Arc::new(Semaphore::new(options.concurrent_lists.get())),
            options,
            registry: Arc::default(),
            nodes: Arc::default(),
            hosts: None,
            streaming: Arc::default(),
            counters: Arc::default(),
        }
    }
}

impl From<kube::Client> for Cluster {
    /// The cluster that this client talks to. [`kube`] is re-exported by this crate. Its clones share
    /// their watches, two that are made of the same client do not.
    ///
    /// The client had better not retry by itself (`Config::default_retry`), or failures are seen
    /// later than they could be.
    fn from(client: kube::Client) -> Self {
        Self {
            namespace: client.default_namespace().into(),
            shared: Arc::new(Shared::new(client.into(), WatchOptions::default())),
            families: IpFamilies::default(),
            vantage: Vantage::default(),
            node_addresses: NodeAddresses::default(),
            pod_labels: Arc::default(),
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the client: it holds credentials.
        f.debug_struct("Cluster")
            .field("namespace", &self.namespace)
            .field("families", &self.families)
            .field("vantage", &self.vantage)
            .field("node_addresses", &self.node_addresses)
            .field("pod_labels", &self.pod_labels)
            .field("hosts", &self.shared.hosts)
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl Source for Cluster {
    fn watch(&self, service: &ServiceRef) -> Pin<Box<dyn Stream<Item = Resolution> + Send>> {
        let key = match self.key(service) {
            Ok(key) => key,
            Err(wrong) => {
                let error =
                    SourceError::new(SourceErrorKind::Invalid, wrong.to_string()).with_cause(wrong);
                let failed = stream::iter([Resolution::Failed(error)]);
                return Box::pin(futures::StreamExt::chain(failed, stream::pending()));
            }
        };
        let want = Want {
            port: service.port().cloned(),
            reach: service.reach(),
            vantage: self.vantage,
            families: self.families,
            node_addresses: self.node_addresses,
        };
        let namespace = key.namespace.to_string();
        let resolutions = subscribe(Arc::clone(&self.shared), key, want);
        match &*self.pod_labels {
            [] => Box::pin(resolutions),
            labels => with_labels(&self.shared, namespace, labels, Box::pin(resolutions)),
        }
    }

    /// The API tells of every change by itself, and has nothing to look up. DNS has, where the Service leads
    /// to names: the [resolver](Self::with_host_resolver) hears of it.
    fn suspect(&self, service: &ServiceRef) {
        if let Ok(key) = self.key(service) {
            self.shared.registry.suspect(&key);
        }
    }
}
