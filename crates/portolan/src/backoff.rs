//! Waiting longer after each failure, and never in step with others.

use std::time::Duration;

/// Jittered, exponential waiting times.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    settings: BackoffSettings,
    next: Duration,
}

/// Each wait is `factor` times the one before, up to `max`, and off by up to `jitter` of itself either
/// way, so that clients that lost the same Pod at the same moment do not come back at the same moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BackoffSettings {
    pub(crate) first: Duration,
    pub(crate) factor: f64,
    pub(crate) jitter: f64,
    pub(crate) max: Duration,
}

impl BackoffSettings {
    /// For connecting to an endpoint. gRPC's connection backoff grows by 1.6 with a jitter of 0.2, from
    /// 1 s to 120 s. Here it starts at 100 ms, because a container that is restarted in place is back
    /// within a second; and it stops at 10 s, because an endpoint that the cluster calls ready is worth
    /// one packet every 10 s.
    pub(crate) const CONNECT: Self = Self {
        first: Duration::from_millis(100),
        factor: 1.6,
        jitter: 0.2,
        max: Duration::from_secs(10),
    };
}

impl Backoff {
    pub(crate) fn new(settings: BackoffSettings) -> Self {
        Self {
            settings,
            next: settings.first,
        }
    }

    /// How long to wait after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.mul_f64(self.settings.factor).min(self.settings.max);
        let off = self.settings.jitter * (2.0 * fastrand::f64() - 1.0);
        wait.mul_f64(1.0 + off)
    }

    /// Starts again from the first wait, after a success.
    #[cfg(any(test, feature = "http"))]
    pub(crate) fn reset(&mut self) {
        self.next = self.settings.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_limit_within_the_jitter_and_starts_again() {
        let mut backoff = Backoff::new(BackoffSettings::CONNECT);
        let mut expected = Duration::from_millis(100);
        for _ in 0..40 {
            let wait = backoff.next();
            assert!(wait >= expected.mul_f64(0.799), "{wait:?} {expected:?}");
            assert!(wait <= expected.mul_f64(1.201), "{wait:?} {expected:?}");
            expected = expected.mul_f64(1.6).min(Duration::from_secs(10));
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(121));
    }
}
