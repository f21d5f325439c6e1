//! A protocol whose endpoints refuse as they are told to.

use std::{
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use portolan::{Endpoint, Failure, Lease, Protocol, Sent};
use tower::Service;

/// A request that is told back whole, where it was not sent.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Option<u32>, pub(crate) Sent);

pub(crate) struct Scripted;

impl<S: Service<u32, Error = Refused>> Protocol<u32, S> for Scripted {
    type Response = S::Response;

    fn is_idempotent(&self, request: &u32) -> bool {
        *request >= 100
    }

    fn respond(&self, response: S::Response, mut lease: Lease) -> S::Response {
        lease.succeed();
        response
    }

    fn fail(&self, Refused(request, sent): Refused) -> Failure<u32> {
        Failure::new("refused")
            .with_sent(sent)
            .with_request(request)
    }
}

/// Endpoints of which only db-2 takes requests.
pub(crate) fn only_db_2(
    sent: Sent,
    calls: Arc<Mutex<Vec<String>>>,
) -> impl Fn(&Endpoint) -> RefusingEndpoint + Send + Sync + 'static {
    move |endpoint| RefusingEndpoint {
        name: endpoint.placement().to_string(),
        sent,
        calls: Arc::clone(&calls),
    }
}

#[derive(Clone)]
pub(crate) struct RefusingEndpoint {
    name: String,
    sent: Sent,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Service<u32> for RefusingEndpoint {
    type Response = u32;
    type Error = Refused;
    type Future = Ready<Result<u32, Refused>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        self.calls.lock().unwrap().push(self.name.clone());
        ready(match self.name.as_str() {
            "db-2" => Ok(request),
            _ => Err(Refused(Some(request), self.sent)),
        })
    }
}

// `Refused` stands for any error; the balancer asks for this much.
impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused")
    }
}
impl std::error::Error for Refused {}
