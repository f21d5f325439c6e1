//! The balanced service: a tower [`Service`] that sends each request to an endpoint of its choice.

mod again;
mod conclude;
mod detours;
mod endings;
mod extras;
mod future;
mod hedge;
mod journey;
mod layer;
mod observer;
pub(crate) mod published;
pub(crate) mod repeat;
mod rounds;
mod shutdown;
mod tries;

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tower_service::Service;

pub use future::ResponseFuture;
pub(crate) use journey::{Journey, Step};
pub use layer::{BalanceLayer, Routed};
pub use observer::{Observer, View};
pub(crate) use published::{Published, Reached, Waited};
pub use shutdown::Drained;

use crate::{BoxError, Error, Explanation, Opaque, Protocol, Routing, driver::DriverGuard};

/// A service over all live endpoints of a Kubernetes Service.
///
/// `S` is the service of one endpoint, `P` the [`Protocol`] that it speaks. It is always ready: which
/// endpoint must be ready is not known before the request is, so waiting happens in the response
/// future, bounded by [`wait`](crate::BalancerBuilder::wait).
///
/// Cloning is for handing it to another task. Clones share connections, measurements and the task
/// that follows the Service, which ends when the last clone and the last response future are gone.
///
/// # Cancel safety
/// Dropping a response future cancels that request: the endpoint's in-flight count ends there, and
/// the time spent counts against the endpoint only if it was longer than usual.
pub struct Balance<S, P = Opaque> {
    // A handle of its own for each clone: requests of one task count references on a line that no
    // other task writes to (two, so that clones made in a row do not share one either). A count that
    // all tasks share costs 75 ns a request instead of 13.
    handle: Arc<Handle<S, P>>,
}

#[repr(align(64))]
pub(crate) struct Handle<S, P> {
    pub(crate) published: Arc<Published<S>>,
    pub(crate) protocol: Arc<P>,
    driver: Arc<DriverGuard>,
}

impl<S, P> Balance<S, P> {
    pub(crate) fn new(published: Arc<Published<S>>, protocol: P, driver: DriverGuard) -> Self {
        Self {
            handle: Arc::new(Handle {
                published,
                protocol: Arc::new(protocol),
                driver: Arc::new(driver),
            }),
        }
    }

    /// Looks at the balancer from outside.
    #[must_use]
    pub fn observe(&self) -> Observer
    where
        S: Send + Sync + 'static,
    {
        Observer::new(Arc::clone(&self.handle.published))
    }

    /// Why a request of this routing would go where it would go now: whom the cluster's rules take off, what
    /// each policy makes of the rest, who is chosen, and who would be next. Nobody is asked for anything.
    #[must_use]
    pub fn explain(&self, routing: &Routing<'_>) -> Explanation {
        self.handle.published.explain(routing)
    }

    /// Ends the balancer and all of its clones: requests that are new are refused with
    /// [`ErrorKind::ShutDown`](crate::ErrorKind); those that are under way, those that wait for an endpoint included, are
    /// waited for, no longer than `within`. (A request is under way until its response has been read to its end, or
    /// dropped.) After that the Service is followed no more, nothing is retried, and connections close as soon as nothing
    /// is in flight on them.
    ///
    /// Use it before the process ends, with less time than the process has: a Pod that is deleted has
    /// `terminationGracePeriodSeconds`, 30 s if nothing else is said.
    ///
    /// # Cancel safety
    /// Dropping the future leaves new requests refused, and the rest as it is; it may be called again.
    pub async fn shutdown(&self, within: Duration) -> Drained {
        Arc::clone(&self.handle.published).shut_down(within).await
    }

    /// As [`call`](Service::call), which needs no more of the balancer than this.
    #[cfg_attr(
        not(feature = "http"),
        allow(dead_code, reason = "only the clients need it")
    )]
    pub(crate) fn send<Req>(&self, request: Req) -> ResponseFuture<S, P, Req>
    where
        S: Service<Req>,
        P: Protocol<Req, S>,
    {
        ResponseFuture::new(Arc::clone(&self.handle), request)
    }

    #[cfg_attr(
        not(feature = "http"),
        allow(dead_code, reason = "only the clients need it")
    )]
    pub(crate) fn protocol(&self) -> &P {
        &self.handle.protocol
    }

    pub(crate) fn published(&self) -> &Arc<Published<S>> {
        &self.handle.published
    }
}

impl<S, P, Req> Service<Req> for Balance<S, P>
where
    S: Service<Req> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    P: Protocol<Req, S>,
{
    type Response = P::Response;
    type Error = Error;
    type Future = ResponseFuture<S, P, Req>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.send(request)
    }
}

impl<S, P> Clone for Balance<S, P> {
    fn clone(&self) -> Self {
        let Handle {
            published,
            protocol,
            driver,
        } = &*self.handle;
        Self {
            handle: Arc::new(Handle {
                published: Arc::clone(published),
                protocol: Arc::clone(protocol),
                driver: Arc::clone(driver),
            }),
        }
    }
}

impl<S, P> fmt::Debug for Balance<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Balance")
            .field(&self.handle.published)
            .finish()
    }
}
