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
/// A clone is a handle on the same one. What is told is of one life of an endpoint: a Pod that comes anew may have to catch up
/// from further back, and is believed to know nothing until it says so. Within a life it only grows. A container that restarts
/// in its Pod is the same life: where it may have lost what it had, as a server in memory does, whoever learns of that has
/// to [forget](Self::forget) it, and so has whoever learns that writes were lost in a failover. Picks see a report at once;
/// neither takes a lock. Reports of more than 4,096 endpoints are not kept.
#[derive(Clone, Default)]
pub struct Progress(Arc<ArcSwap<Marks>>);

/// By where an endpoint is. Where two UIDs say that it is another life, the later one takes its place.
type Marks = BTreeMap<(Placement, SocketAddr), Mark>;

/// How far one life of an endpoint has got.
#[derive(Clone)]
struct Mark {
    uid: Option<Uid>,
    position: Arc<AtomicU64>,
}

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
        match known.get(&place(endpoint)) {
            Some(mark) if mark.is_of(endpoint) => {
                mark.position.fetch_max(position.0, order);
            }
            // A late answer of a former life: whoever picks has seen another one there.
            Some(_) => {}
            None => {
                self.mark(endpoint).fetch_max(position.0, order);
            }
        }
    }

    /// Says that nothing is known of an endpoint any more, from which reads by a token then stay away until it says how far it is.
    pub fn forget(&self, endpoint: &Endpoint) {
        let known = self.0.load();
        if let Some(mark) = known.get(&place(endpoint))
            && mark.is_of(endpoint)
        {
            mark.position.store(0, Ordering::Relaxed);
        }
    }

    /// How far an endpoint has got, as far as is known: [`Position::new(0)`](Position::new) where nobody said.
    #[must_use]
    pub fn of(&self, endpoint: &Endpoint) -> Position {
        let known = self.0.load();
        let mark = known.get(&place(endpoint));
        let mark = mark.filter(|mark| mark.is_of(endpoint));
        Position(mark.map_or(0, |mark| mark.position.load(Ordering::Relaxed)))
    }

    /// Where to read how far this life of an endpoint has got, from now on.
    pub(super) fn mark(&self, endpoint: &Endpoint) -> Arc<AtomicU64> {
        let place = place(endpoint);
        let fresh = Arc::new(AtomicU64::new(0));
        let mut position = Arc::clone(&fresh);
        self.0.rcu(|known| {
            let there = known.get(&place).filter(|mark| mark.is_of(endpoint));
            position = Arc::clone(there.map_or(&fresh, |mark| &mark.position));
            if there.is_some_and(|mark| mark.uid.is_some() || endpoint.uid().is_none()) {
                return Arc::clone(known);
            }
            let mut marks = Marks::clone(known);
            if marks.len() >= MOST {
                // Those that no picker looks at: one count is of here, and one of the map that is replaced.
                marks.retain(|_, mark| Arc::strong_count(&mark.position) > 2);
            }
            if marks.len() < MOST {
                let mark = Mark {
                    uid: endpoint.uid().cloned(),
                    position: Arc::clone(&position),
                };
                marks.insert(place.clone(), mark);
            }
            Arc::new(marks)
        });
        position
    }
}

fn place(endpoint: &Endpoint) -> (Placement, SocketAddr) {
    (endpoint.placement().clone(), endpoint.address())
}

impl Mark {
    /// A UID that only one of the two knows makes no other life: DNS tells none.
    fn is_of(&self, endpoint: &Endpoint) -> bool {
        let both = self.uid.as_ref().zip(endpoint.uid());
        both.is_none_or(|(mine, its)| mine == its)
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.load();
        let position = |mark: &Mark| mark.position.load(Ordering::Relaxed);
        f.debug_map()
            .entries(known.iter().map(|((name, _), mark)| (name, position(mark))))
            .finish()
    }
}
