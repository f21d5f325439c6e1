//! What is made for each endpoint: a service, and word of whether the endpoint can be reached.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::sync::Notify;

use crate::{Endpoint, counters::Tally};

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
pub struct Reachability(Arc<Signal>);

struct Signal {
    // How often it has changed; even where the endpoint can be reached. A level, not an event: whoever
    // looks sees how it is now, and whether it was otherwise meanwhile, and no word can be lost.
    changes: AtomicU32,
    changed: Arc<Notify>,
    tally: Arc<Tally>,
}

impl Reachability {
    /// For trying a [`MakeEndpoint`] alone: nobody listens.
    #[must_use]
    pub fn unwatched() -> Self {
        Self::new(Arc::default(), Arc::default())
    }

    pub(crate) fn new(changed: Arc<Notify>, tally: Arc<Tally>) -> Self {
        Self(Arc::new(Signal {
            changes: AtomicU32::new(0),
            changed,
            tally,
        }))
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
        is_reachable(self.changes())
    }

    /// Where it is counted how often the endpoints of this balancer are dialled.
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.0.tally
    }

    /// How often that has changed.
    pub(crate) fn changes(&self) -> u32 {
        self.0.changes.load(Ordering::Acquire)
    }

    /// Says how it is now. Whether it was otherwise before.
    pub(crate) fn set(&self, reachable: bool) -> bool {
        // The common case, a word that changes nothing, only reads.
        let mut changes = self.changes();
        while is_reachable(changes) != reachable {
            let more = changes.wrapping_add(1);
            let exchange = self.0.changes.compare_exchange_weak(
                changes,
                more,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match exchange {
                Ok(_) => {
                    self.0.changed.notify_one();
                    return true;
                }
                Err(found) => changes = found,
            }
        }
        false
    }
}

/// Whether an endpoint can be reached after so many changes.
pub(crate) fn is_reachable(changes: u32) -> bool {
    changes.is_multiple_of(2)
}

impl fmt::Debug for Reachability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reachability")
            .field(&self.is_reachable())
            .finish()
    }
}
