//! How many requests stay, by how those that stay and those that leave fare.
//!
//! A control loop that multiplies: each second the share that stays is multiplied by what the ratio of the
//! mean latencies should be over what it is, to the power of the time over τ. So it comes to rest where the
//! two are as they should be, or at one of its ends, and the same disturbance takes as long to get over at
//! any share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak},
    time::Duration,
};

use super::plan::THRESHOLD;
use crate::{
    Placement, Time,
    sync::{AtomicU32, AtomicU64, Ordering},
    time::saturating_nanos,
};

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// In what time a difference makes itself felt.
const TAU: Duration = Duration::from_secs(5);
/// The share of requests that go the other way in any case, so that both are known.
const PROBES: f64 = 0.03;
/// How many requests must have been timed on either side for their mean to count.
const ENOUGH: u64 = 8;

/// The controls of the pickers that are in use: one, or one for each of the groups that policies round this one
/// have made. What is learnt of one group holds for that alone.
#[derive(Debug, Default)]
pub(super) struct Controls(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By the name of the first endpoint of the group. Endpoints come and go; the least of their names seldom does.
    groups: BTreeMap<Placement, Vec<Weak<Control>>>,
    /// When there are so many, those are forgotten of which no picker is in use.
    many: usize,
    last: Weak<Control>,
}

/// The share that stays of the requests to a group of endpoints, and what it is decided by.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// In units of 2^-32.
    kept: AtomicU32,
    /// When it is to be looked at again, in nanoseconds since the origin of time.
    due: AtomicU64,
    /// Whoever finds it taken goes on: nobody waits for it.
    memory: Mutex<Memory>,
}

#[derive(Clone, Copy, Debug)]
struct Memory {
    /// The share that sizes alone allow.
    planned: f64,
    kept: f64,
    /// At the last look that counted.
    seen: Option<(Time, Totals)>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            planned: 1.0,
            kept: 1.0,
            seen: None,
        }
    }
}

/// The timed requests so far, here and elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) here: Timed,
    pub(super) elsewhere: Timed,
}

/// Requests, and how long they took together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timed {
    pub(super) requests: u64,
    pub(super) took: Duration,
}

impl Timed {
    pub(super) fn plus(self, (requests, took): (u64, Duration)) -> Self {
        Self {
            requests: self.requests.saturating_add(requests),
            took: self.took.saturating_add(took),
        }
    }

    /// The mean latency since `before`, in seconds, where it means something.
    fn mean_since(self, before: Self) -> Option<f64> {
        // Fewer than before: an endpoint has left, with what it had counted.
        let requests = self.requests.checked_sub(before.requests)?;
        let took = self.took.checked_sub(before.took)?;
        (requests >= ENOUGH).then(|| took.as_secs_f64() / requests as f64)
    }
}

impl Controls {
    /// The control of a group whose first endpoint is of this name, and of which sizes let the `planned` share stay.
    /// It goes on from what was learnt of that group last.
    pub(super) fn begin(&self, first: &Placement, planned: f64, totals: Totals) -> Arc<Control> {
        let mut known = self.lock();
        known.forget_the_dead();
        let group = known.groups.entry(first.clone()).or_default();
        // The former picker is in use until this one takes its place. Of several, that which was asked last.
        let former = group.iter().filter_map(Weak::upgrade);
        let former = former.max_by_key(|control| control.due.load(Ordering::Relaxed));
        let control = Arc::new(Control::following(former.as_deref(), planned, totals));
        group.retain(|control| control.strong_count() > 0);
        group.push(Arc::downgrade(&control));
        known.last = Arc::downgrade(&control);
        control
    }

    /// Zones play no part at present in the group whose first endpoint is of this name, or there are no endpoints.
    pub(super) fn end(&self, first: Option<&Placement>) {
        let mut known = self.lock();
        let group = first.and_then(|first| known.groups.remove(first));
        let was_last = |group: Vec<Weak<Control>>| group.iter().any(|one| one.ptr_eq(&known.last));
        if first.is_none() || group.is_some_and(was_last) {
            known.last = Weak::new();
        }
    }

    /// The share that stays in the group that was made last.
    pub(super) fn kept(&self) -> Option<f64> {
        let last = self.lock().last.upgrade()?;
        Some(f64::from(last.kept.load(Ordering::Relaxed)) / f64::from(u32::MAX))
    }

    /// A panic while the lock was held cannot have left it half changed.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget_the_dead(&mut self) {
        if self.groups.len() >= self.many {
            let is_used =
                |group: &Vec<Weak<Control>>| group.iter().any(|one| one.strong_count() > 0);
            self.groups.retain(|_, group| is_used(group));
            self.many = 2 * self.groups.len().max(8);
        }
    }
}

impl Control {
    /// There are other endpoints: the sizes may say otherwise, what was learnt of load still holds.
    ///
    /// What these endpoints have counted so far is where the next comparison begins: endpoints that have
    /// joined or left would pass for requests that were made or undone.
    fn following(former: Option<&Self>, planned: f64, totals: Totals) -> Self {
        let mut memory = former.map_or_else(Memory::default, |former| {
            *former.memory.lock().unwrap_or_else(PoisonError::into_inner)
        });
        let learnt = memory.kept < memory.planned;
        memory.planned = planned.min(1.0 - PROBES);
        memory.kept = match learnt {
            true => memory.kept.min(memory.planned),
            false => memory.planned,
        };
        memory.seen = memory.seen.map(|(then, _)| (then, totals));
        let due = former.map_or(0, |former| former.due.load(Ordering::Relaxed));
        let this = Self {
            kept: AtomicU32::new(0),
            due: AtomicU64::new(due),
            memory: Mutex::new(memory),
        };
        this.publish(memory.kept);
        this
    }

    /// Whether the request of these bits stays.
    #[inline]
    pub(super) fn stays(&self, bits: u32) -> bool {
        bits <= self.kept.load(Ordering::Relaxed)
    }

    /// Looks at how it goes, if it is time to.
    #[inline]
    pub(super) fn look(&self, now: Time, totals: impl FnOnce() -> Totals) {
        let elapsed = saturating_nanos(now.since(Time::ORIGIN));
        if elapsed >= self.due.load(Ordering::Relaxed) {
            self.decide(now, elapsed, totals);
        }
    }

    #[cold]
    fn decide(&self, now: Time, elapsed: u64, totals: impl FnOnce() -> Totals) {
        let mut memory = match self.memory.try_lock() {
            Ok(memory) => memory,
            Err(TryLockError::Poisoned(memory)) => memory.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let next = elapsed.saturating_add(saturating_nanos(INTERVAL));
        self.due.store(next, Ordering::Relaxed);
        memory.learn(now, totals());
        self.publish(memory.kept);
    }

    fn publish(&self, kept: f64) {
        let kept = (kept * f64::from(u32::MAX)) as u32;
        self.kept.store(kept, Ordering::Relaxed);
    }
}

impl Memory {
    fn learn(&mut self, now: Time, totals: Totals) {
        let Some((then, before)) = self.seen else {
            self.seen = Some((now, totals));
            return;
        };
        let means = (
            totals.here.mean_since(before.here),
            totals.elsewhere.mean_since(before.elsewhere),
        );
        let elapsed = now.since(then);
        let (Some(here), Some(elsewhere)) = means else {
            // Too few: a longer stretch has more. One that is too long says nothing of now.
            if elapsed > 6 * TAU {
                self.seen = Some((now, totals));
            }
            return;
        };
        self.seen = Some((now, totals));
        let gain = (elapsed.as_secs_f64() / TAU.as_secs_f64()).min(1.0);
        let wanted = (1.0 + THRESHOLD) * elsewhere.max(f64::MIN_POSITIVE);
        let factor = (wanted / here.max(f64::MIN_POSITIVE))
            .powf(gain)
            .clamp(0.5, 2.0);
        self.kept = (self.kept * factor).clamp(PROBES, self.planned.max(PROBES));
    }
}
