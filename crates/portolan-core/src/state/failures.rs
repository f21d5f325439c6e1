//! Failures in a row, and who is told of them.

use std::{sync::OnceLock, task::Waker};

use super::Outcome;
use crate::sync::{AtomicU32, Ordering};

/// How many requests have failed since the last success: the low half counts all, the high half those that
/// were answered. Both in one word, so that a success looks at one, and both end together.
#[derive(Debug, Default)]
pub(super) struct InARow(AtomicU32);

const MOST: u32 = u16::MAX as u32;

impl InARow {
    pub(super) fn now(&self) -> Counts {
        Counts(self.0.load(Ordering::Relaxed))
    }

    /// A success.
    #[inline]
    pub(super) fn end(&self) {
        // Read before write: a healthy endpoint's line is not dirtied once more per request.
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// A failure of this kind. How many there are with it: of failures that come together, each has its own count.
    pub(super) fn add(&self, outcome: Outcome) -> Counts {
        let answered = u32::from(outcome == Outcome::ErrorResponse);
        // Only what fails comes here, so a loop is cheap enough. Error responses are never more than all.
        let mut counts = self.0.load(Ordering::Relaxed);
        while counts & MOST < MOST {
            let more = counts + 1 + (answered << 16);
            match self
                .0
                .compare_exchange_weak(counts, more, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Counts(more),
                Err(found) => counts = found,
            }
        }
        Counts(counts)
    }
}

/// How many in a row, at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts(u32);

impl Counts {
    pub(super) fn all(self) -> u32 {
        self.0 & MOST
    }

    pub(super) fn error_responses(self) -> u32 {
        self.0 >> 16
    }
}

/// Wakes whoever looks after the endpoints when so many requests in a row have failed at one.
///
/// A request that succeeds never looks at it. One that fails does, and wakes at every so many failures, not at
/// each: whoever was woken and did nothing is not woken a thousand times a second.
///
/// ```
/// use portolan_core::{Endpoint, EndpointState, Measurement, Outcome, Placement};
/// use std::{sync::Arc, task::Waker};
///
/// let endpoint = Endpoint::new(Placement::new("db-0"), "10.0.0.1:80".parse().unwrap());
/// let state = EndpointState::new(Arc::new(endpoint), Measurement::default());
/// state.alarm().connect(Waker::noop());
/// state.alarm().set(5, 5);
/// state.record_untimed(Outcome::ErrorResponse);
/// assert_eq!(state.consecutive_error_responses(), 1);
/// ```
#[derive(Debug, Default)]
pub struct FailureAlarm {
    /// After how many failures without an answer, and (high half) after how many error responses; 0 is never.
    limits: AtomicU32,
    waker: OnceLock<Waker>,
}

impl FailureAlarm {
    /// Says who is woken. The first one who says so is, for as long as the state lives.
    pub fn connect(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    /// Says after how many failures in a row that is: of those that were not answered, and of those that were.
    /// 0 is never.
    pub fn set(&self, unanswered: u16, error_responses: u16) {
        let limits = u32::from(unanswered) | u32::from(error_responses) << 16;
        self.limits.store(limits, Ordering::Relaxed);
    }

    pub(super) fn look(&self, counts: Counts) {
        let limits = self.limits.load(Ordering::Relaxed);
        if limits == 0 {
            return;
        }
        let errors = counts.error_responses();
        let unanswered = counts.all().saturating_sub(errors);
        let rings = |count: u32, limit: u32| count > 0 && limit > 0 && count.is_multiple_of(limit);
        if (rings(unanswered, limits & MOST) || rings(errors, limits >> 16))
            && let Some(waker) = self.waker.get()
        {
            waker.wake_by_ref();
        }
    }
}
