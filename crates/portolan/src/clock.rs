//! The one place that reads the clock for core.

use std::{
    sync::LazyLock,
    time::{Duration, Instant as SystemInstant},
};

use portolan_core::Time;
use tokio::time::Instant;

/// Core's time, which is one for the whole process: a lease need not carry the moment from which it
/// is counted. Follows tokio's clock, paused or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(());

/// Well before anything happens: a clock that is paused stays behind the one that was read here first.
static ORIGIN: LazyLock<Instant> = LazyLock::new(|| {
    let now = SystemInstant::now();
    let day = Duration::from_secs(86_400);
    Instant::from_std(now.checked_sub(day).unwrap_or(now))
});

/// What was known before the process began, such as endpoints that another one has left on disk, has
/// a time too.
const BEFORE: Time = Time::from_nanos(366 * 86_400 * 1_000_000_000);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(())
    }

    #[inline]
    pub(crate) fn now(self) -> Time {
        BEFORE + Instant::now().saturating_duration_since(*ORIGIN)
    }
}
