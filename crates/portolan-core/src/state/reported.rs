//! What a backend says of its own load.
//!
//! A client sees the requests that it sent itself; a backend sees all of them, and what they cost it. How it
//! tells (ORCA in headers, trailers or a stream of its own; an answer to a probe) is not core's business:
//! whoever reads it makes a [`LoadReport`] and hands it to [`EndpointState::report_load`].
//!
//! A report has two halves, which may come by different ways and at different times: how *busy* the backend is,
//! by which weights are made, and how long its *queue* is, which Prequal goes by. What a report does not say
//! stays as it was said last, and ages.
//!
//! Most endpoints report nothing, so what is reported lies in an allocation of its own, made with the first
//! report: then it takes neither room on the line that every request writes to, nor that line from anybody when
//! a report comes with each response. The numbers are written first and the time after them, so who reads in
//! the opposite order may see numbers that are newer than their time, but never older ones.

mod value;

use std::time::Duration;

use crate::{
    Time,
    sync::{AtomicU32, AtomicU64, Ordering},
    time::saturating_nanos,
};

pub use value::{LoadReportError, Rate, Utilization};

/// One report of a backend's load.
///
/// Everything in it is optional, and what was garbage on the wire never gets here: [`Utilization`] and [`Rate`]
/// refuse it.
///
/// ```
/// use portolan_core::{LoadReport, Rate, Utilization};
/// use std::time::Duration;
///
/// let report = LoadReport::default()
///     .with_application_utilization(Utilization::new(0.7)?)
///     .with_requests_per_second(Rate::new(120.0)?)
///     .with_errors_per_second(Rate::new(0.5)?)
///     .with_requests_in_flight(17)
///     .with_latency(Duration::from_millis(3));
/// assert_eq!(report.utilization(), Some(Utilization::new(0.7)?));
/// assert!(Rate::new(f64::NAN).is_err());
/// # Ok::<(), portolan_core::LoadReportError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadReport {
    application_utilization: Option<Utilization>,
    cpu_utilization: Option<Utilization>,
    requests_per_second: Option<Rate>,
    errors_per_second: Option<Rate>,
    requests_in_flight: Option<u32>,
    latency: Option<Duration>,
}

impl LoadReport {
    /// How much of what it can do the application does (ORCA's `application_utilization`).
    #[must_use]
    pub fn with_application_utilization(mut self, utilization: Utilization) -> Self {
        self.application_utilization = Some(utilization);
        self
    }

    /// How much of its processor time it uses (ORCA's `cpu_utilization`). It counts where the application's own
    /// word is missing or zero.
    #[must_use]
    pub fn with_cpu_utilization(mut self, utilization: Utilization) -> Self {
        self.cpu_utilization = Some(utilization);
        self
    }

    /// How many requests it answers (ORCA's `rps_fractional`).
    #[must_use]
    pub fn with_requests_per_second(mut self, rate: Rate) -> Self {
        self.requests_per_second = Some(rate);
        self
    }

    /// How many of them it fails (ORCA's `eps`).
    #[must_use]
    pub fn with_errors_per_second(mut self, rate: Rate) -> Self {
        self.errors_per_second = Some(rate);
        self
    }

    /// How many requests it has in hand, of all its clients, the one included whose answer says so.
    #[must_use]
    pub fn with_requests_in_flight(mut self, requests: u32) -> Self {
        self.requests_in_flight = Some(requests);
        self
    }

    /// How long a request takes it, with as many in hand as it has. More than a minute counts as one.
    #[must_use]
    pub fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = Some(latency.min(MAX_LATENCY));
        self
    }

    /// The utilization that counts: the application's own, or the processor's where that is missing or zero
    /// (gRFC A58).
    #[must_use]
    pub fn utilization(&self) -> Option<Utilization> {
        self.application_utilization
            .filter(|utilization| utilization.value() > 0.0)
            .or(self.cpu_utilization)
            .or(self.application_utilization)
    }

    /// How many requests it answers.
    #[must_use]
    pub fn requests_per_second(&self) -> Option<Rate> {
        self.requests_per_second
    }

    /// How many of them it fails.
    #[must_use]
    pub fn errors_per_second(&self) -> Option<Rate> {
        self.errors_per_second
    }

    /// How many requests it has in hand.
    #[must_use]
    pub fn requests_in_flight(&self) -> Option<u32> {
        self.requests_in_flight
    }

    /// How long a request takes it.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.latency
    }
}

/// How busy a backend says it is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReportedBusyness {
    /// How much of what it can do it does; more than zero.
    pub utilization: Utilization,
    /// How many requests it answers; more than zero.
    pub requests_per_second: Rate,
    /// How many of them it fails; zero where it does not say.
    pub errors_per_second: Rate,
    /// Since when it has been reporting, without a break of three minutes.
    pub since: Time,
    /// When it said so last.
    pub at: Time,
}

/// How long a backend says its queue is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReportedQueue {
    /// How many requests it has in hand, where it says.
    pub requests_in_flight: Option<u32>,
    /// How long a request takes it, where it says.
    pub latency: Option<Duration>,
    /// How many requests of this client's own were in flight to it then: what it has in hand now is likely to be
    /// as many more or fewer as there are now.
    pub own_in_flight: u32,
    /// When it said so.
    pub at: Time,
}

/// A break after which an endpoint that reports again is as one that has just begun to: as long as a weight
/// lives in gRFC A58.
const LAPSE: Duration = Duration::from_secs(180);
const MAX_LATENCY: Duration = Duration::from_secs(60);

/// What one endpoint has reported last.
#[derive(Debug)]
pub(super) struct Reported {
    busy_at: AtomicU64,
    busy_since: AtomicU64,
    /// High half: utilization. Low half: requests per second. They belong together, so they change together.
    busy: AtomicU64,
    errors: AtomicU32,
    queue_at: AtomicU64,
    /// High half: requests in flight plus one, where 0 is "not said". Low half: those of this client's own.
    in_flight: AtomicU64,
    /// Nanoseconds, plus one; 0 is "not said".
    latency: AtomicU64,
}

/// No moment that a clock tells for another 584 years.
const NEVER: u64 = u64::MAX;

impl Reported {
    pub(super) fn nothing() -> Self {
        Self {
            busy_at: AtomicU64::new(NEVER),
            busy_since: AtomicU64::new(NEVER),
            busy: AtomicU64::new(0),
            errors: AtomicU32::new(0),
            queue_at: AtomicU64::new(NEVER),
            in_flight: AtomicU64::new(0),
            latency: AtomicU64::new(0),
        }
    }

    pub(super) fn take_up(&self, report: &LoadReport, own_in_flight: u32, now: Time) {
        let rate = report.requests_per_second.map_or(0.0, Rate::value) as f32;
        let utilization = report.utilization().map_or(0.0, Utilization::value) as f32;
        // An endpoint that is idle says nothing of how much it could do: its last word stands (gRFC A58).
        if rate > 0.0 && utilization > 0.0 {
            let packed = u64::from(utilization.to_bits()) << 32 | u64::from(rate.to_bits());
            self.busy.store(packed, Ordering::Relaxed);
            let errors = report.errors_per_second.map_or(0.0, Rate::value) as f32;
            self.errors.store(errors.to_bits(), Ordering::Relaxed);
            let begins = time(self.busy_at.load(Ordering::Relaxed))
                .is_none_or(|last| now.since(last) >= LAPSE);
            if begins {
                self.busy_since.store(now.as_nanos(), Ordering::Relaxed);
            }
            self.busy_at.store(now.as_nanos(), Ordering::Release);
        }
        if report.requests_in_flight.is_some() || report.latency.is_some() {
            let in_flight = report
                .requests_in_flight
                .map_or(0, |requests| requests.saturating_add(1));
            let packed = u64::from(in_flight) << 32 | u64::from(own_in_flight);
            self.in_flight.store(packed, Ordering::Relaxed);
            let latency = report
                .latency
                .map_or(0, |latency| saturating_nanos(latency).saturating_add(1));
            self.latency.store(latency, Ordering::Relaxed);
            self.queue_at.store(now.as_nanos(), Ordering::Release);
        }
    }

    pub(super) fn busyness(&self) -> Option<ReportedBusyness> {
        let at = time(self.busy_at.load(Ordering::Acquire))?;
        let since = time(self.busy_since.load(Ordering::Relaxed)).unwrap_or(at);
        let packed = self.busy.load(Ordering::Relaxed);
        let errors = self.errors.load(Ordering::Relaxed);
        Some(ReportedBusyness {
            utilization: Utilization::kept((packed >> 32) as u32),
            requests_per_second: Rate::kept(packed as u32),
            errors_per_second: Rate::kept(errors),
            since,
            at,
        })
    }

    pub(super) fn queue(&self) -> Option<ReportedQueue> {
        let at = time(self.queue_at.load(Ordering::Acquire))?;
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        Some(ReportedQueue {
            requests_in_flight: ((in_flight >> 32) as u32).checked_sub(1),
            own_in_flight: in_flight as u32,
            latency: self
                .latency
                .load(Ordering::Relaxed)
                .checked_sub(1)
                .map(Duration::from_nanos),
            at,
        })
    }
}

fn time(nanos: u64) -> Option<Time> {
    (nanos != NEVER).then(|| Time::from_nanos(nanos))
}

#[cfg(test)]
mod tests;
