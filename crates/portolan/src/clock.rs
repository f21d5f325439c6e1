//! The one place that reads the clock for core.

use portolan_core::Time;
use tokio::time::Instant;

/// Core's time: how long since the balancer was made. Follows tokio's clock, paused or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    pub(crate) fn now(self) -> Time {
        Time::ORIGIN + self.origin.elapsed()
    }
}
