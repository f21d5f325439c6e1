//! Whether a Service wants each client to stay with one endpoint.

use std::time::Duration;

/// A Service's `spec.sessionAffinity`: whether it wants all requests of one client to go to one endpoint.
///
/// kube-proxy goes by it. Here a policy does that is told to:
/// [`ClientAffinity`](crate::policy::ClientAffinity).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionAffinity {
    /// It does not (`None`).
    #[default]
    None,
    /// It does, for clients by their IP (`ClientIP`).
    ClientIp {
        /// After how long without a request a client may go elsewhere (`sessionAffinityConfig.clientIP.timeoutSeconds`).
        timeout: Duration,
    },
}

impl SessionAffinity {
    /// The timeout of a Service that wants affinity and does not say for how long: three hours, as Kubernetes has it.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3 * 60 * 60);
}
