//! What is wrong with a map.

use std::{error::Error, fmt};

use super::{super::slot::SLOTS, Keyspace, UNASSIGNED};

/// A map that is not taken, and everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardMapError {
    problems: Box<[ShardMapProblem]>,
    /// Those that are not listed.
    more: usize,
}

/// More than these nobody reads.
const LISTED: usize = 16;

/// One thing that is wrong with a map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShardMapProblem {
    /// No key is assigned to any shard.
    #[error("it is empty: assign all keys to shards")]
    Empty,
    /// Keys that no shard has.
    #[error("no shard has {0}")]
    Gap(KeySpan),
    /// Keys that are assigned twice.
    #[error("{span} are assigned twice, to {} and to {}", named(*one), named(*other))]
    Overlap {
        /// Which.
        span: KeySpan,
        /// The one.
        one: u32,
        /// The other, or the same once more.
        other: u32,
    },
    /// A range that holds nothing, since its end is not after its beginning.
    #[error("the range of {} holds nothing: it ends where it begins, or before: {span}", named(*shard))]
    Reversed {
        /// The range as it was given.
        span: KeySpan,
        /// The shard to which it was assigned.
        shard: u32,
    },
    /// A slot that there is not.
    #[error("the range of shard {shard} goes beyond slot 16383, the last one")]
    NoSuchSlot {
        /// The shard to which it was assigned.
        shard: u32,
    },
    /// A shard whose Pods are listed twice.
    #[error("the Pods of shard {shard} are listed twice")]
    ListedTwice {
        /// Which.
        shard: u32,
    },
    /// A shard that has keys and no Pods, while others have some.
    #[error("shard {shard} has keys and no Pods: list them, or list none of any shard")]
    NoPods {
        /// Which.
        shard: u32,
    },
    /// A range whose Pods are told by their places among names, and one of these places has none.
    #[error(
        "{span} are assigned to the endpoint of index {index}, and there are only {names} endpoints"
    )]
    NoSuchEndpoint {
        /// The keys.
        span: KeySpan,
        /// The place.
        index: u32,
        /// How many names there are.
        names: usize,
    },
    /// An endpoint without a name, which nobody has.
    #[error("an endpoint has no name")]
    Nameless,
    /// More than any map that means well has.
    #[error("it has more than {limit} {what}")]
    TooLarge {
        /// More of what.
        what: &'static str,
        /// As many as there may be.
        limit: usize,
    },
    /// A number that is taken for "no shard".
    #[error("4294967295 is no number of a shard")]
    NoSuchNumber,
}

impl ShardMapError {
    /// Nothing where nothing is wrong.
    pub(super) fn of(mut problems: Vec<ShardMapProblem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        let more = problems.len().saturating_sub(LISTED);
        problems.truncate(LISTED);
        Err(Self {
            problems: problems.into(),
            more,
        })
    }

    /// What is wrong: the first 16 things.
    #[must_use]
    pub fn problems(&self) -> &[ShardMapProblem] {
        &self.problems
    }
}

impl fmt::Display for ShardMapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the map of shards is refused: ")?;
        for (nth, problem) in self.problems.iter().enumerate() {
            let between = if nth == 0 { "" } else { "; " };
            write!(f, "{between}{problem}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl Error for ShardMapError {}

/// Some keys, or slots, that follow each other.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySpan {
    keyspace: Keyspace,
    from: Box<[u8]>,
    /// The first that is not among them; `None` where there is none after them.
    to: Option<Box<[u8]>>,
}

impl KeySpan {
    pub(super) fn new(keyspace: Keyspace, from: &[u8], to: Option<&[u8]>) -> Self {
        Self {
            keyspace,
            from: from.into(),
            to: to.map(Into::into),
        }
    }
}

impl fmt::Display for KeySpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.keyspace == Keyspace::Slots {
            let first = number(&self.from).unwrap_or_default();
            let end = self.to.as_deref().and_then(number).unwrap_or(SLOTS);
            return write!(f, "slots {first}-{}", end.saturating_sub(1));
        }
        match (&*self.from, self.to.as_deref()) {
            ([], None) => f.write_str("all keys"),
            ([], Some(to)) => write!(f, "keys below \"{}\"", to.escape_ascii()),
            (from, None) => write!(f, "keys from \"{}\" on", from.escape_ascii()),
            (from, Some(to)) => {
                let (from, to) = (from.escape_ascii(), to.escape_ascii());
                write!(f, "keys from \"{from}\" to below \"{to}\"")
            }
        }
    }
}

impl fmt::Debug for KeySpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySpan({self})")
    }
}

fn named(shard: u32) -> String {
    match shard {
        UNASSIGNED => "no shard".to_owned(),
        shard => format!("shard {shard}"),
    }
}

fn number(slot: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(slot.try_into().ok()?))
}
