//! The cluster: everything put together.

mod builder;
mod endpoint;
mod serve;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;
use tokio::task::JoinSet;

use crate::api::access::{Token, User};
use crate::api::{ApiServer, Origin};
use crate::error::Error;
use crate::faults::Faults;
use crate::kubelet::{Kubelet, PodAddress, PodNetwork};
use crate::pod::PodHandle;
use crate::programs::Images;
use crate::requests::Requests;
use crate::workloads::{NewService, NewWorkload, Workloads};

pub use self::builder::TestClusterBuilder;
pub use self::endpoint::ApiEndpoint;

/// A Kubernetes cluster in this process. Dropping it stops everything.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use portolan_test::TestCluster;
///
/// let cluster = TestCluster::start().await?;
/// cluster.service("shop", "db").headless().port("http", 8080).create().await?;
/// let db = cluster.stateful_set("shop", "db", 3).port("http", 8080).create().await?;
/// db.wait_ready(3).await?;
///
/// // Any Kubernetes client works on it …
/// let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::namespaced(cluster.client(), "shop");
/// assert_eq!(pods.list(&Default::default()).await?.items.len(), 3);
/// // … and Pods are real servers.
/// let address = cluster.pod("shop", "db-0")?.address();
/// tokio::net::TcpStream::connect(address).await?;
/// # Ok(()) }
/// ```
pub struct TestCluster {
    api: Arc<ApiServer>,
    admin: Token,
    images: Images,
    network: PodNetwork,
    /// Addresses that were given to the test.
    held: Mutex<Vec<PodAddress>>,
    kubelet: Option<Kubelet>,
    /// Controllers and HTTP servers.
    tasks: Mutex<JoinSet<()>>,
}

impl TestCluster {
    /// Starts a cluster with three nodes in three zones, and the image `echo`.
    ///
    /// # Errors
    /// Only from the machine's lack of something.
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// Describes a cluster that differs from the default.
    pub fn builder() -> TestClusterBuilder {
        TestClusterBuilder::default()
    }

    /// A client with all rights, which reaches the API without a socket: it works under paused
    /// time. Faults hit it.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_as(&self.admin)
    }

    /// A client with the rights of the token's user.
    #[must_use]
    pub fn client_as(&self, token: &Token) -> Client {
        in_process(Arc::clone(&self.api), Some(token.clone()), Origin::External)
    }

    /// A client without a token: `system:anonymous`.
    #[must_use]
    pub fn client_without_token(&self) -> Client {
        in_process(Arc::clone(&self.api), None, Origin::External)
    }

    /// Issues a token for `user`.
    pub fn sign_in(&self, user: User) -> Token {
        self.api.access.sign_in(Arc::new(user))
    }

    /// Makes a token worthless: from now on it gets `401 Unauthorized`. Open watches go on, as
    /// they do on a real server.
    pub fn expire(&self, token: &Token) {
        self.api.access.expire(token);
    }

    /// Issues another token for the user of `token`, which stays valid until it is expired. A
    /// token of another cluster gets one of a user without rights.
    pub fn rotate(&self, token: &Token) -> Token {
        let user = self.api.access.user(token);
        let user = user.unwrap_or_else(|| Arc::new(User::new("system:unknown")));
        self.api.access.sign_in(user)
    }

    /// The token of [`client`](Self::client) and of the kubeconfig.
    #[must_use]
    pub fn admin_token(&self) -> &Token {
        &self.admin
    }

    /// Serves the API over HTTP/1.1 and h2c on a loopback port, for any client.
    ///
    /// # Errors
    /// [`Error::Listen`] if there is no port.
    pub async fn serve(&self) -> Result<ApiEndpoint, Error> {
        let (address, server) = serve::bind(Arc::clone(&self.api)).await?;
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(server);
        Ok(ApiEndpoint::new(address, self.admin.clone()))
    }

    /// Serves the cluster's names by DNS, below `cluster.local`, on a loopback port: see
    /// [`dns`](crate::dns).
    ///
    /// # Errors
    /// [`Error::Listen`] if there is no port.
    #[cfg(feature = "dns")]
    pub async fn serve_dns(&self) -> Result<crate::dns::DnsServer, Error> {
        crate::dns::DnsServer::of_cluster(Arc::clone(&self.api.store)).await
    }

    /// Faults of the API.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.api.faults
    }

    /// What clients asked of the API.
    #[must_use]
    pub fn requests(&self) -> &Requests {
        &self.api.requests
    }

    /// The registry of programs.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// A running Pod, for faults and figures.
    ///
    /// # Errors
    /// [`Error::NoSuchPod`] if its containers do not run (yet, or any more).
    pub fn pod(&self, namespace: &str, name: &str) -> Result<PodHandle, Error> {
        match &self.kubelet {
            Some(kubelet) => kubelet.pod(namespace, name),
            None => Err(Error::NoSuchPod {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                running: Vec::new(),
            }),
        }
    }

    /// All running Pods, by namespace and name.
    #[must_use]
    pub fn pods(&self) -> Vec<PodHandle> {
        self.kubelet.as_ref().map(Kubelet::pods).unwrap_or_default()
    }

    /// An address of this machine that nothing in this cluster has: for a load balancer, say.
    ///
    /// # Errors
    /// [`Error::NoAddress`] if the Pods have them all.
    pub fn spare_address(&self) -> Result<IpAddr, Error> {
        let (address, _) = self.network.allocate(&[], None)?;
        let ip = address.ip();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push(address);
        Ok(ip)
    }

    /// Makes workloads and Services as the cluster's own hand: faults, counters and RBAC do not
    /// apply.
    #[must_use]
    pub fn workloads(&self) -> Workloads {
        Workloads::new(internal_client(&self.api))
    }

    /// A StatefulSet to be made.
    pub fn stateful_set(&self, namespace: &str, name: &str, replicas: u32) -> NewWorkload {
        self.workloads().stateful_set(namespace, name, replicas)
    }

    /// A Deployment to be made.
    pub fn deployment(&self, namespace: &str, name: &str, replicas: u32) -> NewWorkload {
        self.workloads().deployment(namespace, name, replicas)
    }

    /// A Service to be made.
    pub fn service(&self, namespace: &str, name: &str) -> NewService {
        self.workloads().service(namespace, name)
    }

    /// Makes a namespace, unless it is there.
    ///
    /// # Errors
    /// If the name is none.
    pub async fn namespace(&self, name: &str) -> Result<(), Error> {
        self.workloads().namespace(name).await
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        // Clients that outlive the cluster are to see that it is gone.
        self.api.faults.api_down();
    }
}

impl fmt::Debug for TestCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCluster")
            .field("pods", &self.pods().len())
            .field("faults", &self.api.faults)
            .finish_non_exhaustive()
    }
}

/// The client of the cluster's own parts.
fn internal_client(api: &Arc<ApiServer>) -> Client {
    in_process(Arc::clone(api), None, Origin::Internal)
}

/// A client that calls the API without a socket.
fn in_process(api: Arc<ApiServer>, token: Option<Token>, origin: Origin) -> Client {
    let service = tower::service_fn(move |mut request: http::Request<kube::client::Body>| {
        let api = Arc::clone(&api);
        let bearer = token
            .as_ref()
            .map(|token| format!("Bearer {}", token.as_str()));
        async move {
            if let Some(bearer) = bearer {
                let bearer = http::HeaderValue::try_from(bearer)?;
                let headers = request.headers_mut();
                headers.insert(http::header::AUTHORIZATION, bearer);
            }
            Ok::<_, tower::BoxError>(api.handle(request, origin).await?)
        }
    });
    Client::new(service, "default")
}
