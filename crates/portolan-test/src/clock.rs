//! The cluster's clock: wall time that advances with tokio's.
//!
//! Under paused tokio time, timestamps of objects move exactly as the test moves time.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::time::Instant;

/// Wall time, taken once and then carried on by tokio's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    wall: SystemTime,
    origin: Instant,
}

impl Clock {
    /// A clock that shows the real time now.
    pub(crate) fn start() -> Self {
        Self {
            wall: SystemTime::now(),
            origin: Instant::now(),
        }
    }

    /// The time as Kubernetes writes it: RFC 3339, UTC, whole seconds.
    pub(crate) fn stamp(&self) -> String {
        self.stamp_in(Duration::ZERO)
    }

    /// The time `ahead` of now, as Kubernetes writes it.
    pub(crate) fn stamp_in(&self, ahead: Duration) -> String {
        let time = self.wall + self.origin.elapsed() + ahead;
        Timestamp::try_from(time)
            .unwrap_or(Timestamp::UNIX_EPOCH)
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_follows_tokio_time() {
        let clock = Clock {
            wall: SystemTime::UNIX_EPOCH,
            origin: Instant::now(),
        };
        assert_eq!(clock.stamp(), "1970-01-01T00:00:00Z");
        tokio::time::advance(Duration::from_secs(3661)).await;
        assert_eq!(clock.stamp(), "1970-01-01T01:01:01Z");
        assert_eq!(
            clock.stamp_in(Duration::from_secs(30)),
            "1970-01-01T01:01:31Z"
        );
    }
}
