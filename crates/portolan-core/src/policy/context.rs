//! What a picker sees of a request: plain data, whatever the protocol.

use std::fmt;

use super::Position;
use crate::{Index, Placement, Reason, Time, Verdict};

/// What a [`Picker`](crate::Picker) may know of the request.
///
/// ```
/// use portolan_core::{PickContext, Time};
/// let context = PickContext::new(Time::ORIGIN, 0x9e37_79b9_7f4a_7c15).with_key(b"tenant-7");
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PickContext<'a> {
    /// The time of the pick; [`Time::ORIGIN`] where the picker says that it [is not
    /// timed](crate::Picker::is_timed).
    pub now: Time,
    /// 64 random bits, fresh for each pick. Core has no generator of its own.
    pub entropy: u64,
    /// What the request is about, where that decides who serves it: a tenant, a session, a shard key.
    pub key: Option<&'a [u8]>,
    /// Whose request it is, where that is something else than what it is about: who is served by this program, say.
    pub client: Option<&'a [u8]>,
    /// Whether the request reads or writes.
    pub intent: Intent,
    /// The one endpoint that the request must go to, where there is one.
    pub pin: Option<&'a Pin>,
    /// Up to where a read must see what was written: the token of a client that reads what it wrote.
    pub not_before: Option<Position>,
    /// The endpoints that have been tried for this request, and must not be again.
    pub tried: &'a Tried,
}

/// Whether a request reads or writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Intent {
    /// Not said.
    #[default]
    Any,
    /// It changes nothing.
    Read,
    /// It may change something.
    Write,
}

/// The one endpoint that a request must go to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pin {
    /// The one of this stable name.
    Placement(Placement),
    /// The one of this ordinal in its StatefulSet.
    Ordinal(u32),
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Placement(placement) => placement.fmt(f),
            Self::Ordinal(ordinal) => write!(f, "the Pod of ordinal {ordinal}"),
        }
    }
}

impl<'a> PickContext<'a> {
    /// A context with nothing but the time and 64 random bits.
    #[must_use]
    pub fn new(now: Time, entropy: u64) -> Self {
        Self {
            now,
            entropy,
            key: None,
            client: None,
            intent: Intent::Any,
            pin: None,
            not_before: None,
            tried: Tried::NONE,
        }
    }

    /// Sets the key.
    #[must_use]
    pub fn with_key(mut self, key: &'a [u8]) -> Self {
        self.key = Some(key);
        self
    }

    /// Sets the client.
    #[must_use]
    pub fn with_client(mut self, client: &'a [u8]) -> Self {
        self.client = Some(client);
        self
    }

    /// Sets the intent.
    #[must_use]
    pub fn with_intent(mut self, intent: Intent) -> Self {
        self.intent = intent;
        self
    }

    /// Sets the pin.
    #[must_use]
    pub fn with_pin(mut self, pin: &'a Pin) -> Self {
        self.pin = Some(pin);
        self
    }

    /// Sets up to where a read must see what was written.
    #[must_use]
    pub fn with_not_before(mut self, position: Position) -> Self {
        self.not_before = Some(position);
        self
    }

    /// Sets the endpoints that have been tried.
    #[must_use]
    pub fn with_tried(mut self, tried: &'a Tried) -> Self {
        self.tried = tried;
        self
    }

    /// The `nth` (from 0) of `total` candidates, not counting those that have been tried:
    /// [`Verdict::Wait`] where there are no candidates, [`Reason::AllTried`] where none is left.
    /// Counts round where `nth` is past the last one.
    #[must_use]
    pub fn nth_untried(&self, total: usize, nth: usize) -> Verdict {
        match self.untried(total) {
            Ok(left) => Verdict::Use(self.tried.skip(nth % left)),
            Err(verdict) => verdict,
        }
    }

    /// How many of `total` candidates are left to try; never `Ok(0)`.
    pub(super) fn untried(&self, total: usize) -> Result<usize, Verdict> {
        let left = total - self.tried.below(total);
        match (total, left) {
            (0, _) => Err(Verdict::Wait),
            (_, 0) => Err(Verdict::Fail(Reason::AllTried)),
            (_, left) => Ok(left),
        }
    }
}

/// The candidates of a snapshot that have been tried for a request.
///
/// A first try has none, and an empty set does not allocate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    // In order, each once.
    indices: Vec<Index>,
}

impl Tried {
    /// None.
    pub const NONE: &'static Self = &Self::new();

    /// None, to be added to.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            indices: Vec::new(),
        }
    }

    /// Adds one.
    pub fn insert(&mut self, index: Index) {
        if let Err(place) = self.indices.binary_search(&index) {
            self.indices.insert(place, index);
        }
    }

    /// Whether it has been tried.
    #[must_use]
    pub fn contains(&self, index: Index) -> bool {
        !self.indices.is_empty() && self.indices.binary_search(&index).is_ok()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// How many have been tried.
    pub(super) fn len(&self) -> usize {
        self.indices.len()
    }

    /// How many of the first `total` candidates have been tried.
    fn below(&self, total: usize) -> usize {
        self.indices
            .partition_point(|index| index.position() < total)
    }

    /// The `nth` candidate of those that have not been tried.
    pub(super) fn skip(&self, nth: usize) -> Index {
        let mut position = nth;
        for tried in &self.indices {
            if tried.position() > position {
                break;
            }
            position += 1;
        }
        Index::at(position)
    }
}

impl FromIterator<Index> for Tried {
    fn from_iter<I: IntoIterator<Item = Index>>(indices: I) -> Self {
        let mut tried = Self::new();
        indices.into_iter().for_each(|index| tried.insert(index));
        tried
    }
}
