//! What has been learnt, for readers that never wait.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sync::{AtomicU64, Ordering, fence};

/// Routes and where they lead, so many at most: each has one slot that it may be in, and one that is learnt
/// later takes the slot of the one before.
///
/// Readers take no lock. A slot has a version that is odd while somebody writes; a reader that meets a writer
/// has not learnt the route yet, and does not wait to learn it. Writers take turns.
#[derive(Debug)]
pub(super) struct Table {
    slots: Box<[Slot]>,
    /// The epochs of the slots; `None` where none was told.
    epochs: Mutex<Box<[Option<u64>]>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// 0: nothing was ever learnt here.
    version: AtomicU64,
    route: AtomicU64,
    place: AtomicU64,
}

impl Slot {
    /// By one writer at a time. The version only ever goes up: a reader must not find the same one again.
    fn write(&self, route: u64, place: u64) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        // Whoever sees what is written sees the odd version, too.
        fence(Ordering::Release);
        self.route.store(route, Ordering::Relaxed);
        self.place.store(place, Ordering::Relaxed);
        self.version.store(version + 2, Ordering::Release);
    }
}

/// What became of something that was to be learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Learnt {
    /// It is gone by from now on.
    New,
    /// It was known.
    Known,
    /// What is known is of a later epoch.
    Outdated,
    /// It is of no key and of no shard, or only for this once.
    Nothing,
}

impl Table {
    /// A table of so many slots, rounded up to a power of two.
    pub(super) fn new(slots: usize) -> Self {
        let slots = slots.clamp(1, MAX_SLOTS).next_power_of_two();
        Self {
            slots: (0..slots).map(|_| Slot::default()).collect(),
            epochs: Mutex::new(vec![None; slots].into()),
        }
    }

    pub(super) fn find(&self, route: u64) -> Option<u64> {
        let slot = self.slots.get(self.position(route))?;
        let version = slot.version.load(Ordering::Acquire);
        let (found, place) = (
            slot.route.load(Ordering::Relaxed),
            slot.place.load(Ordering::Relaxed),
        );
        // What was read before is of that version only if it is still the same afterwards.
        fence(Ordering::Acquire);
        let is_whole = version != 0
            && version.is_multiple_of(2)
            && slot.version.load(Ordering::Relaxed) == version;
        (is_whole && found == route && place != NOWHERE).then_some(place)
    }

    pub(super) fn learn(&self, route: u64, place: u64, epoch: Option<u64>) -> Learnt {
        let position = self.position(route);
        let mut epochs = self.epochs();
        let (Some(slot), Some(known)) = (self.slots.get(position), epochs.get_mut(position)) else {
            return Learnt::Outdated;
        };
        let version = slot.version.load(Ordering::Relaxed);
        if version != 0 && slot.route.load(Ordering::Relaxed) == route {
            // What bears no epoch cannot be newer than what bears one.
            if epoch < *known {
                return Learnt::Outdated;
            }
            if slot.place.load(Ordering::Relaxed) == place {
                *known = epoch;
                return Learnt::Known;
            }
        }
        *known = epoch;
        slot.write(route, place);
        Learnt::New
    }

    /// Forgets all, for a map that is newer than everything learnt.
    pub(super) fn clear(&self) {
        let mut epochs = self.epochs();
        for (slot, epoch) in self.slots.iter().zip(&mut *epochs) {
            if slot.version.load(Ordering::Relaxed) != 0 {
                *epoch = None;
                slot.write(0, NOWHERE);
            }
        }
    }

    fn position(&self, route: u64) -> usize {
        // Numbers of shards are dense, and have a slot each where there are as many; hashes are mixed already.
        route as usize & (self.slots.len() - 1)
    }

    fn epochs(&self) -> MutexGuard<'_, Box<[Option<u64>]>> {
        // An epoch is whole whoever panicked while holding it.
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No place at all. (One whose hash this happens to be cannot be learnt.)
pub(super) const NOWHERE: u64 = u64::MAX;

/// 24 MiB of slots, and 16 of epochs.
const MAX_SLOTS: usize = 1 << 20;
