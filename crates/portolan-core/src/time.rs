//! The time as core knows it: a number that somebody else read from a clock.

use std::{
    ops::{Add, Sub},
    time::Duration,
};

/// A moment, in nanoseconds since an origin that the caller chose once and keeps.
///
/// Core never reads a clock. Whoever drives it measures the time since some fixed instant and hands
/// it in; a test hands in whatever it likes. 64 bits of nanoseconds last for 584 years.
///
/// ```
/// use portolan_core::Time;
/// use std::time::Duration;
///
/// let start = Time::ORIGIN + Duration::from_secs(1);
/// let later = start + Duration::from_millis(20);
/// assert_eq!(later.since(start), Duration::from_millis(20));
/// // A clock that goes backwards is no negative duration.
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The moment from which all others are counted.
    pub const ORIGIN: Self = Self(0);

    /// The moment this many nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero where it is not after it at all.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(duration)))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(duration)))
    }
}

/// The nanoseconds of a duration, or as many as 64 bits hold.
pub(crate) fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
