//! What the client has measured of one incarnation of an endpoint.

mod failures;
mod in_flight;
mod latency;
mod reported;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{
    Endpoint, Time,
    sync::{AtomicU32, AtomicU64, Ordering},
    time::saturating_nanos,
};
use failures::InARow;
pub(crate) use latency::Expected;
use latency::PeakEwma;
use reported::Reported;

pub use failures::FailureAlarm;
pub use in_flight::InFlight;
pub use reported::{
    LoadReport, LoadReportError, Rate, ReportedBusyness, ReportedQueue, Utilization,
};

/// What the client knows of one incarnation: requests in flight, latency, what became of requests.
///
/// It is a bundle of atomics behind an `Arc`, written by every request and read by pickers, without
/// a lock. It is carried from snapshot to snapshot for as long as the incarnation lives; policies
/// own no measurements, so changing a policy loses none.
///
/// Reads and writes are `Relaxed`: each number is meaningful by itself, and a pick that sees one of
/// them a few nanoseconds late is still a good pick.
#[derive(Debug)]
#[repr(C)] // In this order: what the counters share a line with is what matters.
pub struct EndpointState {
    hot: Hot,
    endpoint: Arc<Endpoint>,
    alarm: FailureAlarm,
    /// What part of its requests it does not get yet, of 2^32: see [`share`](Self::share).
    withheld: AtomicU32,
    /// Where it has reported anything.
    reported: OnceLock<Box<Reported>>,
}

/// What every request of every thread writes to.
///
/// It comes first, right behind the counts of the `Arc`, which every request writes to as well: so a
/// request of one thread waits for one line that another wrote last, not for two. An alignment to whole
/// lines would part them (50 ns a request with two threads).
#[derive(Debug)]
#[repr(C)]
struct Hot {
    in_flight: AtomicU32,
    in_a_row: InARow,
    requests: AtomicU64,
    latency: PeakEwma,
    failures: AtomicU64,
    timed: AtomicU64,
    timed_nanos: AtomicU64,
}

// What is written seldom comes last, and keeps the counters of two endpoints from sharing a line, however they lie: 34 ns
// an increment when they do, 5 when not. More, against processors that fetch lines in pairs, would cost the picks among
// 100,000 endpoints more in missed caches.
//
// With the counts of the `Arc`, a little over two lines.
#[cfg(not(loom))]
const _: () = assert!(size_of::<EndpointState>() + 2 * size_of::<usize>() == 136);

/// How measurements are weighed.
///
/// ```
/// use portolan_core::Measurement;
/// use std::time::Duration;
/// let measurement = Measurement::default().with_decay(Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Measurement {
    /// The time after which an old measurement weighs 1/e. Default: 10 s, as Finagle and tower have
    /// it; shorter forgets a bad moment sooner, longer is steadier at few requests per second.
    pub decay: Duration,
    /// A failure is recorded as a response at least this slow. Default: 1 s. Without it, an
    /// endpoint that fails fast looks like the best one of all.
    pub failure_latency: Duration,
}

impl Default for Measurement {
    fn default() -> Self {
        Self {
            decay: Duration::from_secs(10),
            failure_latency: Duration::from_secs(1),
        }
    }
}

impl Measurement {
    /// Sets the [decay](Self::decay).
    #[must_use]
    pub fn with_decay(mut self, decay: Duration) -> Self {
        self.decay = decay;
        self
    }

    /// Sets the [latency of a failure](Self::failure_latency).
    #[must_use]
    pub fn with_failure_latency(mut self, latency: Duration) -> Self {
        self.failure_latency = latency;
        self
    }
}

/// What became of a request, as far as the endpoint is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The endpoint answered, and the answer does not speak against it.
    Success,
    /// There was no answer: the endpoint broke off, or was too long about it.
    Failure,
    /// The endpoint could not be connected to. That is a failure as any other, but for one thing: it is not
    /// [counted in a row](EndpointState::consecutive_failures). Who cannot be reached is left out until it can be, and
    /// is not to be left out for longer for the same reason.
    Unreachable,
    /// The endpoint answered that it cannot serve: a 503, or UNAVAILABLE. It can be reached, and it is
    /// no success.
    ErrorResponse,
    /// The answer began well, was recorded as a success, and ended badly: the body broke off, or its
    /// trailers say that the call failed.
    Interrupted,
    /// The caller gave up before there was an answer.
    Cancelled,
}

impl EndpointState {
    /// The state of an endpoint of which nothing is known yet.
    #[must_use]
    pub fn new(endpoint: Arc<Endpoint>, measurement: Measurement) -> Self {
        Self {
            hot: Hot {
                in_flight: AtomicU32::new(0),
                in_a_row: InARow::default(),
                requests: AtomicU64::new(0),
                latency: PeakEwma::new(measurement),
                failures: AtomicU64::new(0),
                timed: AtomicU64::new(0),
                timed_nanos: AtomicU64::new(0),
            },
            endpoint,
            alarm: FailureAlarm::default(),
            withheld: AtomicU32::new(0),
            reported: OnceLock::new(),
        }
    }

    /// Whose state it is: the endpoint as it was when first seen. Its placement and address do not
    /// change while the incarnation lives; its conditions, weight and hints may have since, and what only
    /// one of two sources knows, as DNS does not the UID, may have been learnt. How the endpoint is told
    /// now, a [`Candidate`](crate::Candidate) says.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// How many requests are in flight now.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.hot.in_flight.load(Ordering::Relaxed)
    }

    /// The latency to be expected at `now`: a moving average that a slow response raises at once
    /// and that decays with time (Peak EWMA). `None` where nothing has been measured yet.
    ///
    /// Of an endpoint that has not answered yet, it is what callers waited for it in vain, taken
    /// together: as long as nothing is known but that they gave up, the best that can be said.
    ///
    /// It is of each request where the policy [goes by it](crate::Picker::is_timed). Elsewhere it is of a
    /// sample, and a slow response between two samples does not show.
    #[must_use]
    pub fn latency(&self, now: Time) -> Option<Duration> {
        self.hot
            .latency
            .expected(now)
            .map(|expected| Duration::from_nanos(expected.nanos as u64))
    }

    /// What is waited in vain for an endpoint that fails, at least: see [`Measurement::failure_latency`].
    pub(crate) fn failure_latency(&self) -> Duration {
        self.hot.latency.of_failure()
    }

    /// As [`latency`](Self::latency), for the pick path.
    pub(crate) fn expected_latency(&self, now: Time) -> Option<Expected> {
        self.hot.latency.expected(now)
    }

    /// How many requests have ended, well or badly; cancelled ones are not counted.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.hot.requests.load(Ordering::Relaxed)
    }

    /// How many of them failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.hot.failures.load(Ordering::Relaxed)
    }

    /// How many have failed since the last success, however they did, but for those that
    /// [could not reach](Outcome::Unreachable) the endpoint. It counts to 65,535.
    #[must_use]
    pub fn consecutive_failures(&self) -> u32 {
        self.hot.in_a_row.now().all()
    }

    /// How many of those were [answers](Outcome::ErrorResponse). The rest were not answered.
    #[must_use]
    pub fn consecutive_error_responses(&self) -> u32 {
        self.hot.in_a_row.now().error_responses()
    }

    /// Who is told when failures come in a row.
    #[must_use]
    pub fn alarm(&self) -> &FailureAlarm {
        &self.alarm
    }

    /// What part of the requests that a policy would give it the endpoint gets now, from 0 to 1: less than
    /// all while it [starts slowly](crate::health::SlowStart).
    #[must_use]
    pub fn share(&self) -> f64 {
        1.0 - f64::from(self.withheld()) / f64::from(u32::MAX)
    }

    /// Sets the [share](Self::share); what is beyond 0 and 1 is taken for the nearer of the two.
    pub fn set_share(&self, share: f64) {
        let withheld = (1.0 - share.clamp(0.0, 1.0)) * f64::from(u32::MAX);
        self.withheld.store(withheld as u32, Ordering::Relaxed);
    }

    pub(crate) fn withheld(&self) -> u32 {
        self.withheld.load(Ordering::Relaxed)
    }

    /// How many requests were timed, and how long they took together; a failure counts as one that took at
    /// least [`Measurement::failure_latency`]. Between two looks, the quotient of the differences is the
    /// mean latency, which is what endpoints with more and with fewer requests can be compared by: the
    /// [peak](Self::latency) of many is higher than that of few.
    #[must_use]
    pub fn timed(&self) -> (u64, Duration) {
        let nanos = self.hot.timed_nanos.load(Ordering::Relaxed);
        (
            self.hot.timed.load(Ordering::Relaxed),
            Duration::from_nanos(nanos),
        )
    }

    /// Records what became of a request that took `took` and ended at `now`.
    pub fn record(&self, outcome: Outcome, took: Duration, now: Time) {
        self.record_untimed(outcome);
        let counted = match outcome {
            Outcome::Success => Some(took),
            Outcome::Failure | Outcome::Unreachable | Outcome::ErrorResponse => {
                Some(took.max(self.hot.latency.of_failure()))
            }
            // It was counted when its answer began; or it never ended.
            Outcome::Interrupted | Outcome::Cancelled => None,
        };
        if let Some(took) = counted {
            self.hot
                .timed_nanos
                .fetch_add(saturating_nanos(took), Ordering::Relaxed);
            self.hot.timed.fetch_add(1, Ordering::Relaxed);
        }
        match outcome {
            Outcome::Success => self.hot.latency.record(took, now),
            Outcome::Failure
            | Outcome::Unreachable
            | Outcome::ErrorResponse
            | Outcome::Interrupted => {
                self.hot.latency.record_failure(took, now);
            }
            // How long it would have taken is unknown, but it is at least this much: that an
            // endpoint hangs is learnt from callers that time out.
            Outcome::Cancelled => self.hot.latency.record_at_least(took, now),
        }
    }

    /// Records what became of a request that was not timed: as [`record`](Self::record), but the
    /// latency stays as it is.
    pub fn record_untimed(&self, outcome: Outcome) {
        match outcome {
            Outcome::Success => {
                self.hot.in_a_row.end();
                self.hot.requests.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Failure | Outcome::Unreachable | Outcome::ErrorResponse => {
                self.hot.requests.fetch_add(1, Ordering::Relaxed);
                self.count_failure(outcome);
            }
            // It was counted when its answer began.
            Outcome::Interrupted => self.count_failure(outcome),
            Outcome::Cancelled => {}
        }
    }

    /// Takes up what the endpoint reports of its own load. The first report allocates.
    pub fn report_load(&self, report: &LoadReport, now: Time) {
        self.reported
            .get_or_init(|| Box::new(Reported::nothing()))
            .take_up(report, self.in_flight(), now);
    }

    /// How busy the endpoint said it was, last.
    #[must_use]
    pub fn reported_busyness(&self) -> Option<ReportedBusyness> {
        self.reported.get()?.busyness()
    }

    /// How long the endpoint said its queue was, last.
    #[must_use]
    pub fn reported_queue(&self) -> Option<ReportedQueue> {
        self.reported.get()?.queue()
    }

    fn count_failure(&self, outcome: Outcome) {
        self.hot.failures.fetch_add(1, Ordering::Relaxed);
        if outcome != Outcome::Unreachable {
            self.alarm.look(self.hot.in_a_row.add(outcome));
        }
    }

    /// Counts a request, unless `limit` are in flight already.
    fn begin(&self, limit: u32) -> bool {
        // Add first, look afterwards: one atomic operation where there is room, which is nearly always.
        if self.hot.in_flight.fetch_add(1, Ordering::Relaxed) < limit {
            return true;
        }
        self.end();
        false
    }

    fn end(&self) {
        self.hot.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
