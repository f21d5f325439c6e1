//! Peak EWMA: a moving average of latency that believes bad news at once and good news slowly.
//!
//! A sample above the estimate replaces it; one below moves it by 1 − e^(−Δt/τ), where Δt is the
//! time since the last sample. The estimate also decays while nothing is sent, so that an endpoint
//! which was once slow is tried again (Finagle's `PeakEwma`; tower's `load::PeakEwma`).
//!
//! An endpoint that has answered nothing yet is known by what callers waited in vain: all of it
//! together is its estimate until the first answer, which replaces it (with censored samples of an
//! exponential law, waited time over answers is the likeliest mean, and one answer is granted). So time-outs
//! add up until traffic turns away from an endpoint that hangs, while callers that cancel at once, as
//! those that hedge do, add next to nothing, and what they add is gone with the first answer.
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
    /// High half: ticks of the last sample. Low half: the estimate's bits, with the sign for whether
    /// nothing was ever answered; 0 is "none yet".
    packed: AtomicU64,
    /// 1/τ, per tick.
    decay_per_tick: f32,
    failure_nanos: f32,
}

#[derive(Clone, Copy)]
struct Sample {
    ticks: u32,
    /// Negative where nothing was ever answered.
    signed_nanos: f32,
}

/// What is known of an endpoint's latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) nanos: f32,
    /// Whether the endpoint has ever answered: if not, this is what was waited in vain.
    pub(crate) answered: bool,
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

    /// The estimate at `now`.
    pub(super) fn expected(&self, now: Time) -> Option<Expected> {
        let last = unpack(self.packed.load(Ordering::Relaxed))?;
        Some(Expected {
            nanos: last.signed_nanos.abs() * self.weight_of_old(last, ticks(now)),
            answered: last.signed_nanos > 0.0,
        })
    }

    /// A response that took this long.
    pub(super) fn record(&self, took: Duration, now: Time) {
        let nanos = clamp(took);
        // What was waited in vain before the first answer is negative, and makes place for it.
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
                // What was waited in vain, which is negative, is not made better by failing at last.
                let worse = (estimate * FAILURE_FACTOR).max(-estimate);
                worse.max(nanos).min(CEILING_NANOS)
            })
        });
    }

    /// No response for this long. It may only raise the estimate.
    pub(super) fn record_at_least(&self, waited: Duration, now: Time) {
        let nanos = clamp(waited);
        let known = self.expected(now);
        if known.is_some_and(|known| known.answered && known.nanos >= nanos) {
            return;
        }
        self.update(now, |estimate, _| match estimate {
            Some(estimate) if estimate > 0.0 => nanos,
            // All of it, and not what has decayed of it: time alone does not make an endpoint answer.
            in_vain => (in_vain.unwrap_or_default() - nanos).max(-CEILING_NANOS),
        });
    }

    /// Replaces the estimate. `next` is given the one so far, and the weight that it still has; what
    /// was waited in vain is negative, in both directions.
    fn update(&self, now: Time, next: impl Fn(Option<f32>, f32) -> f32) {
        let ticks = ticks(now);
        let mut packed = self.packed.load(Ordering::Relaxed);
        loop {
            let last = unpack(packed);
            let weight = last.map_or(0.0, |last| self.weight_of_old(last, ticks));
            let sample = Sample {
                ticks,
                signed_nanos: next(last.map(|last| last.signed_nanos), weight),
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
    u64::from(sample.ticks) << 32 | u64::from(sample.signed_nanos.to_bits())
}

fn unpack(packed: u64) -> Option<Sample> {
    let bits = packed as u32;
    (bits != 0).then(|| Sample {
        ticks: (packed >> 32) as u32,
        signed_nanos: f32::from_bits(bits),
    })
}
