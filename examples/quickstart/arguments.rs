//! What can be asked for, and the client that does it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::{Parser, ValueEnum};
use http::uri::PathAndQuery;
use portolan::{
    Cluster, Policy,
    http::rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, pem::PemObject},
    },
    policy,
};

use crate::{Client, Result};

/// Sends a steady load to a Service through Portolan, and shows where it goes.
///
/// Without --service it makes a Kubernetes cluster of its own in this process, and restarts, kills and
/// scales the Pods there. It exits with an error where a request failed.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// A Service of a real cluster, `name[.namespace][:port]`, to send GET requests to. Nothing is changed
    /// there.
    #[arg(long)]
    pub(crate) service: Option<String>,
    /// The kubeconfig of the cluster in which the Service is. Default: as kubectl finds it.
    #[arg(long, requires = "service")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// What to GET of the Service.
    #[arg(long, requires = "service", value_parser = path, default_value = "/")]
    pub(crate) path: PathAndQuery,
    /// How endpoints are chosen.
    #[arg(long, value_enum, default_value_t)]
    policy: PolicyName,
    /// For how many seconds to send requests. Default: 12, with --service 30.
    #[arg(long, value_parser = seconds, value_name = "SECONDS")]
    pub(crate) duration: Option<Duration>,
    /// Requests a second.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    /// HTTP/2 only; without TLS, with prior knowledge (h2c). Default: HTTP/1.1, with --tls whichever the
    /// server agrees to.
    #[arg(long)]
    http2: bool,
    /// Speak TLS with servers whose certificate, for the Service's name, one of this PEM file has signed.
    #[arg(long, requires = "service", value_name = "CA_FILE")]
    tls: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum PolicyName {
    #[default]
    LeastRequest,
    PeakEwma,
    RoundRobin,
    WeightedRoundRobin,
    Random,
}

impl Arguments {
    /// The client under load. Its GET requests may be sent again, so a Pod that dies with some of them
    /// costs a retry instead of a failure.
    pub(crate) fn client(&self, cluster: &Cluster, service: &str) -> Result<Client> {
        let balancer = cluster.service(service)?.policy(self.policy.policy());
        let mut http = balancer.http().retry_idempotent();
        if self.http2 {
            http = http.http2();
        }
        if let Some(authorities) = &self.tls {
            http = http.tls(tls(authorities)?);
        }
        Ok(http.build()?)
    }
}

impl PolicyName {
    fn policy(self) -> Arc<dyn Policy> {
        match self {
            Self::LeastRequest => Arc::new(policy::LeastRequest::new()),
            Self::PeakEwma => Arc::new(policy::PeakEwma::new()),
            Self::RoundRobin => Arc::new(policy::RoundRobin::new()),
            Self::WeightedRoundRobin => Arc::new(policy::WeightedRoundRobin::new()),
            Self::Random => Arc::new(policy::Random::new()),
        }
    }
}

/// TLS with servers that one of the authorities in this file vouches for.
fn tls(authorities: &PathBuf) -> Result<ClientConfig> {
    let file = authorities.display();
    let unread = |error| format!("no certificates can be read from `{file}`: {error}");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authorities).map_err(unread)? {
        roots.add(certificate.map_err(unread)?)?;
    }
    if roots.is_empty() {
        return Err(format!("there is no certificate in `{file}`").into());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| format!("`{text}` is not a number"))?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration.is_zero() {
        return Err("it takes some time".into());
    }
    Ok(duration)
}

fn path(text: &str) -> Result<PathAndQuery, String> {
    if !text.starts_with('/') {
        return Err("a path begins with `/`".into());
    }
    text.parse()
        .map_err(|error| format!("`{text}` is no path: {error}"))
}
