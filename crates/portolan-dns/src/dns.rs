//! The source that everything else is behind.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::{Stream, StreamExt, stream};
use hickory_resolver::proto::rr::Name;
use portolan_core::{
    Endpoint, HostResolver, Placement, Resolution, ServiceRef, Source, SourceError,
};

use crate::{
    DnsOptions, Error, IpFamilies,
    follow::{Follow, follow},
    names::{self, invalid},
    refusal,
    resolve::{Question, Reading, Resolver},
    schedule::Schedule,
    suspicion::{Suspicion, Suspicions},
    system::{self, Place},
    upstream::Upstreams,
};

/// Where Kubernetes keeps Services, unless the cluster was set up otherwise.
const DOMAIN: &str = "cluster.local";

/// The Services of a cluster, by its DNS: a [`Source`] that needs no permission.
///
/// ```no_run
/// use portolan_core::{ServiceRef, Source};
/// use portolan_dns::Dns;
///
/// # fn doc() -> Result<(), Box<dyn std::error::Error>> {
/// let dns = Dns::from_system()?;
/// let service: ServiceRef = "orders.shop:http".parse()?;
/// let resolutions = dns.watch(&service);
/// # Ok(())
/// # }
/// ```
///
/// Cloning is cheap. Each stream asks for itself, while it is polled: there is no task behind it, and
/// when it is dropped nothing more is asked. It needs a Tokio runtime with I/O and time.
///
/// # What its streams say
/// - `Present`, with all endpoints, and again when they are other ones. What did not change is the
///   same `Arc` as before.
/// - `Absent`, where the name does not exist (NXDOMAIN).
/// - `Failed`, where a server fails, refuses, is silent, or sends what makes no sense, and where only a
///   part could be found out. The last good endpoints stay in use, and DNS is asked again with a
///   [backoff](DnsOptions::backoff).
#[derive(Clone)]
pub struct Dns {
    upstreams: Arc<Upstreams>,
    nameservers: Arc<[SocketAddr]>,
    suspicions: Arc<Suspicions>,
    rejected: Arc<AtomicU64>,
    options: DnsOptions,
    domain: Name,
    namespace: Option<Arc<str>>,
    families: IpFamilies,
    allow_loopback: bool,
}

impl Dns {
    /// The DNS that this system is configured for: in a Pod, the cluster's.
    ///
    /// Of `resolv.conf` it takes the servers, and of `search` the namespace and domain of this Pod
    /// (`shop.svc.cluster.local`); a service account's namespace goes before that. As it asks for
    /// complete names only, the rest of `search` and `ndots` have no say.
    ///
    /// Nothing is asked yet. It reads two small files.
    ///
    /// # Errors
    /// Where the configuration cannot be read, or names no server.
    pub fn from_system() -> Result<Self, Error> {
        let system = system::read()?;
        let mut dns = Self::with_nameservers(system.nameservers)?;
        if let Some(Place { namespace, domain }) = system.place {
            dns.namespace.get_or_insert(namespace);
            dns.domain = domain;
        }
        Ok(dns)
    }

    /// The DNS of these servers. All must know the same: where one fails the next is asked, and the
    /// one that answered last is asked first.
    ///
    /// # Errors
    /// Where there is none.
    ///
    /// ```
    /// use portolan_dns::Dns;
    /// let dns = Dns::with_nameservers(["10.96.0.10:53".parse()?])?.with_namespace("shop");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_nameservers(
        nameservers: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Self, Error> {
        let nameservers: Arc<[SocketAddr]> = nameservers.into_iter().collect();
        let options = DnsOptions::default();
        Ok(Self {
            upstreams: Arc::new(Upstreams::new(&nameservers, options.query_timeout)?),
            nameservers,
            suspicions: Arc::default(),
            rejected: Arc::default(),
            options,
            domain: names::domain(DOMAIN)?,
            namespace: system::namespace(),
            families: IpFamilies::default(),
            allow_loopback: false,
        })
    }

    /// The same DNS, where Services that are named without a namespace are in this one. Default: the
    /// Pod's own, by its service account or its `search`; elsewhere a namespace must be written.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The namespace of Services that are named without one, where it is known.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The same DNS, where Services that are named without a domain are in this one. Default: that of
    /// the Pod's `search`, else `cluster.local`, which is Kubernetes' own default.
    ///
    /// # Errors
    /// Where it is no DNS domain.
    pub fn with_cluster_domain(mut self, domain: &str) -> Result<Self, Error> {
        self.domain = names::domain(domain)?;
        Ok(self)
    }

    /// The same DNS with another choice among addresses. Default: [`IpFamilies::PreferV4`].
    #[must_use]
    pub fn with_ip_families(mut self, families: IpFamilies) -> Self {
        self.families = families;
        self
    }

    /// The same DNS with another timing.
    ///
    /// # Errors
    /// None that [`with_nameservers`](Self::with_nameservers) would not have had.
    pub fn with_options(mut self, options: DnsOptions) -> Result<Self, Error> {
        self.upstreams = Arc::new(Upstreams::new(&self.nameservers, options.query_timeout)?);
        self.options = options;
        Ok(self)
    }

    /// The same DNS, which takes loopback addresses for endpoints. Default: it leaves them out, since
    /// a name that leads to 127.0.0.1 would turn requests on this machine. For tests, whose endpoints
    /// are there.
    #[must_use]
    pub fn allow_loopback(mut self) -> Self {
        self.allow_loopback = true;
        self
    }

    /// How many addresses and ports were left out, since nobody can connect to them: loopback (unless
    /// [allowed](Self::allow_loopback)), unspecified, multicast, broadcast, link-local IPv6, IPv4 in
    /// IPv6, of the wrong family, port 0. Counted, and logged, when they are other ones than in the
    /// answer before; shared by all clones.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    fn service_name(&self, service: &ServiceRef) -> Result<Name, SourceError> {
        names::service(service, self.namespace.as_deref(), &self.domain)
    }

    fn ask_again_and_again(
        &self,
        question: Question,
        suspicion: Option<Suspicion>,
    ) -> Pin<Box<dyn Stream<Item = Resolution> + Send>> {
        Box::pin(follow(Follow {
            resolver: Resolver {
                asker: Arc::clone(&self.upstreams),
                reading: Reading {
                    families: self.families,
                    allow_loopback: self.allow_loopback,
                    max_records: self.options.max_records,
                },
            },
            question,
            options: self.options.clone(),
            schedule: Schedule::new(self.options.clone(), fastrand::Rng::new()),
            suspicion,
            rejected_total: Arc::clone(&self.rejected),
        }))
    }

    fn literal(&self, ip: IpAddr, port: NonZeroU16) -> Resolution {
        match refusal::check(ip, self.allow_loopback) {
            Ok(()) => {
                let address = SocketAddr::new(ip, port.get());
                let endpoint = Endpoint::new(Placement::new(ip.to_string()), address);
                Resolution::Present([endpoint].into_iter().collect())
            }
            Err(why) => Resolution::Failed(invalid(format!(
                "the address {ip} cannot be connected to ({why})"
            ))),
        }
    }
}

/// Says one thing, for ever.
fn always(resolution: Resolution) -> Pin<Box<dyn Stream<Item = Resolution> + Send>> {
    Box::pin(stream::iter([resolution]).chain(stream::pending()))
}

impl Source for Dns {
    fn watch(&self, service: &ServiceRef) -> Pin<Box<dyn Stream<Item = Resolution> + Send>> {
        let name = match self.service_name(service) {
            Ok(name) => name,
            Err(error) => return always(Resolution::Failed(error)),
        };
        let suspicion = self.suspicions.subscribe(&name);
        let service = service.clone();
        self.ask_again_and_again(Question::Service { service, name }, Some(suspicion))
    }

    fn suspect(&self, service: &ServiceRef) {
        if let Ok(name) = self.service_name(service) {
            self.suspicions.suspect(&name);
        }
    }
}

impl HostResolver for Dns {
    fn follow(
        &self,
        host: &str,
        port: NonZeroU16,
    ) -> Pin<Box<dyn Stream<Item = Resolution> + Send>> {
        if let Ok(ip) = host.parse() {
            return always(self.literal(ip, port));
        }
        match names::host(host) {
            Ok(name) => {
                let suspicion = self.suspicions.subscribe(&name);
                self.ask_again_and_again(Question::Host { name, port }, Some(suspicion))
            }
            Err(error) => always(Resolution::Failed(error)),
        }
    }

    fn suspect_host(&self, host: &str) {
        if let Ok(name) = names::host(host) {
            self.suspicions.suspect(&name);
        }
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns")
            .field("nameservers", &self.nameservers)
            .field("domain", &self.domain.to_ascii())
            .field("namespace", &self.namespace)
            .field("families", &self.families)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
