//! What a balancer does besides sending each request once: what becomes a storm where it is not bounded.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often a balancer has done what is more than sending each request once, since it was built.
///
/// It is read from an [`Observer`](crate::Observer::counters), and grows for as long as the balancer lives. With the
/// feature `metrics`, retries and ejections are told to that facade, too.
///
/// ```
/// # use portolan::{Cluster, source::Fixed};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), portolan::BuildError> {
/// # let cluster = Cluster::from_source(Fixed::default());
/// let nodes = cluster.service("db.shop")?.resilient().nodes()?;
/// let observer = nodes.observe();
/// let before = observer.counters();
/// // … an hour later:
/// let retries = observer.counters().retries - before.retries;
/// # assert_eq!(retries, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Retries that were taken off the [budget](crate::retry::RetryBudget). Without
    /// [retries](crate::BalancerBuilder::retry), none is; a request that has not reached an endpoint goes to the next
    /// one without.
    pub retries: u64,
    /// Retries that there would have been, had the budget not been spent.
    pub retries_refused: u64,
    /// Connections that were begun to be made, by the HTTP and gRPC clients. (Those of reqwest, and of services of
    /// one's own, are not known of here.)
    pub dials: u64,
    /// Those of them that could not be made.
    pub dials_failed: u64,
    /// Connections that were made to see whether an endpoint can be reached again, where its client does not find that
    /// out by itself ([`MakeEndpoint::heals`](crate::MakeEndpoint::heals)).
    pub probes: u64,
    /// [Ejections](crate::BalancerBuilder::eject_outliers).
    pub ejections: u64,
    /// How often an endpoint that had been ejected was given another trial.
    pub returns: u64,
}

/// Where it is counted. Nothing of it is on the way of a request that goes well.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) dials: AtomicU64,
    pub(crate) dials_failed: AtomicU64,
    pub(crate) probes: AtomicU64,
    pub(crate) ejections: AtomicU64,
    pub(crate) returns: AtomicU64,
}

impl Tally {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// With so many retries, taken and refused, which are counted where their budget is.
    pub(crate) fn read(&self, (retries, retries_refused): (u64, u64)) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            retries,
            retries_refused,
            dials: read(&self.dials),
            dials_failed: read(&self.dials_failed),
            probes: read(&self.probes),
            ejections: read(&self.ejections),
            returns: read(&self.returns),
        }
    }
}
