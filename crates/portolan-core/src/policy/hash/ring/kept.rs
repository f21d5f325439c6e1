//! A ring from the ring before it, where few hosts differ.
//!
//! Whoever builds a picker shows all candidates each time. Most of them are those of the time before, and so are
//! their points: these are taken over as they stand, but for those of hosts that are new or gone. What comes of it
//! is the ring that would have been built, to the last bit.
//!
//! Rings are kept only for as long as some picker uses them: while one is built, its predecessor is in use. A policy
//! may serve several balancers, or the zones of one, so there are a few, and the likest is taken.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::{
    super::{
        host::{Host, Hosts, placements},
        key_hash,
    },
    edit::Edit,
    points::{MOST, Point, Ring},
};
use crate::{Candidates, Placement, policy::random::next_entropy};

/// How many rings are kept in sight.
const RINGS: usize = 8;

/// Where more than one host in so many differs, the ring is built anew.
const FEW: usize = 8;

/// The rings that are in use.
#[derive(Default)]
pub(in super::super) struct Kept(Mutex<Vec<Weak<Named>>>);

/// A ring, and whose points it has.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Named {
    ring: Ring,
    names: Box<[(Placement, Share)]>,
}

/// How many points a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share(u32);

impl Share {
    pub(super) fn points(self) -> u32 {
        self.0
    }

    /// The share of each host, with so many points for each unit of weight, unless that is too many.
    pub(super) fn of_each(hosts: &Hosts, points: u32) -> Box<[Self]> {
        let due = |host| u64::from(hosts.weight(host)) * u64::from(points);
        let all: u64 = hosts.iter().map(due).fold(0, u64::saturating_add);
        let mut halvings = 0;
        while all >> halvings > MOST {
            halvings += 1;
        }
        let share = |host| match due(host) {
            0 => Self(0),
            due => Self((due >> halvings).max(1) as u32),
        };
        hosts.iter().map(share).collect()
    }
}

impl Named {
    #[inline]
    pub(super) fn ring(&self) -> &Ring {
        &self.ring
    }

    fn build(names: Box<[(Placement, Share)]>) -> Self {
        let all = names.iter().map(|(_, share)| share.points() as usize).sum();
        let mut points = Vec::with_capacity(all);
        for (host, (placement, share)) in (0..).map(Host).zip(&names) {
            points.extend(points_of(placement, *share, host));
        }
        Self {
            ring: Ring::of(&points),
            names,
        }
    }

    /// The ring of these hosts, from this one, where they differ from its hosts by that.
    fn derive(&self, names: Box<[(Placement, Share)]>, difference: Difference) -> Self {
        let edit = Edit {
            gone: points_of_some(&self.names, &difference.removed),
            added: points_of_some(&names, &difference.added),
            numbers: difference.numbers,
        };
        Self {
            ring: edit.apply(&self.ring),
            names,
        }
    }
}

fn points_of_some(names: &[(Placement, Share)], hosts: &[Host]) -> Vec<Point> {
    let named = hosts
        .iter()
        .filter_map(|host| Some((*host, names.get(host.0 as usize)?)));
    named
        .flat_map(|(host, (placement, share))| points_of(placement, *share, host))
        .collect()
}

fn points_of(
    placement: &Placement,
    share: Share,
    host: Host,
) -> impl Iterator<Item = Point> + use<> {
    let seed = key_hash(placement.as_str().as_bytes());
    (0..u64::from(share.points())).map(move |number| {
        // The state of SplitMix64 goes up by the same step each time.
        let state = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Point::new(next_entropy(state), host)
    })
}

/// How two lists of hosts differ. Both are in the order of their placement; where they are not, more seems to differ.
#[derive(Debug, Default)]
struct Difference {
    /// The new number of each old host; where it is removed, zero.
    numbers: Vec<Host>,
    /// The new hosts that are not among the old ones, or have another share.
    added: Vec<Host>,
    /// The old hosts that are not there any more, or have another share.
    removed: Vec<Host>,
}

impl Difference {
    /// None where they differ by more than so many.
    fn of(old: &[(Placement, Share)], new: &[(Placement, Share)], most: usize) -> Option<Self> {
        let mut difference = Self {
            numbers: Vec::with_capacity(old.len()),
            ..Self::default()
        };
        let mut old = old.iter().peekable();
        for (host, (placement, share)) in (0..).map(Host).zip(new) {
            while old.next_if(|(one, _)| one < placement).is_some() {
                difference.remove();
            }
            match old.next_if(|(one, _)| one == placement) {
                Some((_, same)) if same == share => difference.numbers.push(host),
                Some(_) => {
                    difference.remove();
                    difference.added.push(host);
                }
                None => difference.added.push(host),
            }
            if difference.changes() > most {
                return None;
            }
        }
        old.for_each(|_| difference.remove());
        (difference.changes() <= most).then_some(difference)
    }

    fn remove(&mut self) {
        self.removed.push(Host(self.numbers.len() as u32));
        self.numbers.push(Host(0));
    }

    fn changes(&self) -> usize {
        self.added.len() + self.removed.len()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

impl Kept {
    /// The ring of these candidates, with the usual number of points.
    #[cfg(test)]
    pub(in super::super) fn ring_of(&self, candidates: &Candidates) -> Arc<Named> {
        self.ring(
            Share::of_each(&Hosts::of(candidates), super::POINTS),
            candidates,
        )
    }

    /// The ring of these hosts, with these shares.
    pub(super) fn ring(&self, shares: Box<[Share]>, candidates: &Candidates) -> Arc<Named> {
        let names: Box<[_]> = placements(candidates).cloned().zip(shares).collect();
        let in_use: Vec<Arc<Named>> = {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.iter().filter_map(Weak::upgrade).collect()
        };
        let most = names.len() / FEW;
        let likest = in_use
            .iter()
            .filter_map(|ring| Some((ring, Difference::of(&ring.names, &names, most)?)))
            .min_by_key(|(_, difference)| difference.changes());
        let ring = match likest {
            Some((ring, difference)) if difference.changes() == 0 => return Arc::clone(ring),
            Some((ring, difference)) => Arc::new(ring.derive(names, difference)),
            None => Arc::new(Named::build(names)),
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|ring| ring.strong_count() > 0);
        if kept.len() >= RINGS {
            kept.remove(0);
        }
        kept.push(Arc::downgrade(&ring));
        ring
    }
}
