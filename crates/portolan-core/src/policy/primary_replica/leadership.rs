//! Who is the primary, and in which epoch: what several parties learn and one policy goes by.

use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

use crate::{
    Endpoint, Placement,
    policy::Changes,
    sync::{AtomicU64, Ordering},
};

/// The number of a reign: a term, a timeline, the transitions of a Lease. Each new primary has a higher one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of this number.
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

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}", self.0)
    }
}

/// Who is the primary, and in which epoch, told by whoever learns it: the watch of a Lease, a header of a
/// response, a probe, or the program itself.
///
/// A clone is a handle on the same one, so that it can be given to the policy and to whoever tells it.
///
/// Epochs never go backwards. What is told of an epoch below the highest one seen is not believed; two primaries
/// of one epoch are a conflict, in which there is none until a higher epoch settles it.
///
/// ```
/// use portolan_core::{Placement, policy::{Announced, Epoch, Leadership}};
///
/// let leadership = Leadership::new();
/// assert_eq!(leadership.announce(Placement::new("db-0"), Epoch::new(7)), Announced::Taken);
/// assert_eq!(leadership.announce(Placement::new("db-1"), Epoch::new(8)), Announced::Taken);
///
/// // The old primary, back from a pause, still believes in itself.
/// assert_eq!(leadership.announce(Placement::new("db-0"), Epoch::new(7)), Announced::Outdated);
/// assert_eq!(leadership.primary(), Some((Placement::new("db-1"), Epoch::new(8))));
/// ```
#[derive(Clone, Default)]
pub struct Leadership(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Counts the changes; written under the lock, read without it by each pick.
    version: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reign: Option<Reign>,
    listeners: BTreeMap<u64, Waker>,
    next_listener: u64,
}

/// What is known of the highest epoch seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reign {
    pub(super) epoch: Epoch,
    pub(super) holder: Holder,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// This one.
    Is(Placement),
    /// This one was, and has let go or run out of time; only it may take up the same epoch again.
    Was(Option<Placement>),
    /// Several say that they are.
    Disputed,
}

/// What became of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Announced {
    /// It is news, and holds from now on.
    Taken,
    /// It was known.
    Known,
    /// A higher epoch has been seen, so it is not believed.
    Outdated,
    /// Another one is, or was, the primary of the same epoch. There is none now, until a higher epoch is seen.
    Conflict,
}

impl Leadership {
    /// Nothing is known yet: there is no primary.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that this is the primary of this epoch: the [placement](Endpoint::placement) or the name of the Pod.
    pub fn announce(&self, primary: Placement, epoch: Epoch) -> Announced {
        self.change(|reign| match reign {
            Some(known) if epoch < known.epoch => Announced::Outdated,
            Some(known) if epoch == known.epoch => {
                let (next, announced) = match &known.holder {
                    Holder::Is(holder) if *holder == primary => return Announced::Known,
                    Holder::Was(None) => (Holder::Is(primary), Announced::Taken),
                    Holder::Was(Some(former)) if *former == primary => {
                        (Holder::Is(primary), Announced::Taken)
                    }
                    Holder::Is(_) | Holder::Was(_) | Holder::Disputed => {
                        (Holder::Disputed, Announced::Conflict)
                    }
                };
                known.holder = next;
                announced
            }
            _ => {
                let holder = Holder::Is(primary);
                *reign = Some(Reign { epoch, holder });
                Announced::Taken
            }
        })
    }

    /// Says that there is no primary in this epoch: the holder has let go, or its time has run out. Only it may
    /// be announced in the same epoch again.
    pub fn vacate(&self, epoch: Epoch) -> Announced {
        self.change(|reign| match reign {
            Some(known) if epoch < known.epoch => Announced::Outdated,
            Some(known) if epoch == known.epoch => match &known.holder {
                Holder::Is(holder) => {
                    known.holder = Holder::Was(Some(holder.clone()));
                    Announced::Taken
                }
                Holder::Was(_) | Holder::Disputed => Announced::Known,
            },
            _ => {
                let holder = Holder::Was(None);
                *reign = Some(Reign { epoch, holder });
                Announced::Taken
            }
        })
    }

    /// Who is the primary, and since which epoch; `None` where nobody is known to be, or several say that they are.
    #[must_use]
    pub fn primary(&self) -> Option<(Placement, Epoch)> {
        match &self.lock().reign {
            Some(Reign {
                epoch,
                holder: Holder::Is(holder),
            }) => Some((holder.clone(), *epoch)),
            _ => None,
        }
    }

    /// The highest epoch seen.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.lock().reign.as_ref().map(|reign| reign.epoch)
    }

    /// Yields whenever something else holds than when it was asked last.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let mut state = self.lock();
        let id = state.next_listener;
        state.next_listener += 1;
        let seen = self.version();
        drop(state);
        let shared = Arc::clone(&self.0);
        Box::pin(Listener { shared, id, seen })
    }

    /// What is known, and of which version that is.
    pub(super) fn read(&self) -> (Option<Reign>, u64) {
        let state = self.lock();
        (state.reign.clone(), self.version())
    }

    /// Which version holds.
    pub(super) fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    fn change(&self, change: impl FnOnce(&mut Option<Reign>) -> Announced) -> Announced {
        let mut state = self.lock();
        let former = state.reign.clone();
        let announced = change(&mut state.reign);
        if state.reign == former {
            return announced;
        }
        self.0.version.fetch_add(1, Ordering::Release);
        let woken = std::mem::take(&mut state.listeners);
        drop(state);
        woken.into_values().for_each(Waker::wake);
        announced
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Shared {
    /// A panic while the lock was held cannot have left it half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Leadership")
            .field(&self.lock().reign)
            .finish()
    }
}

impl Holder {
    /// Whether the holder is this endpoint, by its placement or by the name of its Pod.
    pub(super) fn is(&self, endpoint: &Endpoint) -> bool {
        matches!(self, Self::Is(holder) if holder == endpoint.placement()
            || endpoint.pod() == Some(holder.as_str()))
    }
}

impl fmt::Display for Reign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epoch = self.epoch;
        match &self.holder {
            Holder::Is(holder) => write!(f, "{holder} is the primary of {epoch}"),
            Holder::Was(Some(former)) => {
                write!(
                    f,
                    "{former} was the primary of {epoch} and is none any more"
                )
            }
            Holder::Was(None) => write!(f, "there is no primary in {epoch}"),
            Holder::Disputed => write!(f, "several claim to be the primary of {epoch}"),
        }
    }
}

/// One who waits for changes. It has one place to be woken, however often it is polled.
struct Listener {
    shared: Arc<Shared>,
    id: u64,
    seen: u64,
}

impl Stream for Listener {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<()>> {
        let this = self.get_mut();
        let mut state = this.shared.lock();
        let version = this.shared.version.load(Ordering::Acquire);
        if version != this.seen {
            this.seen = version;
            return Poll::Ready(Some(()));
        }
        state.listeners.insert(this.id, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.lock().listeners.remove(&self.id);
    }
}
