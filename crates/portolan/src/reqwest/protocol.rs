//! How the balancer reads reqwest's responses and errors.

use std::{fmt, sync::Arc};

use reqwest::{Body, Request, Response};

use super::{
    endpoint::{NotSent, ReqwestEndpoint, SentFrom, again, rebuild},
    request::Call,
};
use crate::{
    Duplicate, Failure, Lease, Protocol, Refusal, Routing,
    affinity::{Affinity, Head},
    http::{Tracked, is_failure, refusal::refusal},
    orca::Reader,
    sticky::ServedBy,
};

/// What a caller says of its own requests.
type Rule = dyn Fn(&Request) -> bool + Send + Sync;

/// Plain HTTP: the status says how it went, and the lease ends with the body.
#[derive(Clone, Default)]
pub(crate) struct Reqwest {
    pub(super) by_method: bool,
    pub(super) by_rule: Option<Arc<Rule>>,
    pub(super) affinity: Affinity,
    pub(super) is_sticky: bool,
    pub(super) reports: Option<Reader>,
}

impl Protocol<Call, ReqwestEndpoint> for Reqwest {
    type Response = Response;

    fn is_idempotent(&self, call: &Call) -> bool {
        call.own.idempotent
            || self.by_method && call.request.method().is_idempotent()
            || self
                .by_rule
                .as_ref()
                .is_some_and(|rule| rule(&call.request))
    }

    fn routing<'r>(&'r self, call: &'r Call) -> Routing<'r> {
        let found = self.affinity.routing(&Head::of_reqwest(&call.request));
        call.own.routing.borrowed().or(found)
    }

    fn refusal(&self, response: &Response) -> Option<Refusal> {
        refusal(response.status(), response.headers())
    }

    /// A body that is a stream cannot be sent twice at once.
    fn duplicate(&self, call: &Call) -> Option<Duplicate<Call>> {
        let request = call.request.try_clone()?;
        let own = call.own.clone();
        Some(Duplicate::new(move || Some(Call { request, own })))
    }

    fn again(&self, response: &mut Response) -> Option<Call> {
        again(response)
    }

    fn respond(&self, mut response: Response, mut lease: Lease) -> Response {
        SentFrom::forget(response.extensions_mut());
        if is_failure(response.status()) {
            lease.fail_by_response();
        } else {
            lease.succeed();
        }
        if let Some(reader) = &self.reports
            && let Some(report) = reader.read(response.headers())
        {
            lease.report_load(&report);
        }
        if self.is_sticky {
            let placement = lease.endpoint().placement().clone();
            response.extensions_mut().insert(ServedBy(placement));
        }
        let url = response.url().clone();
        rebuild(response, url, |body| Body::wrap(Tracked::new(body, lease)))
    }

    fn fail(&self, error: NotSent) -> Failure<Call> {
        error.into_failure()
    }
}

impl fmt::Debug for Reqwest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reqwest")
            .field("by_method", &self.by_method)
            .field("by_rule", &self.by_rule.is_some())
            .field("affinity", &self.affinity)
            .field("is_sticky", &self.is_sticky)
            .finish()
    }
}
