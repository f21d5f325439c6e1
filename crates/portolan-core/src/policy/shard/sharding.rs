//! Which shard a key is of.

use std::{fmt, sync::Arc};

use super::slot::{SLOTS, slot};
use crate::policy::{hash::jump::jump, key_hash};

/// Which shard a key is of, of so many. Pinned: a later release of this library says the same of each key.
#[derive(Clone, Default)]
pub struct Sharding(Kind);

#[derive(Clone, Default)]
enum Kind {
    #[default]
    Jump,
    Modulo,
    Number,
    Slots,
    By(Arc<Closure>),
}

/// From a key, and the number of shards, to a shard.
type Closure = dyn Fn(&[u8], u32) -> Option<u32> + Send + Sync;

impl Sharding {
    /// Jump hash of the [`key_hash`] (Lamping and Veach 2014): from n to n + 1 shards, one key in n + 1 moves, and to
    /// the new shard; no other way moves fewer. The default, since there is none that servers agree on: where
    /// yours compute the shard as well, say here what they say.
    #[must_use]
    pub fn jump() -> Self {
        Self(Kind::Jump)
    }

    /// The [`key_hash`] modulo the number of shards. From n to n + 1 shards, nearly all keys move.
    #[must_use]
    pub fn modulo() -> Self {
        Self(Kind::Modulo)
    }

    /// The key is a decimal number, and the shard is that modulo the number of shards. A key that is no such number
    /// is of no shard.
    #[must_use]
    pub fn number() -> Self {
        Self(Kind::Number)
    }

    /// The slot of the key as Redis Cluster has it (CRC16 modulo 16384, with hash tags in braces), and the slots in
    /// as many equal parts as there are shards, in order, as `redis-cli --cluster create` deals them out. Where
    /// slots have been moved since, go by a [map](super::ShardMap::slots).
    #[must_use]
    pub fn slots() -> Self {
        Self(Kind::Slots)
    }

    /// Whatever the closure says, of a key and the number of shards. `None`, and what is not below that number,
    /// is no shard.
    ///
    /// ```
    /// use portolan_core::policy::{Shard, Sharding, Shards};
    ///
    /// // By the first byte, as the servers do it.
    /// let by_first = Sharding::by(|key, shards| Some(u32::from(*key.first()?) % shards));
    /// let policy = Shard::by_ordinal(Shards::fixed(4)).keys(by_first);
    /// assert_eq!(policy.shard_of(b"\x06"), Some(2));
    /// assert_eq!(policy.shard_of(b""), None);
    /// ```
    #[must_use]
    pub fn by(shard: impl Fn(&[u8], u32) -> Option<u32> + Send + Sync + 'static) -> Self {
        Self(Kind::By(Arc::new(shard)))
    }

    /// The shard of a key, of so many, which is never 0.
    #[inline]
    pub(super) fn shard_of(&self, key: &[u8], shards: u32) -> Option<u32> {
        match &self.0 {
            Kind::Jump => Some(jump(key_hash(key), shards)),
            Kind::Modulo => key_hash(key)
                .checked_rem(shards.into())
                .map(|shard| shard as u32),
            Kind::Number => decimal_modulo(key, shards),
            Kind::Slots => Some(part(slot(key), shards)),
            Kind::By(shard) => shard(key, shards).filter(|shard| *shard < shards),
        }
    }

    pub(super) fn never_panics(&self) -> bool {
        !matches!(self.0, Kind::By(_))
    }

    pub(super) fn name(&self) -> &'static str {
        match &self.0 {
            Kind::Jump => "jump hash",
            Kind::Modulo => "hash modulo",
            Kind::Number => "number modulo",
            Kind::Slots => "slot",
            Kind::By(_) => "closure",
        }
    }
}

/// A number of any length, modulo the number of shards.
fn decimal_modulo(digits: &[u8], shards: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    let shards = u64::from(shards);
    let rest = digits.iter().try_fold(0_u64, |rest, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        (rest * 10 + digit).checked_rem(shards)
    });
    rest.map(|rest| rest as u32)
}

/// Which of so many equal parts a slot is in. Redis' own tool rounds each part's end to the nearest slot.
fn part(slot: u16, shards: u32) -> u32 {
    let each = f64::from(SLOTS) / f64::from(shards);
    let guess = (f64::from(slot) / each) as u32;
    let end = |part: u32| (each * f64::from(part + 1)).round() - 1.0;
    // Rounding moves an end by half a slot at most: so it is the guess, or one beside it.
    let first = guess.saturating_sub(1);
    let mut near = first..guess.saturating_add(2);
    near.find(|part| f64::from(slot) <= end(*part) || *part + 1 >= shards)
        .unwrap_or(guess)
}

impl fmt::Debug for Sharding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sharding({})", self.name())
    }
}
