//! Making a reqwest client.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::{Client, ClientBuilder, Request, Url, redirect};

use super::{ReqwestClient, endpoint::MakeReqwest, protocol::Reqwest};
use crate::{
    BalancerBuilder, Naming,
    affinity::Affinity,
    http::default_authority,
    orca::{LoadReports, Reader},
    sticky::Sticky,
};

/// A reqwest client in the making. It comes from [`BalancerBuilder::reqwest`].
///
/// ```
/// use portolan::{Cluster, source::Fixed};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = Cluster::from_source(Fixed::default());
/// let orders = cluster
///     .service("orders.shop:http")?
///     .reqwest()
///     .client(|client| client.user_agent("checkout/1.0").timeout(Duration::from_secs(5)))
///     .retry_idempotent()
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct ReqwestBuilder {
    balancer: BalancerBuilder,
    customise: Arc<dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync>,
    base: Option<Url>,
    naming: Naming,
    #[cfg(feature = "tls")]
    tls: Option<rustls::ClientConfig>,
    protocol: Reqwest,
    sticky: Option<Sticky>,
    load_reports: Option<LoadReports>,
}

/// Why a reqwest client could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The balancer cannot be made.
    #[error(transparent)]
    Balancer(#[from] crate::BuildError),
    /// Reqwest cannot make a client as it was [told](ReqwestBuilder::client) to.
    #[error("reqwest cannot make the client: {0}")]
    Client(#[from] reqwest::Error),
    /// The base of all paths is no URL that names a host.
    #[error(
        "{0:?} is no base for the paths of requests: expected a URL such as http://orders.shop/"
    )]
    Base(String),
}

impl BalancerBuilder {
    /// A reqwest client: see [`portolan::reqwest`](crate::reqwest).
    pub fn reqwest(self) -> ReqwestBuilder {
        ReqwestBuilder {
            balancer: self,
            customise: Arc::new(|client| client),
            base: None,
            naming: Naming::default(),
            #[cfg(feature = "tls")]
            tls: None,
            protocol: Reqwest::default(),
            sticky: None,
            load_reports: None,
        }
    }
}

impl ReqwestBuilder {
    /// Sets what each endpoint's client has. It is called once for each endpoint, with a builder on
    /// which are set: no proxy, for the endpoints are dialled themselves; no redirects; a connect
    /// timeout of 2 s. All of that can be changed; name resolution and retries can not.
    pub fn client(
        mut self,
        customise: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        self.customise = Arc::new(customise);
        self
    }

    /// Speaks TLS. The certificate is checked for the host in the URL, which is the Service's unless
    /// the request says otherwise, whichever endpoint is dialled.
    ///
    /// Both protocols are offered (ALPN). The crypto provider is the one of `config`; none is installed
    /// for the process, and without this the client trusts nobody.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, mut config: rustls::ClientConfig) -> Self {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        self.tls = Some(config);
        self
    }

    /// What of a request decides who serves it, for policies that go by that: its key, whether it writes, the
    /// Pod it is pinned to. See [`affinity`](mod@crate::affinity). Default: only what a request [says
    /// itself](super::RequestBuilder::routing).
    pub fn affinity(mut self, affinity: impl Into<Affinity>) -> Self {
        self.protocol.affinity = affinity.into();
        self
    }

    /// Sends those who were served by an endpoint there again, by a token in a cookie or a header: see
    /// [`sticky`](mod@crate::sticky). Default: each request goes by the policy.
    pub fn sticky(mut self, sticky: Sticky) -> Self {
        self.sticky = Some(sticky);
        self
    }

    /// Whose name requests bear, and whose certificate is expected, where an endpoint has a DNS name of its
    /// own and the request's URL names the Service. Default: [`Naming::Service`].
    pub fn naming(mut self, naming: Naming) -> Self {
        self.naming = naming;
        self
    }

    /// What the paths of requests are relative to. Default: `http://` (with TLS, `https://`), the
    /// Service's host, and its port where that was written as a number.
    pub fn base_url(mut self, base: Url) -> Self {
        self.base = Some(base);
        self
    }

    /// Takes requests with idempotent methods (RFC 9110, 9.2.2: GET, HEAD, OPTIONS, TRACE, PUT,
    /// DELETE) for safe to send twice. Where one fails without an answer, it is tried on another
    /// endpoint even if the first may have processed it. Default: none are.
    pub fn retry_idempotent(mut self) -> Self {
        self.protocol.by_method = true;
        self
    }

    /// Takes requests for which `rule` holds for safe to send twice, besides others that are.
    pub fn retry_if(mut self, rule: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.protocol.by_rule = Some(Arc::new(rule));
        self
    }

    /// Reads what endpoints report of their load, for policies that go by it: see [`orca`](crate::orca). Default: nothing
    /// is read.
    pub fn load_reports(mut self, reports: LoadReports) -> Self {
        self.load_reports = Some(reports);
        self
    }

    /// Makes the client, and starts to follow the Service.
    ///
    /// # Errors
    /// Where a setting makes no sense, reqwest cannot make the client, or there is no tokio runtime.
    pub fn build(self) -> Result<ReqwestClient, BuildError> {
        let base = self.base()?;
        self.protocol.affinity.check()?;
        let service = self.balancer.service_ref();
        if let Some(reports) = &self.load_reports {
            reports.check(false)?;
        }
        let reports = self.load_reports.as_ref();
        let reports = reports.map(|reports| Reader::new(reports, service));
        let balancer = &self.balancer;
        let sessions = self.sticky.map(|sticky| sticky.of(balancer)).transpose()?;
        let protocol = Reqwest {
            by_method: self.protocol.by_method || self.balancer.retries(),
            is_sticky: sessions.is_some(),
            reports,
            ..self.protocol
        };
        let customise = self.customise;
        #[cfg(feature = "tls")]
        let tls = self.tls.or_else(trusting_nobody);
        let make = MakeReqwest {
            client: Arc::new(move || {
                let client = Client::builder()
                    .no_proxy()
                    .redirect(redirect::Policy::none())
                    .connect_timeout(Duration::from_secs(2));
                #[cfg(feature = "tls")]
                let client = match &tls {
                    Some(tls) => client.tls_backend_preconfigured(tls.clone()),
                    None => client,
                };
                customise(client)
            }),
            renamed: base
                .domain()
                .filter(|_| self.naming == Naming::Target)
                .map(Arc::from),
        };
        Ok(ReqwestClient {
            maker: make.check()?,
            balance: self.balancer.build_with(make, protocol)?,
            base,
            sessions: sessions.map(Arc::new),
        })
    }

    fn base(&self) -> Result<Url, BuildError> {
        let base = match &self.base {
            Some(base) => base.clone(),
            None => {
                #[cfg(feature = "tls")]
                let is_tls = self.tls.is_some();
                #[cfg(not(feature = "tls"))]
                let is_tls = false;
                let (scheme, usual_port) = match is_tls {
                    true => ("https", 443),
                    false => ("http", 80),
                };
                let authority = default_authority(self.balancer.service_ref(), usual_port)?;
                let text = format!("{scheme}://{authority}/");
                Url::parse(&text).map_err(|_| BuildError::Base(text))?
            }
        };
        match base.domain() {
            Some(_) => Ok(base),
            None => Err(BuildError::Base(base.into())),
        }
    }
}

/// Left to itself, reqwest panics where no crypto provider is installed for the process.
#[cfg(feature = "tls")]
fn trusting_nobody() -> Option<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Some(config)
}

impl fmt::Debug for ReqwestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestBuilder")
            .field("balancer", &self.balancer)
            .field("base", &self.base)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
