//! Who is the primary, and in which epoch: what several parties learn and one policy goes by.

use std::{fmt, sync::Arc};

use crate::{
    Endpoint, Placement,
    policy::{Changes, changes},
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
#[derive(Clone)]
pub struct Leadership {
    set: Arc<changes::Setter<Option<Reign>>>,
    reign: changes::Reader<Option<Reign>>,
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
        let (set, reign) = changes::cell(None);
        Self {
            set: Arc::new(set),
            reign,
        }
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
        match self.reign.read()? {
            Reign {
                epoch,
                holder: Holder::Is(holder),
            } => Some((holder, epoch)),
            _ => None,
        }
    }

    /// The highest epoch seen.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.reign.read().map(|reign| reign.epoch)
    }

    /// Yields whenever something else holds than when it was asked last.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.reign.changes()
    }

    /// What is known, and of which version that is.
    pub(super) fn read(&self) -> (Option<Reign>, u64) {
        self.reign.read_versioned()
    }

    /// Which version holds; without a lock.
    pub(super) fn version(&self) -> u64 {
        self.reign.version()
    }

    fn change(&self, change: impl FnOnce(&mut Option<Reign>) -> Announced) -> Announced {
        self.set.update(|former| {
            let mut reign = former.clone();
            let announced = change(&mut reign);
            let is_news = reign != *former;
            (is_news.then_some(reign), announced)
        })
    }
}

impl Default for Leadership {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Leadership").field(&self.reign).finish()
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
