//! What can go wrong while a test sets its stage.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// An error of the test cluster itself; what the cluster's API answers is the client's to see.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The API refused a request made for the test.
    #[error("cannot {action}: {source}")]
    Api {
        /// What was tried: `create StatefulSet shop/db`.
        action: String,
        /// The API's answer.
        source: Box<kube::Error>,
    },
    /// A watch made for the test failed for good.
    #[error("cannot follow {what}: {source}")]
    Watch {
        /// What was followed.
        what: String,
        /// What the watcher said.
        source: Box<kube::runtime::watcher::Error>,
    },
    /// A listener could not be opened.
    #[error("cannot listen on {address}: {source}; is the address taken, or the port privileged?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No free address was found for a Pod.
    #[error("no free address in {network} for ports {ports:?}; last error: {source}")]
    NoAddress {
        /// The Pod network.
        network: String,
        /// The ports that the Pod listens on.
        ports: Vec<u16>,
        /// What the system said about the last address that was tried.
        source: io::Error,
    },
    /// The Pod has no running containers here.
    #[error("Pod {namespace}/{name} does not run in this cluster; it runs: {running:?}")]
    NoSuchPod {
        /// The namespace.
        namespace: String,
        /// The Pod's name.
        name: String,
        /// The Pods that do run, as `namespace/name`.
        running: Vec<String>,
    },
    /// Something awaited did not happen in time.
    #[error("{what} was not reached in {limit:?}; last seen: {seen}")]
    Timeout {
        /// What was awaited.
        what: String,
        /// How long.
        limit: Duration,
        /// How far it got.
        seen: String,
    },
    /// The text of RBAC rules makes no sense.
    #[error("these are no RBAC rules (want a list of {{apiGroups, resources, verbs}}): {0}")]
    BadRules(#[source] serde_json::Error),
    /// A text that is no DNS name.
    #[cfg(feature = "dns")]
    #[error("`{name}` is no DNS name: {problem}")]
    BadName {
        /// The text.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A Pod network that is not a usable range.
    #[error(
        "{0:?} is no range for Pods: IPv4 such as 10.244.0.0/16 with a prefix of 8 to 30 bits, or, \
         for their second addresses, IPv6 such as fd00:10:244::/64 with one of at most 96"
    )]
    BadNetwork(String),
}

impl Error {
    pub(crate) fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api {
            action,
            source: Box::new(source),
        }
    }
}
