//! Checks by HTTP.

use std::{future::poll_fn, ops::RangeInclusive, pin::Pin, sync::Arc, time::Duration};

use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::USER_AGENT, uri::PathAndQuery};
use http_body::Body;
use portolan_core::ServiceRef;

use super::{answer::Answer, asker::Poll};
use crate::{
    BuildError, Endpoint, Failure, MakeEndpoint, Reachability,
    http::{
        ConnectError,
        endpoint::{HttpEndpoint, MakeHttp, Request, Response},
        whole,
    },
};

/// A GET, and what is a good answer to it. For [`HealthCheck::http`](super::HealthCheck::http).
///
/// Its Host header (or `:authority`) is that of the balancer's requests, unless [one is set](Self::header).
///
/// ```
/// use portolan::health_check::{HealthCheck, HttpCheck};
///
/// // The port for probes, where a server has one besides that for requests.
/// let check = HealthCheck::http(HttpCheck::get("/ready").port(9090).statuses(200..=200));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct HttpCheck {
    path: String,
    statuses: RangeInclusive<u16>,
    port: Option<u16>,
    headers: HeaderMap,
}

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("portolan-health-check/", env!("CARGO_PKG_VERSION")));

/// How much of an answer is read, so that its connection can be used again. One that is longer is broken off.
const LONGEST_ANSWER: usize = 64 * 1024;

impl HttpCheck {
    /// Asks for this path, which may have a query.
    pub fn get(path: impl Into<String>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, AGENT);
        Self {
            path: path.into(),
            statuses: 200..=399,
            port: None,
            headers,
        }
    }

    /// With which statuses an endpoint is well. Default: 200 to 399, as the kubelet has it.
    pub fn statuses(mut self, statuses: RangeInclusive<u16>) -> Self {
        self.statuses = statuses;
        self
    }

    /// Asks at this port of the endpoint's address, in clear text and on a connection that is closed after the
    /// answer. Default: where requests go.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sends this header, in place of what it would be else.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        let refuse = |setting, value: &dyn std::fmt::Debug, expected| {
            Err(BuildError::Setting {
                setting,
                value: format!("{value:?}"),
                expected,
            })
        };
        if !self.path.starts_with('/') || PathAndQuery::try_from(self.path.as_str()).is_err() {
            return refuse(
                "health_check.path",
                &self.path,
                "expected a path that begins with /, such as /healthz",
            );
        }
        if self.statuses.is_empty() || *self.statuses.start() < 100 || *self.statuses.end() > 599 {
            return refuse(
                "health_check.statuses",
                &self.statuses,
                "expected some of 100..=599",
            );
        }
        if self.port == Some(0) {
            return refuse("health_check.port", &0, "expected a port to connect to");
        }
        Ok(())
    }

    /// Whether it is not where requests go.
    pub(super) fn goes_elsewhere(&self) -> bool {
        self.port.is_some()
    }

    /// Asks over the endpoint's own connections. Half of the time is for one of them to come free: one that does not is
    /// told from an answer that does not come.
    pub(super) fn over(self: &Arc<Self>, service: &HttpEndpoint, timeout: Duration) -> Poll {
        let (check, service) = (Arc::clone(self), service.clone());
        Box::new(move || Arc::clone(&check).ask(service.clone(), timeout / 2).boxed())
    }

    /// Asks on a connection made for it.
    pub(super) fn apart(
        self: &Arc<Self>,
        make: &MakeHttp,
        endpoint: &Arc<Endpoint>,
        timeout: Duration,
    ) -> Poll {
        let (check, make) = (Arc::clone(self), make.clone());
        let endpoint = match self.port {
            Some(port) => Arc::new(at_port(endpoint, port)),
            None => Arc::clone(endpoint),
        };
        Box::new(move || {
            let service = make.make(&endpoint, Reachability::unwatched());
            Arc::clone(&check).ask(service, timeout).boxed()
        })
    }

    async fn ask(self: Arc<Self>, service: HttpEndpoint, connected_within: Duration) -> Answer {
        let mut request = Request::new(whole::empty());
        // It was checked that it is one.
        *request.uri_mut() = self.path.parse().unwrap_or_default();
        *request.headers_mut() = self.headers.clone();
        match service.send_within(request, connected_within).await {
            Ok(response) => {
                let status = response.status();
                read_to_end(response).await;
                self.judge(status)
            }
            Err(error) => of_failure(error.into_failure()),
        }
    }

    fn judge(&self, status: StatusCode) -> Answer {
        match self.statuses.contains(&status.as_u16()) {
            true => Answer::Well,
            false => Answer::Ill(format!("GET {} was answered with {status}", self.path)),
        }
    }
}

impl<P: Into<String>> From<P> for HttpCheck {
    fn from(path: P) -> Self {
        Self::get(path)
    }
}

/// What makes connections where the balancer's are not ours: in clear text, in the Service's name.
pub(super) fn make_for(service: &ServiceRef) -> MakeHttp {
    MakeHttp::plain(service)
}

/// What a request that was not answered says of the endpoint.
pub(super) fn of_failure(failure: Failure<Request>) -> Answer {
    match failure.cause.downcast_ref() {
        Some(ConnectError::Busy { .. } | ConnectError::Gone) => Answer::NotAsked,
        _ => Answer::Ill(failure.cause.to_string()),
    }
}

fn at_port(endpoint: &Endpoint, port: u16) -> Endpoint {
    let mut address = endpoint.address();
    address.set_port(port);
    let moved = endpoint.clone().with_address(address);
    match endpoint.alternate() {
        Some(mut alternate) => {
            alternate.set_port(port);
            moved.with_alternate(alternate)
        }
        None => moved,
    }
}

async fn read_to_end(response: Response) {
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        length += frame.data_ref().map_or(0, bytes::Bytes::len);
        if length > LONGEST_ANSWER {
            return;
        }
    }
}
