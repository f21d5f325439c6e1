//! How often the driver publishes.

use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Keeps the driver to a share of one core, whatever the rate of change.
///
/// After work that took t, it rests for 8 t: at 3 endpoints that is microseconds, at 10,000 some
/// milliseconds, and in both cases the driver takes a ninth of a core at most. Work that comes after
/// the rest is over, as nearly all does, is done at once.
#[derive(Debug)]
pub(super) struct Pace {
    rest_until: Instant,
}

const REST_TO_WORK: u32 = 8;
const LONGEST_REST: Duration = Duration::from_millis(100);

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            rest_until: Instant::now(),
        }
    }

    /// What is left of the rest, if anything.
    pub(super) fn rest(&self) -> Option<Sleep> {
        (Instant::now() < self.rest_until).then(|| sleep_until(self.rest_until))
    }

    /// Does the work, which is told when it began.
    pub(super) fn work<T>(&mut self, work: impl FnOnce(Instant) -> T) -> T {
        let started = Instant::now();
        let done = work(started);
        let took = started.elapsed();
        self.rest_until = Instant::now() + (took * REST_TO_WORK).min(LONGEST_REST);
        done
    }
}
