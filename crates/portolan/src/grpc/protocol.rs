//! How the balancer reads gRPC responses and errors.

use super::{ResponseBody, refusal::refused, status::Code};
use crate::{
    Duplicate, Endpoint, Failure, Kept, Lease, Protocol, Refusal, Routing, Told,
    http::{
        Heads, duplicate,
        endpoint::{HttpEndpoint, Request, Response, SendError},
        refusal,
    },
};

/// HTTP/2 with a status at the end.
#[derive(Debug)]
pub(crate) struct Grpc {
    pub(super) heads: Heads,
}

impl Protocol<Request, HttpEndpoint> for Grpc {
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
        refused(response)
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
        // A call that fails at once has its status in the headers. What is no gRPC at all, such as a
        // proxy's own answer, has none.
        let code = Code::of(response.headers());
        if response.status().is_server_error() || code.is_some_and(Code::is_failure) {
            lease.fail_by_response();
        } else {
            lease.succeed();
        }
        // Trailers come with the body.
        let reports = self.heads.reports.as_ref().filter(|_| code.is_none());
        let reports = reports.cloned();
        response.map(|body| ResponseBody::new(body, lease, code.is_some()).reading(reports))
    }

    fn fail(&self, error: SendError) -> Failure<Request> {
        error.into_failure()
    }
}
