//! Maglev hashing: a table in which each host has its part, and looking a key up is one look.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use super::{
    host::{Host, Hosts, placements},
    key_hash,
    order::Order,
    settings::{Settings, common_settings},
};
use crate::{
    Candidates, Picker, Policy,
    policy::{Changes, random::next_entropy},
};

/// A table of which each host has exactly its part, and a key belongs to its place in it (Eisenbud et al. 2016).
///
/// The most even of the four: parts differ by one place in the table. A pick is one look into it. The price is that a
/// change moves a few keys that have nothing to do with it: with up to 500 hosts, one that leaves takes less than 1% of
/// the others' keys along. And a change costs a new table, a millisecond or two, off the request path.
///
/// Choose it where load is to be even and a moved key costs little.
///
/// The next host of a key is that of the next place in the table.
///
/// *For other languages.* h is the [`key_hash`](super::key_hash) of a host's placement, of which M is the size of the
/// table: its offset is h scaled to M (the upper half of the 128-bit product), its skip is 1 + SplitMix64(h) scaled to
/// M − 1. Its k-th choice is place (offset + k · skip) mod M. Hosts take turns, the n-th turn of a host of weight w at the
/// time ⌊n · 2³² / w⌋ (n from 1), at the same time in order of their placements; who has a turn takes the first of its
/// choices that is free. The place of a key is its `key_hash` scaled to M.
///
/// ```
/// use portolan_core::policy::Maglev;
///
/// let policy = Maglev::new().bounded_load(1.5);
/// # let _: &dyn portolan_core::Policy = &policy;
/// ```
#[derive(Clone, Debug)]
pub struct Maglev {
    size: u32,
    settings: Settings,
}

common_settings!(Maglev);

/// Both as the paper and Envoy have it.
const SIZE: u32 = 65_537;
const LARGEST: u32 = 5_000_011;

impl Default for Maglev {
    fn default() -> Self {
        Self::new()
    }
}

impl Maglev {
    /// The policy, with a table of 65,537 places.
    #[must_use]
    pub fn new() -> Self {
        Self {
            size: SIZE,
            settings: Settings::default(),
        }
    }

    /// Sets the size of the table: the next prime from here on, up to 5,000,011. Default: 65,537.
    ///
    /// A hundred places for each unit of weight make loads even to a per cent. More places: fewer keys that move
    /// without need, more time and memory (4 bytes each). Of a host whose weight is less than one place, there may be
    /// none in the table.
    #[must_use]
    pub fn table_size(mut self, places: u32) -> Self {
        self.size = next_prime(places.min(LARGEST));
        self
    }
}

impl Policy for Maglev {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let hosts = Hosts::of(candidates);
        let table = Table::of(candidates, &hosts, self.size);
        self.settings.picker(candidates, hosts, table)
    }

    /// A key has one place for all clients.
    fn is_by_identity(&self) -> bool {
        true
    }

    fn changes(&self) -> Option<Changes> {
        self.settings.changes()
    }
}

/// The host of each place.
#[derive(Debug)]
struct Table(Box<[Host]>);

const NOBODY: Host = Host(u32::MAX);

impl Table {
    fn of(candidates: &Candidates, hosts: &Hosts, size: u32) -> Self {
        if hosts.len() == 0 {
            return Self(Box::default());
        }
        let size = u64::from(size);
        let mut table = vec![NOBODY; size as usize];
        let mut choices: Vec<Choices> = placements(candidates)
            .map(|placement| Choices::of(key_hash(placement.as_str().as_bytes()), size))
            .collect();
        let mut turns = Turns::of(hosts);
        for _ in 0..size {
            let host = turns.next();
            if let Some(choices) = choices.get_mut(host.0 as usize) {
                choices.take(&mut table, host);
            }
        }
        Self(table.into())
    }

    #[inline]
    fn place(&self, hash: u64) -> usize {
        scale(hash, self.0.len() as u64) as usize
    }
}

impl Order for Table {
    const NAME: &'static str = "Maglev";

    #[inline]
    fn first(&self, hash: u64) -> Option<Host> {
        self.0.get(self.place(hash)).copied()
    }

    fn first_such(&self, hash: u64, mut such: impl FnMut(Host) -> bool) -> Option<Host> {
        let (before, from) = self.0.split_at_checked(self.place(hash))?;
        from.iter().chain(before).copied().find(|host| such(*host))
    }
}

/// The places of a table in the order in which a host wants them.
#[derive(Debug)]
struct Choices {
    next: u64,
    skip: u64,
    size: u64,
}

impl Choices {
    fn of(hash: u64, size: u64) -> Self {
        Self {
            next: scale(hash, size),
            skip: 1 + scale(next_entropy(hash), size - 1),
            size,
        }
    }

    /// Takes the first of them that is free, of which there is one.
    fn take(&mut self, table: &mut [Host], host: Host) {
        // The size is prime, so the choices are all places, each once.
        for _ in 0..self.size {
            let place = table.get_mut(self.next as usize);
            self.next += self.skip;
            if self.next >= self.size {
                self.next -= self.size;
            }
            if let Some(free) = place.filter(|place| **place == NOBODY) {
                *free = host;
                return;
            }
        }
    }
}

/// Who has a turn when, by weight.
#[derive(Debug)]
enum Turns {
    /// Each in turn.
    Equal { next: u32, hosts: u32 },
    /// Each when it is due: (time, host), with the number of the turn and the weight.
    Weighted(BinaryHeap<Reverse<(u64, u32, u64, u32)>>),
}

impl Turns {
    fn of(hosts: &Hosts) -> Self {
        match hosts.unequal_weights() {
            None => Self::Equal {
                next: 0,
                hosts: hosts.len() as u32,
            },
            Some(_) => {
                let first = |host: Host| {
                    Reverse((due(1, hosts.weight(host)), host.0, 1, hosts.weight(host)))
                };
                let weighty = hosts.iter().filter(|host| hosts.weight(*host) > 0);
                Self::Weighted(weighty.map(first).collect())
            }
        }
    }

    fn next(&mut self) -> Host {
        match self {
            Self::Equal { next, hosts } => {
                let host = *next;
                *next = if host + 1 == *hosts { 0 } else { host + 1 };
                Host(host)
            }
            Self::Weighted(heap) => {
                let Some(mut top) = heap.peek_mut() else {
                    return NOBODY;
                };
                let Reverse((_, host, turn, weight)) = *top;
                *top = Reverse((due(turn + 1, weight), host, turn + 1, weight));
                Host(host)
            }
        }
    }
}

/// When a host of this weight has its `turn`.
fn due(turn: u64, weight: u32) -> u64 {
    (turn << 32) / u64::from(weight.max(1))
}

/// A number from 0 to `n` − 1, from 64 bits.
#[inline]
fn scale(hash: u64, n: u64) -> u64 {
    ((u128::from(hash) * u128::from(n)) >> 64) as u64
}

fn next_prime(from: u32) -> u32 {
    let is_prime = |n: &u32| (2..=n.isqrt()).all(|divisor| !n.is_multiple_of(divisor));
    (from.max(2)..).find(is_prime).unwrap_or(SIZE)
}
