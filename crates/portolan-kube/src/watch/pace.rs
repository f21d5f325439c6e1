//! How long to wait before an attempt.

use std::time::Duration;

use tokio::time::Instant;

/// Delays that double with each failure and are jittered, and a floor under the time between
/// attempts that did not fail.
#[derive(Debug)]
pub(super) struct Pace {
    initial: Duration,
    max: Duration,
    interval: Duration,
    failures: u32,
    opened: Option<Instant>,
    rng: fastrand::Rng,
}

impl Pace {
    pub(super) fn new(
        initial: Duration,
        max: Duration,
        interval: Duration,
        rng: fastrand::Rng,
    ) -> Self {
        Self {
            initial,
            max,
            interval,
            failures: 0,
            opened: None,
            rng,
        }
    }

    /// Waits until an attempt may be made.
    ///
    /// `at_least` is what the server asked for (`Retry-After`), of which at most `max` is granted.
    pub(super) async fn attempt(&mut self, at_least: Duration) {
        let since_opened = self.opened.map_or(Duration::MAX, |opened| opened.elapsed());
        let delay = self.delay().max(at_least.min(self.max));
        let delay = delay.max(self.interval.saturating_sub(since_opened));
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    /// A watch was opened: the next one is not to come sooner than an interval later.
    pub(super) fn opened(&mut self) {
        self.opened = Some(Instant::now());
    }

    /// The last attempt came to nothing.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The last attempt came to something.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Up to one `interval`, so that clients that were all told the same thing at once (410 Gone) do
    /// not all come back at once.
    pub(super) async fn jitter(&mut self) {
        tokio::time::sleep(self.interval.mul_f64(self.rng.f64())).await;
    }

    /// A moment in the last quarter of this time.
    pub(super) fn moment_within(&mut self, time: Duration) -> Duration {
        time.mul_f64(0.75 + 0.25 * self.rng.f64())
    }

    fn delay(&mut self) -> Duration {
        let Some(doublings) = self.failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let full = self
            .initial
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(self.max);
        // Half of it for certain, so that a failing server gets its rest; half by chance.
        full.mul_f64(0.5 + 0.5 * self.rng.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        let ms = Duration::from_millis;
        Pace::new(ms(250), ms(30_000), ms(1_000), fastrand::Rng::with_seed(7))
    }

    #[tokio::test(start_paused = true)]
    async fn delays_double_up_to_the_limit_and_begin_anew() {
        let mut pace = pace();
        let mut nominal = Duration::from_millis(250);
        for _ in 0..12 {
            pace.failed();
            let before = Instant::now();
            pace.attempt(Duration::ZERO).await;
            let waited = before.elapsed();
            // A timer of tokio's rounds up to a millisecond.
            let most = nominal + Duration::from_millis(2);
            assert!(
                waited >= nominal / 2 && waited <= most,
                "{waited:?} for {nominal:?}"
            );
            nominal = (nominal * 2).min(Duration::from_secs(30));
        }
        pace.succeeded();
        let before = Instant::now();
        pace.attempt(Duration::ZERO).await;
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_succeed_are_still_an_interval_apart() {
        let mut pace = pace();
        let start = Instant::now();
        for _ in 0..5 {
            pace.attempt(Duration::ZERO).await;
            pace.opened();
            pace.succeeded();
        }
        assert_eq!(start.elapsed(), Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_asks_for_is_granted_within_reason() {
        let mut pace = pace();
        let start = Instant::now();
        pace.failed();
        pace.attempt(Duration::from_secs(5)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        pace.attempt(Duration::from_secs(86_400)).await;
        assert!(
            start.elapsed() <= Duration::from_secs(36),
            "{:?}",
            start.elapsed()
        );
    }
}
