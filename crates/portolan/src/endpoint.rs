//! What is made for each endpoint: a service, and word of whether the endpoint can be reached.

use std::{fmt, sync::Arc};

use tokio::sync::Notify;

use crate::{Endpoint, counters::Tally, level::Level};

/// Makes the service that talks to one endpoint.
///
/// It is called once for each incarnation of an endpoint, and again where the incarnation's
/// [alternate address](Endpoint::alternate) or [host](Endpoint::host) changes, off the request path. The
/// service is cloned for each request and dropped when the endpoint is gone or another service takes its
/// place, and its connections with it.
///
/// Any `Fn(&Endpoint) -> S` is one:
///
/// ```
/// use portolan::{Endpoint, MakeEndpoint, Reachability};
///
/// fn address_of(make: impl MakeEndpoint<Service = String>, endpoint: &Endpoint) -> String {
///     make.make(endpoint, Reachability::unwatched())
/// }
///
/// let endpoint = Endpoint::new(portolan::Placement::new("db-0"), "10.0.0.1:80".parse()?);
/// assert_eq!(address_of(|endpoint: &Endpoint| endpoint.address().to_string(), &endpoint), "10.0.0.1:80");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub trait MakeEndpoint: Send + Sync + 'static {
    /// The service. A clone is made for each request, so cloning should be cheap.
    type Service: Clone + Send + Sync + 'static;

    /// Makes the service of one endpoint. It must not block; connecting is for a task of its own.
    fn make(&self, endpoint: &Endpoint, reachability: Reachability) -> Self::Service;

    /// Whether the services find out by themselves that an endpoint can be reached again, and say
    /// so by [`Reachability::reached`]. Where not, which is the default, an endpoint that could not be
    /// reached is dialled from time to time until it can.
    fn heals(&self) -> bool {
        false
    }

    /// Whether a new endpoint gets no request, while others are there, before its service has said
    /// [`Reachability::reached`]. By default it gets them at once.
    fn connects_first(&self) -> bool {
        false
    }
}

impl<F, S> MakeEndpoint for F
where
    F: Fn(&Endpoint) -> S + Send + Sync + 'static,
    S: Clone + Send + Sync + 'static,
{
    type Service = S;

    fn make(&self, endpoint: &Endpoint, _: Reachability) -> S {
        self(endpoint)
    }
}

/// Where a service tells whether its endpoint can be reached.
///
/// An endpoint out of reach is left out of the choice (unless all are), until it is reached again.
/// Cloning shares it.
#[derive(Clone)]
pub struct Reachability {
    level: Level,
    tally: Arc<Tally>,
}

impl Reachability {
    /// For trying a [`MakeEndpoint`] alone: nobody listens.
    #[must_use]
    pub fn unwatched() -> Self {
        Self::new(Arc::default(), Arc::default())
    }

    pub(crate) fn new(changed: Arc<Notify>, tally: Arc<Tally>) -> Self {
        let level = Level::good(changed);
        Self { level, tally }
    }

    /// Of an endpoint that nobody has tried to reach yet: it counts as out of reach until it is reached.
    pub(crate) fn not_yet(changed: Arc<Notify>, tally: Arc<Tally>) -> Self {
        let level = Level::bad(changed);
        Self { level, tally }
    }

    /// A connection was made.
    pub fn reached(&self) {
        self.set(true);
    }

    /// A connection could not be made.
    pub fn not_reached(&self) {
        self.set(false);
    }

    /// Whether the endpoint can be reached, as far as is known. Until something else is said, it can.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.level.is_good()
    }

    /// Where it is counted how often the endpoints of this balancer are dialled.
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// How often that has changed.
    pub(crate) fn changes(&self) -> u32 {
        self.level.changes()
    }

    /// Says how it is now. Whether it was otherwise before.
    pub(crate) fn set(&self, reachable: bool) -> bool {
        self.level.set(reachable)
    }
}

impl fmt::Debug for Reachability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reachability")
            .field(&self.is_reachable())
            .finish()
    }
}
