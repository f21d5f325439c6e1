//! A limit that follows the gradient of latency (Netflix' `concurrency-limits`, "gradient2").

use std::time::Duration;

use crate::{InvalidSetting, setting::expect};

/// How a limit is found.
///
/// ```
/// use portolan_core::admission::Gradient;
/// let gradient = Gradient::new().with_range(10, 500);
/// assert!(gradient.check().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gradient {
    least: u32,
    most: u32,
    tolerance: f64,
}

impl Default for Gradient {
    fn default() -> Self {
        Self {
            least: 20,
            most: 1000,
            tolerance: 1.5,
        }
    }
}

impl Gradient {
    /// From 20 to 1,000 requests.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Between which limits it stays. It starts from the least. Default: 20 and 1,000, so that a latency which was
    /// measured at a bad moment neither shuts out all nor lets in everything.
    #[must_use]
    pub fn with_range(mut self, least: u32, most: u32) -> Self {
        (self.least, self.most) = (least, most);
        self
    }

    /// How many times as long as they took of late requests may take before the limit falls. Default: 1.5, as Netflix
    /// has it: what varies by less is not a queue.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// The first setting that does not, and what was expected of it.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        expect(
            self.least > 0 && self.least <= self.most && self.most < TOO_MANY,
            "admission.gradient.range",
            &(self.least, self.most),
            "expected at least 1, and no more than the most, which is less than 2^29",
        )?;
        expect(
            self.tolerance.is_finite() && self.tolerance >= 1.0,
            "admission.gradient.tolerance",
            &self.tolerance,
            "expected at least 1",
        )
    }
}

/// A limit that is being found.
///
/// ```
/// use portolan_core::admission::{Gradient, GradientLimit};
/// use std::time::Duration;
///
/// let mut limit = GradientLimit::new(Gradient::new());
/// for _ in 0..200 {
///     // Whatever is let in is answered in 10 ms: there is room.
///     limit.sample(Duration::from_millis(10), limit.value());
/// }
/// assert!(limit.value() > 500);
/// ```
#[derive(Clone, Debug)]
pub struct GradientLimit {
    settings: Gradient,
    limit: f64,
    /// How long requests took of late, in seconds; nothing before the first sample.
    usual: Option<f64>,
}

/// One sample in so many counts for the usual latency: some ten minutes of samples every second.
const MEMORY: f64 = 600.0;
/// How much of a new limit is taken at once.
const SMOOTHING: f64 = 0.2;
/// More than any program has at once, and than can be counted with 32 bits by whoever lets them in.
const TOO_MANY: u32 = 1 << 29;

impl GradientLimit {
    /// It starts from the least.
    #[must_use]
    pub fn new(settings: Gradient) -> Self {
        Self {
            limit: f64::from(settings.least),
            settings,
            usual: None,
        }
    }

    /// The limit now.
    #[must_use]
    pub fn value(&self) -> u32 {
        self.limit as u32
    }

    /// How long requests took of late; `None` before the first sample.
    #[must_use]
    pub fn usual(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.usual?).ok()
    }

    /// Over some span of time requests took so long, in the mean, and at most so many were in flight. The limit may
    /// be another one afterwards.
    pub fn sample(&mut self, took: Duration, in_flight: u32) {
        let took = took.as_secs_f64().max(1e-9);
        let usual = match self.usual {
            None => took,
            // What was slow for long is the new usual only slowly; what is fast is, soon.
            Some(usual) if usual / took > 2.0 => usual * 0.95,
            Some(usual) => usual + (took - usual) / MEMORY,
        };
        self.usual = Some(usual);
        // Where less than half of it is used, latency says nothing about the limit.
        if f64::from(in_flight) < self.limit / 2.0 {
            return;
        }
        let gradient = (self.settings.tolerance * usual / took).clamp(0.5, 1.0);
        // Room for a queue, without which the limit could never grow.
        let next = self.limit * gradient + self.limit.sqrt();
        let smoothed = self.limit * (1.0 - SMOOTHING) + next * SMOOTHING;
        let (least, most) = (
            f64::from(self.settings.least),
            f64::from(self.settings.most),
        );
        self.limit = smoothed.clamp(least, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that works on so many at once, each for 10 ms; the rest queue.
    fn latency(in_flight: u32, capacity: u32) -> Duration {
        let queued = f64::from(in_flight.max(capacity)) / f64::from(capacity);
        Duration::from_millis(10).mul_f64(queued)
    }

    fn settle(limit: &mut GradientLimit, capacity: u32, samples: usize) -> u32 {
        for _ in 0..samples {
            let in_flight = limit.value();
            limit.sample(latency(in_flight, capacity), in_flight);
        }
        limit.value()
    }

    #[test]
    fn it_settles_near_what_can_be_served_and_follows_it() {
        let mut limit = GradientLimit::new(Gradient::new());
        // Half as much again is tolerated, and a queue of its root.
        let found = settle(&mut limit, 100, 200);
        assert!((100..=220).contains(&found), "{found}");
        let fewer = settle(&mut limit, 40, 200);
        assert!((40..=100).contains(&fewer), "{fewer}");
        let more = settle(&mut limit, 200, 200);
        assert!(more >= 200, "{more}");
    }

    #[test]
    fn where_it_is_not_used_it_stays() {
        let mut limit = GradientLimit::new(Gradient::new().with_range(50, 100));
        for _ in 0..100 {
            limit.sample(Duration::from_secs(1), 1);
            limit.sample(Duration::from_millis(1), 1);
        }
        assert_eq!(limit.value(), 50);
    }

    #[test]
    fn it_keeps_its_range_whatever_comes() {
        let mut limit = GradientLimit::new(Gradient::new().with_range(5, 9));
        for took in [
            Duration::ZERO,
            Duration::MAX,
            Duration::from_nanos(1),
            Duration::from_secs(60),
        ] {
            for _ in 0..50 {
                limit.sample(took, u32::MAX);
                assert!((5..=9).contains(&limit.value()));
            }
        }
    }

    #[test]
    fn nonsense_is_refused_by_its_name() {
        let refused = |gradient: Gradient| gradient.check().unwrap_err().setting;
        for (least, most) in [(0, 10), (11, 10), (10, u32::MAX)] {
            assert_eq!(
                refused(Gradient::new().with_range(least, most)),
                "admission.gradient.range"
            );
        }
        for tolerance in [0.9, f64::NAN, f64::INFINITY] {
            let gradient = Gradient::new().with_tolerance(tolerance);
            assert_eq!(refused(gradient), "admission.gradient.tolerance");
        }
    }
}
