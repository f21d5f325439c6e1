//! How long to wait before a request is sent again.

use std::time::Duration;

use crate::{InvalidSetting, setting::expect};

/// Waits that double, each a random part of its limit.
///
/// The n-th wait is a random time up to first × 2ⁿ, up to the longest: "full jitter" ("Exponential backoff and
/// jitter", AWS Architecture Blog, 2015), which spreads clients that failed together best of the known forms.
///
/// ```
/// use portolan_core::retry::RetryBackoff;
/// use std::time::Duration;
///
/// let backoff = RetryBackoff::default();
/// assert!(backoff.wait(0, u64::MAX) <= Duration::from_millis(25));
/// assert!(backoff.wait(60, u64::MAX) <= Duration::from_millis(250));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryBackoff {
    /// The most that is waited before the first retry. Default: 25 ms, as Envoy has it: the next try goes to another
    /// endpoint, which has done nothing to be spared for.
    pub first: Duration,
    /// The most that is ever waited. Default: 250 ms, ten times the first.
    pub longest: Duration,
}

impl Default for RetryBackoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(25),
            longest: Duration::from_millis(250),
        }
    }
}

impl RetryBackoff {
    /// Up to `first` before the first retry, and never more than `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// How long to wait after so many retries.
    #[must_use]
    pub fn wait(&self, retries: u32, entropy: u64) -> Duration {
        let doubled = 1_u32.checked_shl(retries).unwrap_or(u32::MAX);
        let most = self.first.saturating_mul(doubled).min(self.longest);
        let unit = (entropy >> 11) as f64 / (1_u64 << 53) as f64;
        most.mul_f64(unit)
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// Where the first is longer than the longest.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        expect(
            self.first <= self.longest,
            "retry.backoff",
            &(self.first, self.longest),
            "expected the first to be no longer than the longest",
        )
    }
}
