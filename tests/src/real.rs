//! A real control plane: etcd, kube-apiserver and kube-controller-manager as child processes, and
//! CoreDNS for the tests that ask for it.
//!
//! `cargo xtask real` builds them, makes a network namespace, and runs the tests that use
//! this module in it. There is no kubelet: whoever needs Pods plays that part.
//!
//! ```no_run
//! # async fn example() -> Result<(), portolan_scenarios::real::RealError> {
//! use portolan_scenarios::real::{RealCluster, RealOptions};
//!
//! let mut cluster = RealCluster::start(RealOptions::default()).await?;
//! println!("{}", cluster.client().apiserver_version().await?.git_version);
//! let app = cluster.service_account_token("shop", "app").await?;
//! let app = cluster.client_with_token(&app).await?;
//! cluster.stop_api().await?;
//! cluster.start_api().await?;
//! # Ok(()) }
//! ```

mod access;
mod coredns;
mod error;
mod launch;
mod pki;
mod program;
pub(crate) mod programs;

use std::{fmt, fs, net::SocketAddr, path::PathBuf, thread, time::Duration};

use http::Request;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};
use tempfile::TempDir;

pub use self::error::RealError;
use self::{access::Access, coredns::CoreDns, launch::Launch, program::Program};

/// What may differ from one cluster to another.
#[derive(Debug, Clone)]
pub struct RealOptions {
    /// How long each program may take to be ready: a minute unless told, ten times what the
    /// slowest takes on two busy cores.
    pub start_timeout: Duration,
    /// More flags for kube-apiserver, which win over those that are always given.
    pub api_flags: Vec<String>,
    /// More flags for kube-controller-manager, likewise.
    pub controller_flags: Vec<String>,
}

impl Default for RealOptions {
    fn default() -> Self {
        Self {
            start_timeout: Duration::from_secs(60),
            api_flags: Vec::new(),
            controller_flags: Vec::new(),
        }
    }
}

/// A running control plane, ended when dropped.
///
/// RBAC is on. The controllers for slices, Services, workloads, namespaces and service
/// accounts run; leases, quotas and garbage of Pods have none. CoreDNS runs once it is
/// [asked for](RealCluster::start_dns).
pub struct RealCluster {
    // Fields are dropped in this order: whoever writes ends before whoever it writes to, and
    // all of them before the folder goes.
    dns: CoreDns,
    controllers: Program,
    api: Program,
    etcd: Program,
    access: Access,
    admin: Client,
    start_timeout: Duration,
    logs: PathBuf,
    started: bool,
    _state: TempDir,
}

impl RealCluster {
    /// Starts the programs and waits until they are of use: the API server is ready, and the
    /// controllers have made the first service account.
    ///
    /// # Errors
    ///
    /// [`RealError::NotSetUp`] outside `cargo xtask real`; otherwise what a program said
    /// last, when it ended or was not ready in time. Nothing is left running then.
    pub async fn start(options: RealOptions) -> Result<Self, RealError> {
        let launch = Launch::prepare(&options)?;
        let mut cluster = Self {
            admin: launch.access.admin_client().await?,
            access: launch.access,
            dns: launch.dns,
            controllers: launch.controllers,
            api: launch.api,
            etcd: launch.etcd,
            start_timeout: options.start_timeout,
            logs: launch.logs,
            started: false,
            _state: launch.state,
        };
        cluster.start_etcd(launch.etcd_port).await?;
        cluster.start_api().await?;
        cluster.start_controllers().await?;
        cluster.started = true;
        Ok(cluster)
    }

    /// A client that may do everything.
    pub fn client(&self) -> Client {
        self.admin.clone()
    }

    /// A client for whoever this bearer token stands for, if anybody. It may do only what RBAC
    /// grants.
    ///
    /// # Errors
    ///
    /// When no client can be made; the API server is not asked.
    pub async fn client_with_token(&self, token: &str) -> Result<Client, RealError> {
        access::client(self.access.token_kubeconfig(token)).await
    }

    /// A kubeconfig file that may do everything.
    pub fn kubeconfig(&self) -> String {
        self.access.admin_kubeconfig().to_string()
    }

    /// A token for a service account, by the TokenRequest API, for an hour.
    ///
    /// It is refused (401) as soon as the service account is deleted.
    ///
    /// # Errors
    ///
    /// When there is no such service account, or the API server is away.
    pub async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<String, RealError> {
        access::service_account_token(&self.admin, namespace, name).await
    }

    /// Kills the API server as a crash would (SIGKILL); what it stored stays.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub async fn stop_api(&mut self) -> Result<(), RealError> {
        self.api.kill().await
    }

    /// Starts the API server at the same address again, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// What it said last, when it ended or was not ready in time.
    pub async fn start_api(&mut self) -> Result<(), RealError> {
        self.api.start()?;
        let client = &self.admin;
        let ready = async || {
            let request = Request::get("/readyz")
                .body(Vec::new())
                .map_err(|e| e.to_string())?;
            client
                .request_text(request)
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        };
        self.api.until_ready(self.start_timeout, ready).await
    }

    /// Stops the API server's clock (SIGSTOP): its connections stay open and say nothing.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn pause_api(&self) -> Result<(), RealError> {
        self.api.signal("STOP")
    }

    /// Lets the API server go on after [`pause_api`](Self::pause_api).
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn resume_api(&self) -> Result<(), RealError> {
        self.api.signal("CONT")
    }

    /// Starts CoreDNS, unless it runs, and waits until it knows the cluster. Returns where it
    /// listens, by UDP and by TCP.
    ///
    /// # Errors
    ///
    /// What it said last, when it ended or was not ready in time.
    pub async fn start_dns(&mut self) -> Result<SocketAddr, RealError> {
        self.dns
            .start(&self.admin, &self.access, self.start_timeout)
            .await
    }

    /// Kills CoreDNS as a crash would (SIGKILL).
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub async fn stop_dns(&mut self) -> Result<(), RealError> {
        self.dns.program.kill().await
    }

    /// Stops CoreDNS's clock (SIGSTOP): queries are not answered.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn pause_dns(&self) -> Result<(), RealError> {
        self.dns.program.signal("STOP")
    }

    /// Lets CoreDNS go on after [`pause_dns`](Self::pause_dns).
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn resume_dns(&self) -> Result<(), RealError> {
        self.dns.program.signal("CONT")
    }

    async fn start_etcd(&mut self, port: u16) -> Result<(), RealError> {
        self.etcd.start()?;
        let accepts = async || {
            let connection = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            connection.map(drop).map_err(|error| error.to_string())
        };
        self.etcd.until_ready(self.start_timeout, accepts).await
    }

    async fn start_controllers(&mut self) -> Result<(), RealError> {
        self.controllers.start()?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin.clone(), "default");
        let work = async || {
            accounts
                .get("default")
                .await
                .map(drop)
                .map_err(|e| e.to_string())
        };
        self.controllers.until_ready(self.start_timeout, work).await
    }
}

impl Drop for RealCluster {
    fn drop(&mut self) {
        if self.started && !thread::panicking() {
            // Tells `cargo xtask real` that nobody needs these logs.
            let _ = fs::write(self.logs.join("passed"), "");
        }
    }
}

impl fmt::Debug for RealCluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RealCluster")
            .field("logs", &self.logs)
            .finish_non_exhaustive()
    }
}
