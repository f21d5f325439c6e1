//! When an endpoint is an outlier, and for how long it is left out.

use std::time::Duration;

use crate::{InvalidSetting, setting::expect};

/// When an endpoint is ejected, and for how long.
///
/// ```
/// use portolan_core::health::OutlierEjection;
/// use std::time::Duration;
///
/// let ejection = OutlierEjection::new()
///     .with_consecutive_failures(3)
///     .with_ejection(Duration::from_secs(10), Duration::from_secs(120));
/// assert!(ejection.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierEjection {
    pub(super) interval: Duration,
    pub(super) consecutive_failures: Option<u16>,
    pub(super) consecutive_error_responses: Option<u16>,
    pub(super) success_rate: Option<SuccessRate>,
    pub(super) failure_percentage: Option<FailurePercentage>,
    pub(super) shortest: Duration,
    pub(super) longest: Duration,
    pub(super) max_ejected: f64,
    pub(super) panic_threshold: f64,
}

/// Ejects those whose success rate is far below the others'.
///
/// The defaults are Envoy's and gRPC's (A50).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SuccessRate {
    /// How many standard deviations below the mean is too far. Default: 1.9.
    pub stdev_factor: f64,
    /// Of how many endpoints the rate must be known; of fewer, a mean says little. Default: 5.
    pub min_endpoints: usize,
    /// How many requests of an interval make a rate. Default: 100.
    pub min_requests: u64,
    /// How many of them must have failed. Default: 5, as many as are too many in a row. Envoy and gRPC have no such
    /// limit; but where all others are without fault, a single failure is beyond any number of deviations that one
    /// of so few can be from the mean.
    pub min_failures: u64,
}

/// Ejects those of whose requests too many fail, whatever the others do.
///
/// The defaults are Envoy's and gRPC's (A50).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct FailurePercentage {
    /// How many of a hundred are too many. Default: 85.
    pub threshold: f64,
    /// How many endpoints must have had enough requests. Default: 5.
    pub min_endpoints: usize,
    /// How many requests of an interval are enough. Default: 50.
    pub min_requests: u64,
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self {
            stdev_factor: 1.9,
            min_endpoints: 5,
            min_requests: 100,
            min_failures: 5,
        }
    }
}

impl SuccessRate {
    /// Sets the [factor](Self::stdev_factor).
    #[must_use]
    pub fn with_stdev_factor(mut self, factor: f64) -> Self {
        self.stdev_factor = factor;
        self
    }

    /// Sets [how many endpoints](Self::min_endpoints), and [how many requests of each](Self::min_requests), it takes.
    #[must_use]
    pub fn with_min(mut self, endpoints: usize, requests: u64) -> Self {
        (self.min_endpoints, self.min_requests) = (endpoints, requests);
        self
    }

    /// Sets [how many requests must have failed](Self::min_failures).
    #[must_use]
    pub fn with_min_failures(mut self, failures: u64) -> Self {
        self.min_failures = failures;
        self
    }
}

impl Default for FailurePercentage {
    fn default() -> Self {
        Self {
            threshold: 85.0,
            min_endpoints: 5,
            min_requests: 50,
        }
    }
}

impl FailurePercentage {
    /// Sets the [threshold](Self::threshold).
    #[must_use]
    pub fn with_threshold(mut self, percent: f64) -> Self {
        self.threshold = percent;
        self
    }

    /// Sets [how many endpoints](Self::min_endpoints), and [how many requests of each](Self::min_requests), it takes.
    #[must_use]
    pub fn with_min(mut self, endpoints: usize, requests: u64) -> Self {
        (self.min_endpoints, self.min_requests) = (endpoints, requests);
        self
    }
}

impl Default for OutlierEjection {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            consecutive_failures: Some(5),
            consecutive_error_responses: Some(5),
            success_rate: Some(SuccessRate::default()),
            failure_percentage: Some(FailurePercentage::default()),
            shortest: Duration::from_secs(5),
            longest: Duration::from_secs(300),
            max_ejected: 1.0 / 3.0,
            panic_threshold: 0.5,
        }
    }
}

impl OutlierEjection {
    /// All signs, with their defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How often rates are looked at. Default: 10 s, as Envoy and gRPC have it.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How many requests in a row that were not answered are too many; `None`: never. Default: 5, as Envoy
    /// has it. (An endpoint that cannot be connected to is left out at the first.)
    #[must_use]
    pub fn with_consecutive_failures(mut self, failures: impl Into<Option<u16>>) -> Self {
        self.consecutive_failures = failures.into();
        self
    }

    /// How many answers in a row that say it cannot serve are too many; `None`: never. Default: 5, as Envoy
    /// has it.
    #[must_use]
    pub fn with_consecutive_error_responses(mut self, responses: impl Into<Option<u16>>) -> Self {
        self.consecutive_error_responses = responses.into();
        self
    }

    /// Whether, and when, a success rate is too low. Default: [`SuccessRate::default`].
    #[must_use]
    pub fn with_success_rate(mut self, rate: impl Into<Option<SuccessRate>>) -> Self {
        self.success_rate = rate.into();
        self
    }

    /// Whether, and when, a percentage of failures is too high. Default: [`FailurePercentage::default`].
    #[must_use]
    pub fn with_failure_percentage(
        mut self,
        percentage: impl Into<Option<FailurePercentage>>,
    ) -> Self {
        self.failure_percentage = percentage.into();
        self
    }

    /// For how long an endpoint is out the first time, which doubles with each ejection that follows on another,
    /// up to the longest; each is lengthened by up to a fifth at random, so that clients do not come back in
    /// step. Default: 5 s to 300 s, as Finagle has it. Envoy and gRPC begin with 30 s; but what fails in Kubernetes
    /// is restarted within seconds, and whoever goes on failing is out for a minute soon enough.
    #[must_use]
    pub fn with_ejection(mut self, shortest: Duration, longest: Duration) -> Self {
        (self.shortest, self.longest) = (shortest, longest);
        self
    }

    /// What share of the ready endpoints may be out at a time, from 0 to 1; one always may, where it is not the last.
    /// Default: 1/3, a zone of three. Envoy and gRPC say 10%, which of a StatefulSet of five is the one that
    /// always may, and leaves two that fail to the retries.
    #[must_use]
    pub fn with_max_ejected(mut self, share: f64) -> Self {
        self.max_ejected = share;
        self
    }

    /// Below which share of endpoints left, whatever the others are out for (ejected, unhealthy, out of reach),
    /// ejections are not gone by, from 0 to 1. Default: 0.5, as Envoy has it.
    #[must_use]
    pub fn with_panic_threshold(mut self, share: f64) -> Self {
        self.panic_threshold = share;
        self
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// The first setting that does not, and what was expected of it.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        const COUNT: &str = "expected at least 1, or `None` for never";
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        let counts = [
            (
                "outlier_ejection.consecutive_failures",
                self.consecutive_failures,
            ),
            (
                "outlier_ejection.consecutive_error_responses",
                self.consecutive_error_responses,
            ),
        ];
        for (setting, count) in counts {
            expect(count != Some(0), setting, &0, COUNT)?;
        }
        expect(
            !self.interval.is_zero(),
            "outlier_ejection.interval",
            &self.interval,
            "expected more than zero",
        )?;
        expect(
            !self.shortest.is_zero() && self.shortest <= self.longest,
            "outlier_ejection.ejection",
            &(self.shortest, self.longest),
            "expected more than zero, and no more than the longest",
        )?;
        expect(
            is_share(self.max_ejected),
            "outlier_ejection.max_ejected",
            &self.max_ejected,
            "expected a share from 0 to 1",
        )?;
        expect(
            is_share(self.panic_threshold),
            "outlier_ejection.panic_threshold",
            &self.panic_threshold,
            "expected a share from 0 to 1",
        )?;
        if let Some(rate) = self.success_rate {
            expect(
                rate.stdev_factor.is_finite() && rate.stdev_factor > 0.0,
                "outlier_ejection.success_rate.stdev_factor",
                &rate.stdev_factor,
                "expected more than zero",
            )?;
            expect(
                rate.min_requests > 0,
                "outlier_ejection.success_rate.min_requests",
                &rate.min_requests,
                "expected at least 1",
            )?;
        }
        if let Some(percentage) = self.failure_percentage {
            expect(
                percentage.threshold > 0.0 && percentage.threshold <= 100.0,
                "outlier_ejection.failure_percentage.threshold",
                &percentage.threshold,
                "expected more than 0, and at most 100",
            )?;
            expect(
                percentage.min_requests > 0,
                "outlier_ejection.failure_percentage.min_requests",
                &percentage.min_requests,
                "expected at least 1",
            )?;
        }
        Ok(())
    }
}
