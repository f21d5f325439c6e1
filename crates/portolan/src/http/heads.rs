//! What a client reads in the heads of requests and responses, over HTTP and gRPC alike.

use std::{fmt, sync::Arc};

use http::HeaderMap;

use super::{
    endpoint::{Request, Response},
    redirect::Redirection,
};
use crate::{
    Duplicate, Endpoint, Kept, Lease, Routing, Told,
    affinity::Affinity,
    orca::Reader,
    sticky::{InSession, ServedBy},
};

/// Where a client finds what decides who serves a request, and what answers say besides their answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heads {
    pub(crate) affinity: Affinity,
    pub(crate) redirection: Option<Redirection>,
    pub(crate) learn: Learn,
    pub(crate) is_sticky: bool,
    pub(crate) reports: Option<Reader>,
}

/// Who is shown the heads of responses, if anybody.
#[derive(Clone, Default)]
pub(crate) struct Learn(Option<Arc<Learner>>);

type Learner = dyn Fn(&Endpoint, &HeaderMap) + Send + Sync;

impl Heads {
    #[inline]
    pub(crate) fn routing<'r>(&self, request: &'r Request) -> Routing<'r> {
        let routing = self.affinity.of(request);
        if !self.is_sticky {
            return routing;
        }
        match request.extensions().get() {
            Some(InSession(session)) => routing.or(session.borrowed()),
            None => routing,
        }
    }

    /// Writes down who has answered, where sessions are kept.
    #[inline]
    pub(crate) fn sign<B>(&self, response: &mut http::Response<B>, lease: &Lease) {
        if self.is_sticky {
            let placement = lease.endpoint().placement().clone();
            response.extensions_mut().insert(ServedBy(placement));
        }
    }

    /// Takes up what the endpoint reports of its load, where that is wanted.
    #[inline]
    pub(crate) fn report(&self, headers: &HeaderMap, lease: &Lease) {
        if let Some(reader) = &self.reports
            && let Some(report) = reader.read(headers)
        {
            lease.report_load(&report);
        }
    }

    /// Something to make the request from once more, where redirects are followed.
    #[inline]
    pub(crate) fn keep(&self, request: &Request) -> Option<Kept<Request>> {
        let redirection = self.redirection.as_ref()?;
        Some(redirection.keep(request, &self.affinity))
    }

    pub(crate) fn told(&self, response: &Response) -> Option<Told> {
        self.redirection.as_ref()?.told(response)
    }

    #[inline]
    pub(crate) fn hear(&self, endpoint: &Endpoint, response: &Response) {
        if let Learn(Some(learn)) = &self.learn {
            learn(endpoint, response.headers());
        }
    }
}

/// A copy of a request's head.
pub(super) fn head_of(request: &Request) -> http::Request<()> {
    let mut head = http::Request::new(());
    head.method_mut().clone_from(request.method());
    head.uri_mut().clone_from(request.uri());
    *head.version_mut() = request.version();
    head.headers_mut().clone_from(request.headers());
    head.extensions_mut().clone_from(request.extensions());
    head
}

/// What a request is made from a second time, once its body has been sent.
pub(crate) fn duplicate(request: &Request) -> Duplicate<Request> {
    let (head, body) = (head_of(request), request.body().spare());
    Duplicate::new(move || {
        let body = body.besides()?;
        Some(head.map(|()| body))
    })
}

impl Learn {
    pub(crate) fn by(learner: impl Fn(&Endpoint, &HeaderMap) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(learner)))
    }
}

impl fmt::Debug for Learn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Learn" } else { "Nothing" })
    }
}
