//! How long something took, on the CPU and on the wall.

use std::{
    ops::AddAssign,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

/// What one run cost the whole process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// CPU time of all threads together.
    pub cpu: Duration,
    /// Wall time.
    pub wall: Duration,
}

/// A run that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    clock: ClockId,
    cpu: Duration,
    wall: Instant,
}

impl Run {
    /// Measures from here on what the whole process does.
    #[must_use]
    pub fn start() -> Watch {
        Watch::start(ClockId::ProcessCPUTime)
    }

    /// Measures `work`, on whatever threads of this process it is done.
    pub fn of<T>(work: impl FnOnce() -> T) -> (Self, T) {
        let watch = Self::start();
        let done = work();
        (watch.stop(), done)
    }

    /// Measures what `work` costs the thread that calls this; other threads do not count.
    pub fn of_this_thread<T>(work: impl FnOnce() -> T) -> (Self, T) {
        let watch = Watch::start(ClockId::ThreadCPUTime);
        let done = work();
        (watch.stop(), done)
    }
}

impl AddAssign for Run {
    fn add_assign(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.wall += other.wall;
    }
}

impl Watch {
    fn start(clock: ClockId) -> Self {
        Self {
            clock,
            cpu: cpu_time(clock),
            wall: Instant::now(),
        }
    }

    /// What it has cost so far.
    #[must_use]
    pub fn stop(self) -> Run {
        Run {
            wall: self.wall.elapsed(),
            cpu: cpu_time(self.clock).saturating_sub(self.cpu),
        }
    }
}

fn cpu_time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}
