//! What became of the requests, as their sender sees it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use http::StatusCode;

use crate::Result;

/// Counts requests.
#[derive(Debug)]
pub(crate) struct Tally {
    started: Instant,
    counts: Mutex<Counts>,
}

#[derive(Clone, Debug)]
pub(crate) struct Counts {
    pub(crate) statuses: BTreeMap<StatusCode, u64>,
    /// Not answered, or by an error of the server's.
    pub(crate) failures: u64,
    pub(crate) first_failure: Option<String>,
    /// Not sent, because too many were under way.
    pub(crate) left_out: u64,
    pub(crate) latency_micros: Histogram<u64>,
    requests: u64,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            started: Instant::now(),
            counts: Mutex::new(Counts {
                statuses: BTreeMap::new(),
                failures: 0,
                first_failure: None,
                left_out: 0,
                // Up to a minute, to three digits.
                latency_micros: Histogram::new_with_max(60_000_000, 3)?,
                requests: 0,
            }),
        })
    }

    pub(crate) fn answered(&self, status: StatusCode, took: Duration) {
        let mut counts = self.lock();
        counts.requests += 1;
        *counts.statuses.entry(status).or_default() += 1;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counts.latency_micros.saturating_record(micros);
        if status.is_server_error() {
            counts.fail(|| format!("answered {status}"));
        }
    }

    pub(crate) fn failed(&self, error: impl FnOnce() -> String) {
        let mut counts = self.lock();
        counts.requests += 1;
        counts.fail(error);
    }

    pub(crate) fn left_out(&self) {
        self.lock().left_out += 1;
    }

    /// How many requests have ended, and how many of them badly.
    pub(crate) fn so_far(&self) -> (u64, u64) {
        let counts = self.lock();
        (counts.requests, counts.failures)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// Within how many milliseconds this part of the requests was answered.
    pub(crate) fn latency(&self, quantile: f64) -> f64 {
        self.latency_micros.value_at_quantile(quantile) as f64 / 1e3
    }

    fn fail(&mut self, error: impl FnOnce() -> String) {
        self.failures += 1;
        self.first_failure.get_or_insert_with(error);
    }
}
