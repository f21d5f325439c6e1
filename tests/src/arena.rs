//! Where a scenario takes place: a namespace of its own in a cluster, whichever it is.
//!
//! What differs between the clusters is behind a private trait (`backend`), and there is little of it: how the
//! API server is stopped, who may do what. Everything else goes through the Kubernetes API, by the
//! helpers of `portolan-test`, whose kubelet runs the Pods here and there.

mod backend;
mod embedded;
#[cfg(feature = "real")]
mod real;
mod tell;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use http::Request;
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use portolan::dns::Dns;
use portolan_kube::WatchOptions;
use portolan_test::{NewService, NewWorkload, PodHandle, ServiceHandle, Workloads};
use tower::util::MapRequestLayer;

use backend::Backend;
#[cfg(feature = "real")]
pub use tell::on_real;
pub use tell::{eventually, on_embedded};

use crate::{
    access::{Account, documents},
    failure::{Failure, Result},
    line::Line,
    questions::Questions,
};

/// A namespace of its own in a cluster, and a [`Line`] to the API server.
///
/// Balancers reach the API server through the line only; what sets the stage does not.
pub struct Arena {
    backend: Box<dyn Backend>,
    namespace: String,
    line: Line,
    config: Config,
    questions: Questions,
    notes: Mutex<Vec<String>>,
}

impl Arena {
    /// An embedded cluster, for this scenario alone.
    ///
    /// # Errors
    /// What the machine refuses.
    pub async fn embedded(scenario: &str) -> Result<Self> {
        Self::new(Box::new(embedded::Embedded::start().await?), scenario).await
    }

    /// A namespace of the real cluster, which all scenarios of a run share.
    ///
    /// # Errors
    /// What is missing, or did not start.
    #[cfg(feature = "real")]
    pub async fn real(scenario: &str) -> Result<Self> {
        Self::new(Box::new(real::Real::share().await?), scenario).await
    }

    async fn new(backend: Box<dyn Backend>, scenario: &str) -> Result<Self> {
        let kubeconfig = Kubeconfig::from_yaml(&backend.kubeconfig())?;
        let mut config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        // As Portolan has it for clients of its own: no failure is retried in secret.
        config.default_retry = false;
        let line = Line::to(address(&config)?).await?;
        let scheme = config.cluster_url.scheme_str().unwrap_or("http");
        config.cluster_url = format!("{scheme}://{}", line.address()).parse()?;
        let namespace = scenario.replace('_', "-");
        backend.workloads().namespace(&namespace).await?;
        Ok(Self {
            backend,
            namespace,
            line,
            config,
            questions: Questions::default(),
            notes: Mutex::default(),
        })
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The full name of something in this namespace: `db.shop:http` of `db:http`.
    #[must_use]
    pub fn full(&self, service: &str) -> String {
        let (name, port) = service.split_once(':').unwrap_or((service, ""));
        let colon = if port.is_empty() { "" } else { ":" };
        format!("{name}.{}{colon}{port}", self.namespace)
    }

    /// The way by which balancers reach the API server.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// A client that may do everything.
    #[must_use]
    pub fn client(&self) -> Client {
        self.backend.client()
    }

    /// Makes workloads and Services.
    #[must_use]
    pub fn workloads(&self) -> Workloads {
        self.backend.workloads()
    }

    /// A Service to be made here.
    pub fn service(&self, name: &str) -> NewService {
        self.workloads().service(&self.namespace, name)
    }

    /// Makes the Service that most stories are about: headless, with the port `http` of the Pods labelled so.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn headless(&self, name: &str) -> Result<ServiceHandle> {
        let service = self.service(name).headless().port("http", 8080);
        Ok(service.create().await?)
    }

    /// A StatefulSet to be made here, of Pods that answer HTTP on a port `http`, 8080.
    pub fn stateful_set(&self, name: &str, replicas: u32) -> NewWorkload {
        self.workloads()
            .stateful_set(&self.namespace, name, replicas)
            .port("http", 8080)
    }

    /// A Deployment to be made here, of the same Pods.
    pub fn deployment(&self, name: &str, replicas: u32) -> NewWorkload {
        self.workloads()
            .deployment(&self.namespace, name, replicas)
            .port("http", 8080)
    }

    /// A Pod that runs here.
    ///
    /// # Errors
    /// If it does not.
    pub fn pod(&self, name: &str) -> Result<PodHandle> {
        self.backend.pod(&self.namespace, name)
    }

    /// All Pods that run here, by name.
    #[must_use]
    pub fn pods(&self) -> Vec<PodHandle> {
        let mut pods = self.backend.pods();
        pods.retain(|pod| pod.namespace() == self.namespace);
        pods
    }

    /// A client that may do everything, by the way that balancers go.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn client_by_line(&self) -> Result<Client> {
        Ok(ClientBuilder::try_from(self.config.clone())?.build())
    }

    /// `curl` with all rights, by the way that balancers go.
    ///
    /// # Errors
    /// If the cluster's kubeconfig has no certificates, as that of the embedded one.
    #[cfg(feature = "real")]
    pub fn curl(&self) -> Result<crate::curl::Curl> {
        let url = self.config.cluster_url.to_string();
        let url = url.trim_end_matches('/').to_owned();
        crate::curl::Curl::new(&self.backend.kubeconfig(), url)
    }

    /// Whether Pods have an IPv6 address besides the one of IPv4.
    #[must_use]
    pub fn is_dual_stack(&self) -> bool {
        self.backend.is_dual_stack()
    }

    /// Discovery with all rights, through the line.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn discovery(&self) -> Result<portolan::Cluster> {
        self.discovery_with(WatchOptions::default())
    }

    /// The same with another timing of watches.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn discovery_with(&self, options: WatchOptions) -> Result<portolan::Cluster> {
        Ok(self.kube(options)?.into())
    }

    /// Discovery with all rights, through the line, set up by `adapt`.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn discovery_of(
        &self,
        adapt: impl FnOnce(portolan_kube::Cluster) -> portolan_kube::Cluster,
    ) -> Result<portolan::Cluster> {
        Ok(adapt(self.kube(WatchOptions::default())?).into())
    }

    /// The source of that discovery, to be composed with others.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn kube(&self, options: WatchOptions) -> Result<portolan_kube::Cluster> {
        self.discover(self.config.clone(), None, options)
    }

    /// The same with the rights of a service account.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn discovery_as(
        &self,
        account: &Account,
        options: WatchOptions,
    ) -> Result<portolan::Cluster> {
        Ok(self.kube_as(account, options)?.into())
    }

    /// The source of that discovery, likewise.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn kube_as(
        &self,
        account: &Account,
        options: WatchOptions,
    ) -> Result<portolan_kube::Cluster> {
        let mut config = self.config.clone();
        config.auth_info = AuthInfo::default();
        self.discover(config, Some(account.clone()), options)
    }

    fn discover(
        &self,
        config: Config,
        account: Option<Account>,
        options: WatchOptions,
    ) -> Result<portolan_kube::Cluster> {
        let questions = self.questions.clone();
        let ask = MapRequestLayer::new(move |mut request: Request<Body>| {
            questions.note(&request);
            if let Some(account) = &account {
                account.sign(&mut request);
            }
            request
        });
        let client = ClientBuilder::try_from(config)?.with_layer(&ask).build();
        Ok(portolan_kube::Cluster::from(client).with_watch_options(options))
    }

    /// What discovery has asked the API server so far.
    #[must_use]
    pub fn questions(&self) -> &Questions {
        &self.questions
    }

    /// Notes something to be told at the end.
    pub fn note(&self, note: impl fmt::Display) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(note.to_string());
    }

    /// Ends the API server as a crash does. What it stored stays.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn stop_api(&self) -> Result {
        self.backend.stop_api().await
    }

    /// Starts the API server again at the same address, and waits until it is ready.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn start_api(&self) -> Result {
        self.backend.start_api().await
    }

    /// Freezes the API server as SIGSTOP does: connections stay open and say nothing.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn pause_api(&self) -> Result {
        self.backend.pause_api().await
    }

    /// Lets the API server go on after [`pause_api`](Self::pause_api).
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn resume_api(&self) -> Result {
        self.backend.resume_api().await
    }

    /// Makes the API server forget all events up to now, so that no watch can be resumed from
    /// before. On the real one this takes a restart.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn forget_history(&self) -> Result {
        self.backend.forget_history().await
    }

    /// The address of the cluster's DNS server.
    ///
    /// # Errors
    /// If there is none.
    pub async fn nameserver(&self) -> Result<SocketAddr> {
        self.backend.nameserver().await
    }

    /// Discovery by the cluster's DNS, which takes no rights and asks the API server nothing.
    ///
    /// # Errors
    /// If there is none.
    pub async fn dns(&self) -> Result<Dns> {
        let dns = Dns::with_nameservers([self.nameserver().await?])?;
        Ok(match self.backend.has_pods_on_loopback() {
            true => dns.allow_loopback(),
            false => dns,
        })
    }

    /// Ends the DNS server as a crash does. The embedded one only falls silent.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn stop_dns(&self) -> Result {
        self.backend.stop_dns().await
    }

    /// Starts the DNS server again at the same address, and waits until it is ready.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn start_dns(&self) -> Result {
        self.backend.nameserver().await?;
        self.backend.resume_dns().await
    }

    /// Freezes the DNS server as SIGSTOP does: nothing is answered.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn pause_dns(&self) -> Result {
        self.backend.pause_dns().await
    }

    /// Lets the DNS server go on after [`pause_dns`](Self::pause_dns).
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn resume_dns(&self) -> Result {
        self.backend.resume_dns().await
    }

    /// How many watches of `resource` in this namespace the API server holds open.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn open_watches(&self, resource: &str) -> Result<usize> {
        self.backend.open_watches(&self.namespace, resource).await
    }

    /// A new service account in this namespace, which may do nothing yet.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn account(&self, name: &str) -> Result<Account> {
        self.backend.new_account(&self.namespace, name).await
    }

    /// Makes the token of an account worthless. On the real API server, which believes a token that
    /// it has just seen for 10 s more, this returns when that is over.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn revoke(&self, account: &Account) -> Result {
        self.backend.revoke(account).await
    }

    /// Gives an account another token, after [`revoke`](Self::revoke).
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn renew(&self, account: &Account) -> Result {
        self.backend.renew(account).await
    }

    /// Applies a manifest of Roles and bindings, YAML as `kubectl apply -f` takes it.
    ///
    /// # Errors
    /// What the API server has against it.
    pub async fn grant(&self, manifest: &str) -> Result {
        self.backend.grant(&documents(manifest)?).await
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

fn address(config: &Config) -> Result<SocketAddr> {
    let authority = config.cluster_url.authority();
    let authority = authority.ok_or_else(|| Failure::new("the kubeconfig names no server"))?;
    Ok(authority.as_str().parse()?)
}
