//! Peak EWMA: a moving average of latency that believes bad news at once and good news slowly.
//!
//! A sample above the estimate replaces it; one below moves it by 1 − e^(−Δt/τ), where Δt is the
//! time since the last sample. The estimate also decays while nothing is sent, so that an endpoint
//! which was once slow is tried again (Finagle's `PeakEwma`; tower's `load::PeakEwma`).
//!
//! Estimate and time of the last sample change together, so both live in one 64-bit atomic: 32 bits
//! of float for nanoseconds, 32 bits of time in ticks of 65.5 µs. A reader never sees the one
//! without the other, and no lock is needed.

use std::time::Duration;

use super::Measurement;
use crate::{
    Time,
    sync::{AtomicU64, Ordering},
    time::saturating_nanos,
};

/// 2^16 ns. 32 bits of these wrap after 78 hours; a sample older than that is taken for younger,
/// which only delays its decay by a few τ.
const TICK_SHIFT: u32 = 16;
const TICK_NANOS: f32 = (1u32 << TICK_SHIFT) as f32;

/// How much worse than the estimate so far a failure is taken to be.
const FAILURE_FACTOR: f32 = 4.0;
/// No estimate grows beyond this, however often an endpoint fails: from here an idle endpoint is
/// back at a millisecond after about 11 τ.
const CEILING_NANOS: f32 = 60e9;

#[derive(Debug)]
pub(super) struct PeakEwma {
    /// High half: ticks of the last sample. Low half: the estimate's bits; 0 is "none yet".
    packed: AtomicU64,
    /// 1/τ, per tick.
    decay_per_tick: f32,
    failure_nanos: f32,
}

#[derive(Clone, Copy)]
struct Sample {
    ticks: u32,
    nanos: f32,
}

impl PeakEwma {
    pub(super) fn new(measurement: Measurement) -> Self {
        let decay_nanos = (saturating_nanos(measurement.decay) as f32).max(1.0);
        Self {
            packed: AtomicU64::new(0),
            decay_per_tick: TICK_NANOS / decay_nanos,
            failure_nanos: clamp(measurement.failure_latency),
        }
    }

    /// The least that a failure counts for.
    pub(super) fn of_failure(&self) -> Duration {
        Duration::from_nanos(self.failure_nanos as u64)
    }

    /// The estimate at `now`, in nanoseconds.
    pub(super) fn nanos(&self, now: Time) -> Option<f32> {
        let last = unpack(self.packed.load(Ordering::Relaxed))?;
        Some(last.nanos * self.weight_of_old(last, ticks(now)))
    }

    /// A response that took this long.
    pub(super) fn record(&self, took: Duration, now: Time) {
        let nanos = clamp(took);
        self.update(now, |estimate, weight| match estimate {
            Some(estimate) if estimate > nanos => estimate * weight + nanos * (1.0 - weight),
            _ => nanos,
        });
    }

    /// A failure after this long: worse than anything that succeeded.
    pub(super) fn record_failure(&self, took: Duration, now: Time) {
        let nanos = clamp(took).max(self.failure_nanos);
        self.update(now, |estimate, _| {
            estimate.map_or(nanos, |estimate| {
                (estimate * FAILURE_FACTOR).max(nanos).min(CEILING_NANOS)
            })
        });
    }

    /// No response for this long. It may only raise the estimate.
    pub(super) fn record_at_least(&self, waited: Duration, now: Time) {
        let nanos = clamp(waited);
        if self.nanos(now).is_some_and(|estimate| estimate < nanos) {
            self.record(waited, now);
        }
    }

    /// Replaces the estimate. `next` is given the one so far, and the weight that it still has.
    fn update(&self, now: Time, next: impl Fn(Option<f32>, f32) -> f32) {
        let ticks = ticks(now);
        let mut packed = self.packed.load(Ordering::Relaxed);
        loop {
            let last = unpack(packed);
            let weight = last.map_or(0.0, |last| self.weight_of_old(last, ticks));
            let sample = Sample {
                ticks,
                nanos: next(last.map(|last| last.nanos), weight),
            };
            // A response within the same tick as the last, and no slower, teaches nothing new: at a
            // high rate most are, and only read what other threads read too.
            if pack(sample) == packed {
                return;
            }
            match self.packed.compare_exchange_weak(
                packed,
                pack(sample),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(found) => packed = found,
            }
        }
    }

    /// e^(−Δt/τ).
    fn weight_of_old(&self, last: Sample, ticks: u32) -> f32 {
        let elapsed = ticks.wrapping_sub(last.ticks);
        // Threads read the clock in one order and get here in another: a small step back is no time.
        if elapsed == 0 || elapsed > u32::MAX / 2 {
            return 1.0;
        }
        let exponent = elapsed as f32 * self.decay_per_tick;
        // Between the requests of one busy endpoint hardly any time passes, and the first three terms
        // of the series are then as exact as 32 bits are.
        if exponent < 1.0 / 256.0 {
            return 1.0 - exponent + exponent * exponent / 2.0;
        }
        (-exponent).exp()
    }
}

fn ticks(now: Time) -> u32 {
    // Truncation is the wrap that is meant.
    (now.as_nanos() >> TICK_SHIFT) as u32
}

/// A latency as the estimate keeps it: never 0, which means "none yet", and never beyond the ceiling.
fn clamp(latency: Duration) -> f32 {
    (saturating_nanos(latency) as f32).clamp(1.0, CEILING_NANOS)
}

fn pack(sample: Sample) -> u64 {
    u64::from(sample.ticks) << 32 | u64::from(sample.nanos.max(1.0).to_bits())
}

fn unpack(packed: u64) -> Option<Sample> {
    let bits = packed as u32;
    (bits != 0).then(|| Sample {
        ticks: (packed >> 32) as u32,
        nanos: f32::from_bits(bits),
    })
}
