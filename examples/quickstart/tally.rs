//! What became of the requests.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::Result;

/// Counts requests, by Pod.
#[derive(Debug)]
pub(crate) struct Tally {
    started: Instant,
    counts: Mutex<Counts>,
    empty: Histogram<u64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) pods: BTreeMap<String, Pod>,
    pub(crate) failures: u64,
    pub(crate) first_failure: Option<String>,
}

/// What one Pod, by name, has answered.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) requests: u64,
    pub(crate) latency_micros: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            started: Instant::now(),
            counts: Mutex::default(),
            // Up to a minute, to three digits.
            empty: Histogram::new_with_max(60_000_000, 3)?,
        })
    }

    pub(crate) fn answered(&self, pod: &str, took: Duration) {
        let mut counts = self.lock();
        let pod = match counts.pods.get_mut(pod) {
            Some(pod) => pod,
            None => counts.pods.entry(pod.to_owned()).or_insert_with(|| Pod {
                requests: 0,
                latency_micros: self.empty.clone(),
            }),
        };
        pod.requests += 1;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        pod.latency_micros.saturating_record(micros);
    }

    pub(crate) fn failed(&self, error: String) {
        let mut counts = self.lock();
        counts.failures += 1;
        counts.first_failure.get_or_insert(error);
    }

    pub(crate) fn failures(&self) -> u64 {
        self.lock().failures
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
        self.pods.values().map(|pod| pod.requests).sum()
    }
}
