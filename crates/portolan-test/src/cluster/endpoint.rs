//! Where the API is served by HTTP.

use std::net::SocketAddr;
use std::path::Path;

use crate::api::access::Token;

/// The cluster's API on a loopback port, until the cluster is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use kube::config::{KubeConfigOptions, Kubeconfig};
/// use portolan_test::TestCluster;
///
/// let cluster = TestCluster::start().await?;
/// let endpoint = cluster.serve().await?;
/// let kubeconfig = Kubeconfig::from_yaml(&endpoint.kubeconfig())?;
/// let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
/// kube::Client::try_from(config)?.apiserver_version().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ApiEndpoint {
    address: SocketAddr,
    admin: Token,
}

impl ApiEndpoint {
    pub(super) fn new(address: SocketAddr, admin: Token) -> Self {
        Self { address, admin }
    }

    /// The base URL: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The text of a kubeconfig file with all rights.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_for(&self.admin)
    }

    /// The text of a kubeconfig file with the rights of a token.
    #[must_use]
    pub fn kubeconfig_for(&self, token: &Token) -> String {
        self.kubeconfig_with(&format!("token: {}", token.as_str()))
    }

    /// The text of a kubeconfig file that names a file to read the token from, as Pods have it: the
    /// test can rotate the token by writing the file.
    #[must_use]
    pub fn kubeconfig_with_token_file(&self, file: &Path) -> String {
        self.kubeconfig_with(&format!("tokenFile: {:?}", file.display().to_string()))
    }

    fn kubeconfig_with(&self, credential: &str) -> String {
        format!(
            "apiVersion: v1
kind: Config
current-context: test
contexts:
- name: test
  context: {{cluster: test, user: test, namespace: default}}
clusters:
- name: test
  cluster: {{server: \"{}\"}}
users:
- name: test
  user:
    {credential}
",
            self.url()
        )
    }
}
