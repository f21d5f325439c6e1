//! The weights of the endpoints, as they report them, and when they are looked at again.
//!
//! Going round all of 10,000 endpoints takes a millisecond or so, and no request should be the one that pays for it.
//! So the round is spread over the period: each pick that finds a part of it due does that part. Picks that come
//! when somebody else is at it go on with the weights as they are: each of them is meaningful by itself.

use std::sync::{Mutex, TryLockError};

use super::Settings;
use crate::{
    Candidates, ReportedBusyness, Time,
    sync::{AtomicU32, AtomicU64, Ordering},
    time::saturating_nanos,
};

/// The share of the endpoint that takes a turn in every round.
pub(super) const FULL: u32 = 1 << 16;
/// More than so many times the mean nobody gets.
const MOST: f32 = 10.0;
/// Less than this part of the mean nobody gets.
const LEAST: f32 = 0.01;
/// So many endpoints are looked at in one go.
const PART: usize = 64;

#[derive(Debug)]
pub(super) struct Weights {
    settings: Settings,
    /// A weight each, as the bits of a float; 0 where nothing that counts is reported.
    reported: Box<[AtomicU32]>,
    /// High half: the mean. Low half: the weight that a full share is. 0 where all are alike.
    scale: AtomicU64,
    /// When the next part is to be looked at.
    due: AtomicU64,
    /// Whoever finds it taken goes on: nobody waits for it.
    round: Mutex<Round>,
}

/// How far the round has come.
#[derive(Debug, Default)]
struct Round {
    next: usize,
    sum: f64,
    heaviest: f32,
    reporting: usize,
}

/// Who reports, for explanations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reporters {
    TooFew,
    /// So many, whose weights are from and to so many times the mean.
    Some {
        count: usize,
        least: f32,
        most: f32,
    },
}

impl Weights {
    /// Those of these endpoints, as they were at a time that a former picker knew, or the origin of time.
    pub(super) fn of(candidates: &Candidates, settings: Settings, looked: Time) -> Self {
        let this = Self {
            settings,
            reported: candidates.iter().map(|_| AtomicU32::new(0)).collect(),
            scale: AtomicU64::new(0),
            due: AtomicU64::new(looked.as_nanos()),
            round: Mutex::default(),
        };
        if looked != Time::ORIGIN {
            this.go_on(&mut Round::default(), candidates, looked, usize::MAX);
        }
        this
    }

    /// Of this many of [`FULL`] turns the endpoint takes.
    #[inline]
    pub(super) fn share(&self, position: usize) -> u32 {
        let Some((mean, full)) = unpack(self.scale.load(Ordering::Relaxed)) else {
            return FULL;
        };
        let reported = self.reported(position).unwrap_or(mean);
        let weight = reported.clamp(mean * LEAST, full);
        // At least one: a share of none would never be heard of again.
        ((weight / full * FULL as f32) as u32).clamp(1, FULL)
    }

    /// Looks at the weights that are due. Whether any were.
    #[inline]
    pub(super) fn look(&self, candidates: &Candidates, now: Time) -> bool {
        let due = self.due.load(Ordering::Relaxed);
        let period = saturating_nanos(self.settings.period);
        // Within the next period: not yet. Later than that no moment is set, so the clock is another one.
        let ahead = due.wrapping_sub(now.as_nanos());
        if ahead.wrapping_sub(1) < period {
            return false;
        }
        self.look_now(candidates, now, due)
    }

    #[cold]
    fn look_now(&self, candidates: &Candidates, now: Time, due: u64) -> bool {
        let mut round = match self.round.try_lock() {
            Ok(round) => round,
            Err(TryLockError::Poisoned(round)) => round.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let parts = candidates.len().div_ceil(PART).max(1);
        let between = (saturating_nanos(self.settings.period) / parts as u64).max(1);
        let late = now.as_nanos().saturating_sub(due);
        let parts = usize::try_from(late / between + 1).map_or(parts, |due| due.min(parts));
        let next = now.as_nanos().saturating_add(between);
        self.due.store(next, Ordering::Relaxed);
        self.go_on(&mut round, candidates, now, parts.saturating_mul(PART));
        true
    }

    /// Goes on with the round, over so many endpoints or to its end.
    fn go_on(&self, round: &mut Round, candidates: &Candidates, now: Time, many: usize) {
        let rest = candidates.as_slice().iter().zip(&self.reported);
        for (one, reported) in rest.skip(round.next).take(many) {
            let told = one.state.reported_busyness();
            let weight = told.and_then(|told| self.settings.weight(&told, now));
            reported.store(weight.map_or(0, f32::to_bits), Ordering::Relaxed);
            round.next += 1;
            if let Some(weight) = weight {
                round.sum += f64::from(weight);
                round.heaviest = round.heaviest.max(weight);
                round.reporting += 1;
            }
        }
        if round.next >= candidates.len() {
            self.scale.store(round.scale(), Ordering::Relaxed);
            *round = Round::default();
        }
    }

    fn reported(&self, position: usize) -> Option<f32> {
        let bits = self.reported.get(position)?.load(Ordering::Relaxed);
        (bits != 0).then(|| f32::from_bits(bits))
    }

    pub(super) fn reporters(&self) -> Reporters {
        let Some((mean, _)) = unpack(self.scale.load(Ordering::Relaxed)) else {
            return Reporters::TooFew;
        };
        let (mut count, mut least, mut most) = (0, f32::INFINITY, 0.0_f32);
        for weight in (0..self.reported.len()).filter_map(|position| self.reported(position)) {
            count += 1;
            least = least.min(weight / mean);
            most = most.max(weight / mean);
        }
        match count {
            0 | 1 => Reporters::TooFew,
            count => Reporters::Some { count, least, most },
        }
    }
}

impl Round {
    fn scale(&self) -> u64 {
        // One alone has nobody to be compared with (gRFC A58).
        if self.reporting < 2 {
            return 0;
        }
        let mean = (self.sum / self.reporting as f64) as f32;
        let full = self.heaviest.min(mean * MOST).max(mean);
        u64::from(mean.to_bits()) << 32 | u64::from(full.to_bits())
    }
}

fn unpack(scale: u64) -> Option<(f32, f32)> {
    (scale != 0).then(|| {
        (
            f32::from_bits((scale >> 32) as u32),
            f32::from_bits(scale as u32),
        )
    })
}

impl Settings {
    /// The weight by what an endpoint said, where that counts now.
    fn weight(&self, told: &ReportedBusyness, now: Time) -> Option<f32> {
        let counts = now.since(told.at) < self.expiry && now.since(told.since) >= self.blackout;
        let requests = told.requests_per_second.value();
        let failing = told.errors_per_second.value() / requests * self.error_penalty;
        let weight = requests / (told.utilization.value() + failing);
        // Whatever the quotient, it stays a number that can be added up.
        counts.then(|| weight.clamp(1e-15, 1e15) as f32)
    }
}
