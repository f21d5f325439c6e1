//! How far each endpoint has got in what was written, for reads that must see what was written before them.

use std::{collections::BTreeMap, fmt, net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    Endpoint, Placement, Uid,
    sync::{AtomicU64, Ordering},
};

/// A place in the log of what was written, as the servers count it: a PostgreSQL LSN, a MySQL GTID's sequence, an offset, a
/// revision of etcd's. One that is further has the higher number.
///
/// It is the token by which a client [reads what it wrote](crate::policy::PrimaryReplica::read_your_writes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// The position of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "position {}", self.0)
    }
}

/// How far each endpoint has got in what was written, told by whoever learns it: a header of each response, a probe, or the
/// program itself.
///
/// A clone is a handle on the same one. What is told is of one life of an endpoint: a Pod that restarts may have to catch up
/// from further back, and is believed to know nothing until it says so. Within a life it only grows. Picks see a report at once;
/// neither takes a lock. Reports of more than 4,096 endpoints are not kept.
#[derive(Clone, Default)]
pub struct Progress(Arc<ArcSwap<Marks>>);

/// By the life of each endpoint: a late answer of a former life says nothing of the present one.
type Marks = BTreeMap<Life, Arc<AtomicU64>>;
type Life = (Placement, Option<Uid>, SocketAddr);

/// More than anybody has replicas.
const MOST: usize = 4096;

impl Progress {
    /// Nothing is known of any endpoint.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that an endpoint has got as far as this, at least.
    ///
    /// ```
    /// use portolan_core::{Endpoint, Placement, policy::{Position, Progress}};
    ///
    /// let replica = Endpoint::new(Placement::new("db-1"), "10.0.0.1:5432".parse().unwrap());
    /// let progress = Progress::new();
    /// progress.report(&replica, Position::new(17));
    /// progress.report(&replica, Position::new(16)); // An answer that was late.
    /// assert_eq!(progress.of(&replica), Position::new(17));
    /// ```
    pub fn report(&self, endpoint: &Endpoint, position: Position) {
        let known = self.0.load();
        let order = Ordering::Relaxed;
        match known.get(&life(endpoint)) {
            Some(mark) => mark.fetch_max(position.0, order),
            None => self.mark(endpoint).fetch_max(position.0, order),
        };
    }

    /// How far an endpoint has got, as far as is known: [`Position::new(0)`](Position::new) where nobody said.
    #[must_use]
    pub fn of(&self, endpoint: &Endpoint) -> Position {
        let known = self.0.load();
        let mark = known.get(&life(endpoint));
        Position(mark.map_or(0, |mark| mark.load(Ordering::Relaxed)))
    }

    /// Where to read how far this life of an endpoint has got, from now on.
    pub(super) fn mark(&self, endpoint: &Endpoint) -> Arc<AtomicU64> {
        let life = life(endpoint);
        let fresh = Arc::new(AtomicU64::new(0));
        let mut mark = Arc::clone(&fresh);
        self.0.rcu(|known| {
            if let Some(there) = known.get(&life) {
                mark = Arc::clone(there);
                return Arc::clone(known);
            }
            mark = Arc::clone(&fresh);
            let mut marks = Marks::clone(known);
            if marks.len() >= MOST {
                // Those that no picker looks at: one count is of here, and one of the map that is replaced.
                marks.retain(|_, mark| Arc::strong_count(mark) > 2);
            }
            if marks.len() < MOST {
                marks.insert(life.clone(), Arc::clone(&fresh));
            }
            Arc::new(marks)
        });
        mark
    }
}

fn life(endpoint: &Endpoint) -> Life {
    let placement = endpoint.placement().clone();
    (placement, endpoint.uid().cloned(), endpoint.address())
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.load();
        let position = |((name, ..), mark): (&Life, &Arc<AtomicU64>)| {
            (name.clone(), mark.load(Ordering::Relaxed))
        };
        f.debug_map().entries(known.iter().map(position)).finish()
    }
}
