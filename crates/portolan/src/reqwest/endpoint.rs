//! The service of one endpoint: a reqwest client that finds this endpoint under every name.

use std::{
    error::Error as StdError,
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use reqwest::{
    Body, Client, ClientBuilder, Request, Response, ResponseBuilderExt, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HOST, HeaderValue},
};
use tower_service::Service;

use super::request::{Call, Own};
use crate::{
    BoxError, Endpoint, Failure, MakeEndpoint, Reachability, Sent,
    http::{is_by_caller, is_unprocessed, never_left, refusal, replay::Replay},
};

/// Makes [`ReqwestEndpoint`]s.
#[derive(Clone)]
pub(crate) struct MakeReqwest {
    pub(super) client: Arc<dyn Fn() -> ClientBuilder + Send + Sync>,
    /// The name in whose place that of an endpoint is put, where it has one.
    pub(super) renamed: Option<Arc<str>>,
}

/// Sends requests to one endpoint. Clones share its connections.
#[derive(Clone, Debug)]
pub(crate) struct ReqwestEndpoint {
    client: Result<Client, Arc<reqwest::Error>>,
    rename: Option<Rename>,
    reachability: Reachability,
}

/// A host in a URL, and what it becomes.
#[derive(Clone, Debug)]
struct Rename {
    from: Arc<str>,
    to: Arc<str>,
}

impl MakeReqwest {
    /// A client that dials these addresses, whatever the URL.
    fn client(&self, addresses: Arc<[SocketAddr]>) -> reqwest::Result<Client> {
        (self.client)()
            // It must not try again at the same endpoint what is to be tried at another. (Below it,
            // hyper-util goes on to another connection where one that was idle closed before the request
            // left. That cannot be switched off, and does no harm: the endpoint has not seen it.)
            .retry(reqwest::retry::never())
            .dns_resolver(Here(addresses))
            .build()
    }

    /// Finds out what is wrong with the client, if anything is, before there is an endpoint.
    pub(super) fn check(&self) -> reqwest::Result<Client> {
        self.client(Arc::from([]))
    }
}

impl MakeEndpoint for MakeReqwest {
    type Service = ReqwestEndpoint;

    /// That an endpoint is out of reach is for the balancer to report, which then dials until it is
    /// not; a request that is answered meanwhile, since all are out of reach, is as good.
    fn make(&self, endpoint: &Endpoint, reachability: Reachability) -> ReqwestEndpoint {
        let addresses = std::iter::once(endpoint.address()).chain(endpoint.alternate());
        ReqwestEndpoint {
            client: self.client(addresses.collect()).map_err(Arc::new),
            rename: self
                .renamed
                .clone()
                .zip(endpoint.host())
                .map(|(from, to)| Rename {
                    from,
                    to: to.into(),
                }),
            reachability,
        }
    }
}

/// The endpoint's addresses, under every name.
struct Here(Arc<[SocketAddr]>);

impl Resolve for Here {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Vec<SocketAddr> = self.0.to_vec();
        let addresses: Addrs = Box::new(addresses.into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

impl Service<Call> for ReqwestEndpoint {
    type Response = Response;
    type Error = NotSent;
    type Future = Pin<Box<dyn Future<Output = Result<Response, NotSent>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotSent>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let Call { request, own } = call;
        let answer = send(self.client.clone(), self.rename.clone(), request);
        let reachability = self.reachability.clone();
        Box::pin(async move {
            match answer.await {
                Ok((mut response, again)) => {
                    reachability.reached();
                    keep(&mut response, again, own);
                    Ok(response)
                }
                Err(failure) => Err(NotSent { failure, own }),
            }
        })
    }
}

async fn send(
    client: Result<Client, Arc<reqwest::Error>>,
    rename: Option<Rename>,
    mut request: Request,
) -> Result<(Response, Again), Box<Failure<Request>>> {
    let client = match client {
        Ok(client) => client,
        Err(error) => return Err(not_sent(Sent::Unreachable, Some(request), error)),
    };
    let again = Again::of(&mut request);
    let url = request.url().clone();
    if let Some(Rename { from, to }) = rename
        && url.domain() == Some(&*from)
    {
        // It fails for what is no host, and then the Service's name stays.
        let _ = request.url_mut().set_host(Some(&to));
    }
    if let Err(error) = leave_port_to_endpoint(&mut request) {
        return Err(by_caller(Sent::No, error));
    }
    let sent_to = request.url().clone();
    match client.execute(request).await {
        Ok(response) => {
            let response = match sent_to != url && *response.url() == sent_to {
                true => rebuild(response, url, |body| body),
                false => response,
            };
            Ok((response, again))
        }
        // No endpoint can do anything about that.
        Err(error) if error.is_builder() || is_by_caller(&error) => {
            Err(by_caller(Sent::Maybe, Described(error)))
        }
        Err(error) => {
            let sent = if error.is_connect() {
                Sent::Unreachable
            } else if is_unprocessed(&error) || never_left(&error) {
                Sent::No
            } else {
                Sent::Maybe
            };
            Err(not_sent(sent, again.request(), Described(error)))
        }
    }
}

/// Takes the port out of the URL, where reqwest would dial it, and leaves it in the Host header.
fn leave_port_to_endpoint(request: &mut Request) -> Result<(), AddressInUrl> {
    let Some(host) = request.url().domain() else {
        return Err(AddressInUrl(request.url().to_string()));
    };
    if let Some(port) = request.url().port() {
        let host = HeaderValue::from_str(&format!("{host}:{port}")).ok();
        if let Some(host) = host.filter(|_| !request.headers().contains_key(HOST)) {
            request.headers_mut().insert(HOST, host);
        }
        // It fails for URLs without a host, and this one has one.
        let _ = request.url_mut().set_port(None);
    }
    Ok(())
}

/// The same response with this URL, and with its body wrapped.
pub(super) fn rebuild(response: Response, url: Url, wrap: impl FnOnce(Body) -> Body) -> Response {
    let (mut head, body) = http::Response::<Body>::from(response).into_parts();
    // A URL that is a URL already makes no error.
    if let Ok(with_url) = http::Response::builder().url(url).body(()) {
        head.extensions.extend(with_url.into_parts().0.extensions);
    }
    Response::from(http::Response::from_parts(head, wrap(body)))
}

/// What to send the request again from.
pub(super) enum Again {
    Whole(Request),
    /// The body is a stream, which is recorded.
    Streamed(Request, crate::http::replay::Spare),
    Not,
}

impl Again {
    fn of(request: &mut Request) -> Self {
        if let Some(whole) = request.try_clone() {
            return Self::Whole(whole);
        }
        let Some(stream) = request.body_mut().take() else {
            return Self::Not;
        };
        let body = Replay::new(stream, crate::http::replay::DEFAULT_LIMIT);
        let spare = body.spare();
        let head = request.try_clone();
        *request.body_mut() = Some(Body::wrap(body));
        head.map_or(Self::Not, |head| Self::Streamed(head, spare))
    }

    fn request(self) -> Option<Request> {
        match self {
            Self::Whole(request) => Some(request),
            Self::Streamed(mut request, spare) => {
                *request.body_mut() = Some(Body::wrap(spare.rewind()?));
                Some(request)
            }
            Self::Not => None,
        }
    }
}

/// What a request that was answered is made from once more.
pub(super) type SentFrom = refusal::SentFrom<(Again, Own)>;

/// Keeps it with an answer that may be a refusal.
fn keep(response: &mut Response, again: Again, own: Own) {
    let status = response.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        SentFrom::keep(response.extensions_mut(), (again, own));
    }
}

/// The request of such an answer, once.
pub(super) fn again(response: &mut Response) -> Option<Call> {
    let (again, own) = SentFrom::take(response.extensions_mut())?;
    let request = again.request()?;
    Some(Call { request, own })
}

fn not_sent(
    sent: Sent,
    request: Option<Request>,
    cause: impl Into<BoxError>,
) -> Box<Failure<Request>> {
    let failure = Failure::new(cause).with_sent(sent);
    Box::new(failure.with_request(request))
}

fn by_caller(sent: Sent, cause: impl Into<BoxError>) -> Box<Failure<Request>> {
    Box::new(Failure::new(cause).with_sent(sent).by_caller())
}

/// A request that was not answered.
pub(crate) struct NotSent {
    failure: Box<Failure<Request>>,
    own: Own,
}

impl NotSent {
    pub(super) fn into_failure(self) -> Failure<Call> {
        let Failure {
            sent,
            request,
            culprit,
            cause,
        } = *self.failure;
        let own = self.own;
        Failure {
            sent,
            request: request.map(|request| Call { request, own }),
            culprit,
            cause,
        }
    }
}

impl fmt::Debug for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.cause.fmt(f)
    }
}

impl StdError for NotSent {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.failure.cause.source()
    }
}

/// A URL that names an address is not balanced: reqwest would dial the address.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} names an address: name the Service, by any of its names, for the request to be balanced"
)]
struct AddressInUrl(String);

/// Reqwest's errors tell what happened, and leave why to their sources.
#[derive(Debug)]
struct Described(reqwest::Error);

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl StdError for Described {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

impl fmt::Debug for MakeReqwest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MakeReqwest").finish_non_exhaustive()
    }
}
