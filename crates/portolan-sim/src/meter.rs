//! What a Pod finds out of its own load.
//!
//! How busy it is, it says as ORCA has it: means over the last whole second. How long a request takes, it says as the
//! servers of Prequal do: as long as those took of late that came when it had about as many in hand as it has now.
//! So its latency is of this moment, too, and not that of a queue which has been served meanwhile.

use std::time::Duration;

use portolan_core::{LoadReport, Rate, Time, Utilization};

/// Counts what a Pod does, second by second.
#[derive(Clone, Debug)]
pub struct Meter {
    workers: u32,
    began: Time,
    counted: Counted,
    /// The last second that is over; `None` in the first one.
    last: Option<Counted>,
    /// By how many were in hand when a request came: a moving average of the time to its answer, in seconds.
    latencies: Vec<Option<f64>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    requests: u32,
    errors: u32,
    busy: Duration,
}

const WINDOW: Duration = Duration::from_secs(1);
/// What a process uses that does nothing.
const IDLE: f64 = 0.02;
/// How much the newest request counts in the latency.
const NEWEST: f64 = 0.1;

impl Meter {
    /// Of a Pod that begins now.
    #[must_use]
    pub fn begin(workers: u32, now: Time) -> Self {
        Self {
            workers,
            began: now,
            counted: Counted::default(),
            last: None,
            latencies: Vec::new(),
        }
    }

    /// A request was answered that took a worker so long. When it came, so many were in hand already, and it was for so
    /// long a time.
    pub fn answered(&mut self, busy: Duration, before_it: u32, took: Duration, now: Time) {
        self.roll(now);
        self.counted.requests += 1;
        self.counted.busy += busy;
        let (seconds, before_it) = (took.as_secs_f64(), before_it as usize);
        if self.latencies.len() <= before_it {
            self.latencies.resize(before_it + 1, None);
        }
        if let Some(known) = self.latencies.get_mut(before_it) {
            let before = known.unwrap_or(seconds);
            *known = Some(before + NEWEST * (seconds - before));
        }
    }

    /// A request was failed, which took nothing.
    pub fn failed(&mut self, now: Time) {
        self.roll(now);
        self.counted.requests += 1;
        self.counted.errors += 1;
    }

    /// What the Pod reports, with so many requests in hand, the one included that it answers by that.
    pub fn report(&mut self, in_hand: u32, now: Time) -> LoadReport {
        self.roll(now);
        let mut report = LoadReport::default().with_requests_in_flight(in_hand);
        if let Some(seconds) = self.latency(in_hand.saturating_sub(1) as usize) {
            report = report.with_latency(Duration::from_secs_f64(seconds));
        }
        let Some(last) = self.last else {
            return report;
        };
        let busy = last.busy.as_secs_f64() / f64::from(self.workers);
        let (Ok(used), Ok(rate), Ok(errors)) = (
            Utilization::new(IDLE + busy),
            Rate::new(f64::from(last.requests)),
            Rate::new(f64::from(last.errors)),
        ) else {
            return report;
        };
        report
            .with_application_utilization(used)
            .with_requests_per_second(rate)
            .with_errors_per_second(errors)
    }

    /// That of about as many in hand; where there have been no such, of the next lower or higher number.
    fn latency(&self, in_hand: usize) -> Option<f64> {
        let lower = self.latencies.iter().take(in_hand + 1).rev();
        let higher = self.latencies.iter().skip(in_hand + 1);
        lower.chain(higher).flatten().next().copied()
    }

    fn roll(&mut self, now: Time) {
        let elapsed = now.since(self.began);
        if elapsed < WINDOW {
            return;
        }
        let counted = std::mem::take(&mut self.counted);
        // After a gap, the last second was one in which nothing was answered.
        self.last = Some(if elapsed < 2 * WINDOW {
            counted
        } else {
            Counted::default()
        });
        let whole = elapsed.as_secs();
        self.began = self.began + WINDOW * u32::try_from(whole).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reports_the_last_whole_second() {
        let at = |millis| Time::ORIGIN + Duration::from_millis(millis);
        let mut meter = Meter::begin(2, at(0));
        for nth in 0..10 {
            let now = at(nth * 100);
            meter.answered(
                Duration::from_millis(100),
                3,
                Duration::from_millis(50),
                now,
            );
        }
        meter.failed(at(950));
        assert_eq!(meter.report(3, at(999)).utilization(), None);
        let report = meter.report(3, at(1_000));
        // A second of work, by two workers.
        assert_eq!(report.utilization(), Some(Utilization::new(0.52).unwrap()));
        assert_eq!(report.requests_per_second(), Some(Rate::new(11.0).unwrap()));
        assert_eq!(report.errors_per_second(), Some(Rate::new(1.0).unwrap()));
        assert_eq!(report.requests_in_flight(), Some(3));
        assert_eq!(report.latency(), Some(Duration::from_millis(50)));
        let silent = meter.report(0, at(9_500));
        assert_eq!(silent.requests_per_second(), Some(Rate::new(0.0).unwrap()));
    }
}
