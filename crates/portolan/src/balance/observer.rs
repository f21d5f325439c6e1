//! Looking at a balancer from outside, without disturbing it.

use std::{fmt, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use portolan_core::{Candidate, Candidates, Freshness, Reach, Time};

use super::Published;
use crate::{Counters, health_check::Health};

/// What a balancer knows: which endpoints get requests now, and what is measured of each.
///
/// It does not keep the balancer alive.
///
/// ```
/// # use portolan::{Cluster, Endpoint, Placement, source::Fixed};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let endpoint = Endpoint::new(Placement::new("db-0"), "10.0.0.1:5432".parse()?);
/// # let cluster = Cluster::from_source(Fixed::from_iter([endpoint]));
/// let nodes = cluster.service("db.shop")?.nodes()?;
/// let mut observer = nodes.observe();
/// let view = observer.changed().await.expect("the balancer is there");
/// for one in view.endpoints() {
///     println!("{} has {} requests in flight", one.endpoint.placement(), one.state.in_flight());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Observer {
    published: Arc<dyn Observed>,
    seen: u64,
}

/// What a balancer knew at one moment. Measurements go on living: they are read when asked for.
#[derive(Clone, Debug)]
pub struct View {
    generation: u64,
    candidates: Candidates,
    freshness: Freshness,
    reach: Reach,
    health: Arc<[Health]>,
    now: Time,
}

impl Observer {
    pub(crate) fn new<S: Send + Sync + 'static>(published: Arc<Published<S>>) -> Self {
        Self { published, seen: 0 }
    }

    /// How it is now.
    #[must_use]
    pub fn view(&self) -> View {
        self.published.view()
    }

    /// How often the balancer has sent again, dialled, ejected, up to now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.published.counters()
    }

    /// Waits until the balancer goes by something that this observer has not seen yet; `None` once
    /// it is gone. What came and went in between is passed over.
    ///
    /// # Cancel safety
    /// A dropped future has taken nothing: the next call returns at once if there is something new.
    pub async fn changed(&mut self) -> Option<View> {
        let view = Arc::clone(&self.published).changed(self.seen).await?;
        self.seen = view.generation;
        Some(view)
    }
}

impl View {
    /// Counts up with each change.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The endpoints that get requests, in order of their placement.
    #[must_use]
    pub fn endpoints(&self) -> &[Candidate] {
        self.candidates.as_slice()
    }

    /// How far discovery can be believed.
    #[must_use]
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// What the endpoints' addresses are: the Pods' own, unless something else was asked for or is all that
    /// can be reached.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// How the endpoints do that are [checked](crate::health_check), those that get no requests for it included, in
    /// order of their placement. Empty where none is checked.
    #[must_use]
    pub fn health(&self) -> &[Health] {
        &self.health
    }

    /// How old the endpoints are, where discovery is failing; `None` where it is not.
    #[must_use]
    pub fn staleness(&self) -> Option<Duration> {
        self.freshness.age(self.now)
    }

    /// When the view was taken, by the clock of the measurements: for
    /// [`EndpointState::latency`](portolan_core::EndpointState::latency).
    #[must_use]
    pub fn taken_at(&self) -> Time {
        self.now
    }
}

/// A [`Published`], whatever the services in it.
trait Observed: Send + Sync {
    fn view(&self) -> View;
    fn counters(&self) -> Counters;
    fn changed(self: Arc<Self>, seen: u64) -> BoxFuture<'static, Option<View>>;
}

impl<S: Send + Sync + 'static> Observed for Published<S> {
    fn view(&self) -> View {
        let snapshot = self.load();
        View {
            generation: snapshot.generation(),
            candidates: snapshot.candidates().clone(),
            freshness: snapshot.freshness().clone(),
            reach: snapshot.reach(),
            health: self.health(),
            now: self.clock.now(),
        }
    }

    fn counters(&self) -> Counters {
        self.counters()
    }

    fn changed(self: Arc<Self>, seen: u64) -> BoxFuture<'static, Option<View>> {
        async move { self.replaced(seen).await.then(|| self.view()) }.boxed()
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.view()).finish()
    }
}
