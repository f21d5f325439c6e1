//! Answers over HTTP that say where a request belongs.

use std::{fmt, net::SocketAddr, sync::Arc};

use http::{HeaderMap, StatusCode, Uri, header::LOCATION};
use portolan_core::policy::Redirect;

use super::{
    endpoint::{Request, Response},
    heads::head_of,
};
use crate::{Follow, Kept, Told, affinity::Affinity};

/// Which answers send a request elsewhere, and how far that is followed.
#[derive(Clone)]
pub(crate) struct Redirection {
    pub(crate) follow: Follow,
    pub(crate) classify: Arc<Classify>,
}

pub(crate) type Classify = dyn Fn(StatusCode, &HeaderMap) -> Option<Told> + Send + Sync;

impl Redirection {
    /// The request, to be made once more.
    pub(crate) fn keep(&self, request: &Request, affinity: &Affinity) -> Kept<Request> {
        let routing = affinity.of(request);
        let key = routing.key_bytes();
        let head = head_of(request);
        let body = request.body().spare();
        Kept::new(key, self.follow.clone(), move || {
            let body = body.rewind()?;
            Some(head.map(|()| body))
        })
    }

    pub(crate) fn told(&self, response: &Response) -> Option<Told> {
        (self.classify)(response.status(), response.headers())
    }
}

/// What a 307 or 308 says in its `Location`: the request belongs to the host there, which is a Pod by its name or
/// its address. For [`HttpBuilder::follow`](super::HttpBuilder::follow).
///
/// Only a 308 is remembered ([`Routes`](crate::policy::Routes)): a 307 is for this once.
///
/// The request is sent there as it was the first time, whatever path the `Location` has: these statuses are for
/// servers that mean another *server*. A `Location` without a host is no redirect to anybody.
///
/// ```
/// use http::{HeaderMap, StatusCode, header::LOCATION};
/// use portolan::{Told, http::by_location, policy::Redirect};
///
/// let mut headers = HeaderMap::new();
/// headers.insert(LOCATION, "http://db-2.db:8080/orders/17".parse()?);
/// let told = by_location(StatusCode::PERMANENT_REDIRECT, &headers);
/// assert_eq!(told, Some(Told::Elsewhere(Redirect::to_pod("db-2.db"))));
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[must_use]
pub fn by_location(status: StatusCode, headers: &HeaderMap) -> Option<Told> {
    let is_meant = [
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !is_meant.contains(&status) {
        return None;
    }
    let location: Uri = headers.get(LOCATION)?.to_str().ok()?.parse().ok()?;
    let authority = location.authority()?;
    let usual_port = match location.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let port = authority.port_u16().unwrap_or(usual_port);
    let host = authority.host();
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let redirect = match bare.unwrap_or(host).parse() {
        Ok(address) => Redirect::to_address(SocketAddr::new(address, port)),
        Err(_) => Redirect::to_pod(host),
    };
    Some(Told::Elsewhere(match status {
        StatusCode::PERMANENT_REDIRECT => redirect,
        _ => redirect.for_now(),
    }))
}

impl fmt::Debug for Redirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.follow.fmt(f)
    }
}
