//! How the balancer reads HTTP responses and errors.

use http::StatusCode;

use super::{
    body::ResponseBody,
    endpoint::{HttpEndpoint, Request, Response, SendError},
    heads::{Heads, duplicate},
    refusal,
};
use crate::{Duplicate, Endpoint, Failure, Kept, Lease, Protocol, Refusal, Routing, Told};

/// Plain HTTP: the status says how it went, and the lease ends with the body.
#[derive(Debug)]
pub(crate) struct Http {
    pub(super) heads: Heads,
}

impl Protocol<Request, HttpEndpoint> for Http {
    type Response = http::Response<ResponseBody>;

    fn is_idempotent(&self, request: &Request) -> bool {
        request.body().is_idempotent()
    }

    #[inline]
    fn routing<'r>(&'r self, request: &'r Request) -> Routing<'r> {
        self.heads.routing(request)
    }

    #[inline]
    fn keep(&self, request: &Request) -> Option<Kept<Request>> {
        self.heads.keep(request)
    }

    fn told(&self, response: &Response) -> Option<Told> {
        self.heads.told(response)
    }

    #[inline]
    fn hear(&self, endpoint: &Endpoint, response: &Response) {
        self.heads.hear(endpoint, response);
    }

    #[inline]
    fn refusal(&self, response: &Response) -> Option<Refusal> {
        refusal::refusal(response.status(), response.headers())
    }

    fn duplicate(&self, request: &Request) -> Option<Duplicate<Request>> {
        Some(duplicate(request))
    }

    fn again(&self, response: &mut Response) -> Option<Request> {
        refusal::again(response)
    }

    fn respond(&self, mut response: Response, mut lease: Lease) -> Self::Response {
        refusal::forget(&mut response);
        self.heads.sign(&mut response, &lease);
        self.heads.report(response.headers(), &lease);
        if is_failure(response.status()) {
            lease.fail_by_response();
        } else {
            lease.succeed();
        }
        response.map(|body| ResponseBody::new(body, lease))
    }

    fn fail(&self, error: SendError) -> Failure<Request> {
        error.into_failure()
    }
}

/// Whether a status counts against the endpoint: those of the server's errors that another endpoint
/// might not have made. A request that makes every endpoint answer 500 counts against all of them
/// alike and changes nothing between them; an endpoint that answers everything with 500, quickly,
/// would draw all traffic to itself if that counted as a success. (Envoy counts all of 5xx as well.)
pub(crate) fn is_failure(status: StatusCode) -> bool {
    status.is_server_error()
        && status != StatusCode::NOT_IMPLEMENTED
        && status != StatusCode::HTTP_VERSION_NOT_SUPPORTED
}
