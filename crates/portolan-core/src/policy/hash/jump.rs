//! Jump consistent hash: no table at all, over places that are numbered.

use std::sync::Arc;

use super::{
    host::{Host, Hosts, groups},
    order::Order,
    settings::{Settings, common_settings},
};
use crate::{
    Candidates, Picker, Policy,
    policy::{Changes, random::next_entropy},
};

/// Keys over the ordinals of a StatefulSet, each with exactly as many as the next (Lamping, Veach 2014).
///
/// The place of a key is computed from its hash and the number of places. With one place more, each place gives
/// an equal part of its keys to the new one, and nothing else moves; only the last place can be taken away. So it
/// is for Pods that are numbered, and numbered they must be: no key belongs to an endpoint without an
/// [ordinal](crate::Endpoint::ordinal), nor to the second of two placements with the same one. Weights do not count,
/// but for a bound.
///
/// **A place whose Pod is away keeps its keys: their requests wait** for it, as long as requests wait, and one that
/// has been tried there goes to nobody else, since nobody else has what belongs to the key. Where any Pod may serve
/// any key, as in a cache, [`bounded_load`](Self::bounded_load) says so (with an infinite factor, without bounding
/// anything): then what is too much, has been tried, or is away goes to the next place, which is that of the key's
/// hash hashed again.
///
/// ```
/// use portolan_core::policy::JumpHash;
///
/// let eight = JumpHash::over(8);
/// # let _: &dyn portolan_core::Policy = &eight;
/// ```
#[derive(Clone, Debug, Default)]
pub struct JumpHash {
    places: Option<u32>,
    start: u32,
    settings: Settings,
}

common_settings!(JumpHash);

impl JumpHash {
    /// Over as many places as the highest ordinal says that is there.
    ///
    /// While the last Pod of all is away, there is one place less, and its keys are with others. Where that must
    /// not be, say [how many](Self::over) there are.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Over this many places. None at all is as one.
    #[must_use]
    pub fn over(places: u32) -> Self {
        Self {
            places: Some(places.max(1)),
            ..Self::default()
        }
    }

    /// Sets the first ordinal, which the StatefulSet has in `spec.ordinals.start`. Default: 0.
    #[must_use]
    pub fn starting_at(mut self, ordinal: u32) -> Self {
        self.start = ordinal;
        self
    }
}

impl Policy for JumpHash {
    fn build(&self, candidates: &Candidates) -> Arc<dyn Picker> {
        let mut there: Vec<(u32, Host)> = (0..)
            .map(Host)
            .zip(groups(candidates))
            .filter_map(|(host, group)| {
                let ordinal = group.first()?.endpoint.ordinal()?;
                Some((ordinal.checked_sub(self.start)?, host))
            })
            .collect();
        there.sort_unstable();
        there.dedup_by_key(|(place, _)| *place);
        let highest = there.last().map_or(0, |(place, _)| *place);
        let places = self.places.unwrap_or(highest.saturating_add(1));
        there.retain(|(place, _)| *place < places);
        let order = Places {
            places,
            there: there.into(),
            strict: self.settings.bound.is_none(),
        };
        self.settings
            .picker(candidates, Hosts::of(candidates), order)
    }

    /// A key has one place for all clients.
    fn is_by_identity(&self) -> bool {
        true
    }

    fn changes(&self) -> Option<Changes> {
        self.settings.changes()
    }
}

/// Who is at which place.
#[derive(Debug)]
struct Places {
    places: u32,
    /// In order, each once.
    there: Box<[(u32, Host)]>,
    strict: bool,
}

/// How often a key is hashed again before all places are gone through.
const JUMPS: usize = 64;

impl Places {
    fn at(&self, place: u32) -> Option<Host> {
        // Where nobody is away, the list is as long as there are places.
        match self.there.get(place as usize) {
            Some((there, host)) if *there == place => Some(*host),
            _ => {
                let found = self.there.binary_search_by_key(&place, |(place, _)| *place);
                let (_, host) = self.there.get(found.ok()?)?;
                Some(*host)
            }
        }
    }
}

impl Order for Places {
    const NAME: &'static str = "JumpHash";

    #[inline]
    fn first(&self, hash: u64) -> Option<Host> {
        self.at(jump(hash, self.places))
    }

    fn first_such(&self, hash: u64, mut such: impl FnMut(Host) -> bool) -> Option<Host> {
        let hashes = std::iter::successors(Some(hash), |hash| Some(next_entropy(*hash)));
        let jumped = hashes
            .take(JUMPS)
            .filter_map(|hash| self.at(jump(hash, self.places)))
            .find(|host| such(*host));
        jumped.or_else(|| {
            let mut all = self.there.iter().map(|(_, host)| *host);
            all.find(|host| such(*host))
        })
    }

    fn is_strict(&self) -> bool {
        self.strict
    }
}

/// The place of a hash among so many: Lamping and Veach's "A Fast, Minimal Memory, Consistent Hash Algorithm".
///
/// It divides in floating point, which IEEE 754 defines to the last bit: it is the same on every machine.
#[inline]
pub(crate) fn jump(hash: u64, places: u32) -> u32 {
    let (mut hash, mut place, mut next) = (hash, 0, 0);
    while next < u64::from(places) {
        place = next;
        hash = hash.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let fraction = (1_u64 << 31) as f64 / ((hash >> 33) + 1) as f64;
        next = ((place + 1) as f64 * fraction) as u64;
    }
    place as u32
}
