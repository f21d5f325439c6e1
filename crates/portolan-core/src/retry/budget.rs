//! What share of all requests may be retries.
//!
//! Where every request fails, retries multiply the load by how often each is retried, and keep down what is
//! down. A budget bounds that whatever the number of tries: a share of the requests of late, and a floor for those who
//! send few (Finagle's `RetryBudget`).
//!
//! A request that goes well costs the budget nothing: how many there were is counted for each endpoint anyway, and
//! whoever drives the budget [tells](RetryTokens::refill) it once a second.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    InvalidSetting, Time,
    setting::expect,
    sync::{AtomicU64, Ordering},
};

/// How large the budget is.
///
/// ```
/// use portolan_core::retry::RetryBudget;
/// let tight = RetryBudget::new(0.1, 1);
/// assert!(tight.check().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryBudget {
    /// What share of the requests may be sent again. Default: 0.2, as Finagle and Envoy have it: in the worst case, a
    /// fifth more load.
    pub share: f64,
    /// How many a second may be in any case. Default: 10, as Finagle has it; of three requests a second, a fifth
    /// would be less than one.
    pub per_second: u32,
    /// Of how long ago requests count. Default: 10 s, as Finagle has it. What is not used by then is lost, so that a
    /// quiet day does not pay for a storm.
    pub window: Duration,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            share: 0.2,
            per_second: 10,
            window: Duration::from_secs(10),
        }
    }
}

impl RetryBudget {
    /// This share of the requests, and so many a second in any case.
    #[must_use]
    pub fn new(share: f64, per_second: u32) -> Self {
        Self {
            share,
            per_second,
            ..Self::default()
        }
    }

    /// Sets the [window](Self::window).
    #[must_use]
    pub fn with_window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// The first setting that does not, and what was expected of it.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        expect(
            (0.0..=1.0).contains(&self.share),
            "retry.budget.share",
            &self.share,
            "expected a share from 0 to 1",
        )?;
        let window = Duration::from_secs(1)..=Duration::from_secs(3600);
        expect(
            window.contains(&self.window),
            "retry.budget.window",
            &self.window,
            "expected a second to an hour",
        )
    }
}

/// What is left of a [`RetryBudget`].
///
/// ```
/// use portolan_core::{Time, retry::{RetryBudget, RetryTokens}};
///
/// let tokens = RetryTokens::new(RetryBudget::new(0.0, 1), Time::ORIGIN);
/// // One a second, of the last 10 s.
/// assert_eq!((0..100).filter(|_| tokens.take()).count(), 10);
/// ```
#[derive(Debug)]
pub struct RetryTokens {
    budget: RetryBudget,
    /// In thousandths.
    left: AtomicU64,
    taken: AtomicU64,
    refused: AtomicU64,
    /// What was put in of late. Nobody but the one who refills it comes here.
    deposits: Mutex<Deposits>,
}

#[derive(Debug)]
struct Deposits {
    last: Time,
    /// How many retries have been told apart from first tries.
    taken: u64,
    of_late: VecDeque<(Time, u64)>,
}

const WHOLE: u64 = 1000;

impl RetryTokens {
    /// With what the floor puts in over a whole window.
    #[must_use]
    pub fn new(budget: RetryBudget, now: Time) -> Self {
        let floor = f64::from(budget.per_second) * budget.window.as_secs_f64();
        let first = (floor * WHOLE as f64) as u64;
        Self {
            budget,
            left: AtomicU64::new(first),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            deposits: Mutex::new(Deposits {
                last: now,
                taken: 0,
                of_late: VecDeque::from([(now, first)]),
            }),
        }
    }

    /// Takes one retry, if there is one left.
    pub fn take(&self) -> bool {
        let took = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(WHOLE)
            })
            .is_ok();
        let counter = if took { &self.taken } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        took
    }

    /// Puts one back that was taken and not used.
    pub fn put_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        self.left.fetch_add(WHOLE, Ordering::Relaxed);
    }

    /// How many retries there were.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many there were not, because there was none left.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed) / WHOLE
    }

    /// Puts in what so many requests since the last time are worth, retries among them, and the time that has gone by;
    /// what was put in a window ago, and not used, is lost.
    pub fn refill(&self, requests: u64, now: Time) {
        let mut deposits = self.deposits.lock().unwrap_or_else(PoisonError::into_inner);
        // A retry is no reason for another, whenever it ends.
        let retries = self.taken().saturating_sub(deposits.taken).min(requests);
        let first_tries = requests - retries;
        let elapsed = now.since(deposits.last).min(self.budget.window);
        let worth = self.budget.share * first_tries as f64
            + f64::from(self.budget.per_second) * elapsed.as_secs_f64();
        let worth = (worth * WHOLE as f64) as u64;
        deposits.last = now;
        deposits.taken += retries;
        deposits.of_late.push_back((now, worth));
        while let Some((put_in, _)) = deposits.of_late.front()
            && now.since(*put_in) >= self.budget.window
        {
            deposits.of_late.pop_front();
        }
        let most = deposits.of_late.iter().map(|(_, worth)| worth).sum();
        self.left.fetch_add(worth, Ordering::Relaxed);
        self.left.fetch_min(most, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
