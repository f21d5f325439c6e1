//! A DNS server for tests: one that answers as a cluster's does, or as the test tells it to.
//!
//! [`TestCluster::serve_dns`](crate::TestCluster::serve_dns) serves the names of a cluster from its
//! live state, as CoreDNS does with its kubernetes plugin; [`DnsServer::start`] serves nothing but
//! what a test puts into its [`Zone`]. Both speak UDP and TCP on a loopback port of their own,
//! truncate what is too long, count what they are asked, and go wrong on demand.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use portolan_test::dns::{DnsServer, Fault};
//! use std::time::Duration;
//!
//! let dns = DnsServer::start().await?;
//! dns.zone().add_address("db.example.com", "203.0.113.7".parse()?)?;
//! dns.set_ttl(Duration::from_secs(60));
//! // … point a resolver at `dns.address()`, and then:
//! dns.faults().set(Fault::ServFail);
//! assert_eq!(dns.queries().total(), 0);
//! # Ok(()) }
//! ```
//!
//! # As CoreDNS does it
//! - Only endpoints that are ready are there; with `publishNotReadyAddresses` the controllers call
//!   them all ready.
//! - A headless Service without such endpoints does not exist (NXDOMAIN), and neither do its ports.
//! - SRV records lead to `hostname.service.namespace.svc.domain.`, with the address in place of the
//!   hostname where the Pod has none (`10-244-0-7`), or to the Service's own name for a virtual IP.
//!   The addresses come along ([`set_glue`](DnsServer::set_glue)).
//! - An ExternalName is an alias (CNAME), which is followed within the cluster. It has no SRV records.
//! - The order of answers changes from one to the next.

mod answer;
mod cluster;
mod faults;
mod queries;
mod serve;
mod wire;
mod zone;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;

use crate::{error::Error, store::Store};

use self::{answer::Answers, cluster::ClusterZone};

pub use self::{
    faults::{Fault, Faults},
    queries::Queries,
    zone::Zone,
};

/// How long records live unless the test says otherwise: CoreDNS's default.
const TTL: u32 = 5;

/// A DNS server on a loopback port, over UDP and TCP. Dropping it stops it.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    answers: Arc<Answers>,
    _tasks: JoinSet<()>,
}

impl DnsServer {
    /// Starts a server that knows what is put into its [`zone`](Self::zone), and that nothing else
    /// exists.
    ///
    /// # Errors
    /// [`Error::Listen`] if there is no port.
    pub async fn start() -> Result<Self, Error> {
        Self::serve(None).await
    }

    /// Starts a server of a cluster's names, below `cluster.local`.
    pub(crate) async fn of_cluster(store: Arc<Store>) -> Result<Self, Error> {
        Self::serve(Some(ClusterZone::new(store)?)).await
    }

    async fn serve(cluster: Option<ClusterZone>) -> Result<Self, Error> {
        let answers = Arc::new(Answers {
            zone: Zone::default(),
            cluster,
            faults: Faults::default(),
            queries: Queries::default(),
            ttl: AtomicU32::new(TTL),
            glue: AtomicBool::new(true),
            turn: AtomicU32::new(0),
        });
        let (address, tasks) = serve::start(&answers).await?;
        Ok(Self {
            address,
            answers,
            _tasks: tasks,
        })
    }

    /// Where it listens, by UDP and by TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The records of the test's own. They go before those of the cluster.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.answers.zone
    }

    /// What is to go wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.answers.faults
    }

    /// What it was asked.
    #[must_use]
    pub fn queries(&self) -> &Queries {
        &self.answers.queries
    }

    /// How long answers hold, those that there is nothing included, in whole seconds. Default: 5 s, as
    /// with CoreDNS.
    pub fn set_ttl(&self, ttl: Duration) {
        let seconds = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX);
        self.answers.ttl.store(seconds, Ordering::Relaxed);
    }

    /// Whether the addresses of SRV targets come along in the additional section. Default: they do.
    pub fn set_glue(&self, on: bool) {
        self.answers.glue.store(on, Ordering::Relaxed);
    }
}
