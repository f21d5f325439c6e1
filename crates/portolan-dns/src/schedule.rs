//! When to look again.

use std::time::Duration;

use crate::DnsOptions;

/// The waits between looks: as long as the answer holds, or longer and longer while there is none.
#[derive(Debug)]
pub(crate) struct Schedule {
    options: DnsOptions,
    failures: u32,
    rng: fastrand::Rng,
}

impl Schedule {
    pub(crate) fn new(options: DnsOptions, rng: fastrand::Rng) -> Self {
        Self {
            options,
            failures: 0,
            rng,
        }
    }

    /// The wait after an answer that holds for `ttl` seconds, where it said so.
    pub(crate) fn after_answer(&mut self, ttl: Option<u32>) -> Duration {
        self.failures = 0;
        let options = &self.options;
        let ttl = ttl.map_or(options.floor, |ttl| Duration::from_secs(ttl.into()));
        let wait = ttl.clamp(options.floor, options.cap);
        // Never earlier: before the TTL is over, a cache on the way only repeats itself.
        wait.mul_f64(1.0 + options.jitter * self.rng.f64())
    }

    /// The wait after one more failure. Half of it for certain, so that a failing server gets its
    /// rest; half by chance, so that its clients do not come back all at once.
    pub(crate) fn after_failure(&mut self) -> Duration {
        let full = self
            .options
            .backoff_initial
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(self.options.backoff_max);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(0.5 + 0.5 * self.rng.f64())
    }

    /// Whether the last look came to nothing.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(options: DnsOptions) -> Schedule {
        Schedule::new(options, fastrand::Rng::with_seed(7))
    }

    proptest! {
        #[test]
        fn a_wait_is_the_ttl_within_its_bounds_and_never_early(
            ttl in proptest::option::of(0u32..),
            floor in 0u64..100_000,
            cap in 0u64..100_000,
            jitter in 0.0f64..1.0,
            seed: u64,
        ) {
            let ms = Duration::from_millis;
            let options = DnsOptions::default()
                .refresh_between(ms(floor), ms(cap))
                .jitter(jitter);
            let (floor, cap) = (options.floor, options.cap);
            let wait = Schedule::new(options, fastrand::Rng::with_seed(seed)).after_answer(ttl);
            let exact = ttl.map_or(floor, |ttl| Duration::from_secs(ttl.into())).clamp(floor, cap);
            // A nanosecond for the rounding of the product.
            prop_assert!(wait + Duration::from_nanos(1) >= exact);
            prop_assert!(wait <= exact.mul_f64(1.0 + jitter) + Duration::from_nanos(1));
        }
    }

    #[test]
    fn a_ttl_of_nothing_or_of_a_year_is_neither_a_loop_nor_blindness() {
        let mut schedule = schedule(DnsOptions::default().jitter(0.0));
        let secs = Duration::from_secs;
        assert_eq!(schedule.after_answer(Some(0)), secs(1));
        assert_eq!(schedule.after_answer(None), secs(1));
        assert_eq!(schedule.after_answer(Some(5)), secs(5));
        assert_eq!(schedule.after_answer(Some(365 * 86_400)), secs(30));
    }

    #[test]
    fn clients_do_not_look_in_step() {
        let waits: std::collections::HashSet<_> = (0..100)
            .map(|seed| {
                let rng = fastrand::Rng::with_seed(seed);
                Schedule::new(DnsOptions::default(), rng)
                    .after_answer(Some(5))
                    .as_millis()
            })
            .collect();
        assert!(waits.len() > 80, "of 100 clients {} apart", waits.len());
    }

    #[test]
    fn failures_are_further_and_further_apart_until_one_answer() {
        let mut schedule = schedule(DnsOptions::default());
        let mut nominal = Duration::from_millis(250);
        for _ in 0..40 {
            let wait = schedule.after_failure();
            assert!(
                wait >= nominal / 2 && wait <= nominal,
                "{wait:?} of {nominal:?}"
            );
            nominal = (nominal * 2).min(Duration::from_secs(10));
        }
        assert!(schedule.is_failing());
        schedule.after_answer(Some(5));
        assert!(!schedule.is_failing());
        assert!(schedule.after_failure() <= Duration::from_millis(250));
    }
}
