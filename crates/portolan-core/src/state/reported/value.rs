//! The numbers of a report, of which none is garbage.

/// How much of what it can do a backend does: 1 is all of it; more than 1, that work is left lying.
///
/// At least zero, at most [`Utilization::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Utilization(f64);

/// How many a second.
///
/// At least zero, at most [`Rate::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Rate(f64);

/// A number that cannot be what a backend measured.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a reported {what} of {value}: it must be a number from 0 to {max}")]
#[non_exhaustive]
pub struct LoadReportError {
    /// What was reported: "utilization" or "rate".
    pub what: &'static str,
    /// The number that was refused.
    pub value: f64,
    /// The greatest that is taken.
    pub max: f64,
}

impl Utilization {
    /// A thousand times what the backend can do. Whoever reports more has confused units.
    pub const MAX: f64 = 1e3;

    /// A utilization.
    ///
    /// # Errors
    /// Where it is negative, more than [`Utilization::MAX`], or no number.
    pub fn new(value: f64) -> Result<Self, LoadReportError> {
        checked("utilization", value, Self::MAX).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }

    /// From the bits that are kept of one.
    pub(super) fn kept(bits: u32) -> Self {
        Self(f64::from(f32::from_bits(bits)))
    }
}

impl Rate {
    /// A billion a second. No backend answers that many.
    pub const MAX: f64 = 1e9;

    /// A rate.
    ///
    /// # Errors
    /// Where it is negative, more than [`Rate::MAX`], or no number.
    pub fn new(per_second: f64) -> Result<Self, LoadReportError> {
        checked("rate", per_second, Self::MAX).map(Self)
    }

    /// The number of them in a second.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }

    /// From the bits that are kept of one.
    pub(super) fn kept(bits: u32) -> Self {
        Self(f64::from(f32::from_bits(bits)))
    }
}

fn checked(what: &'static str, value: f64, max: f64) -> Result<f64, LoadReportError> {
    // What is no number is in no range.
    match (0.0..=max).contains(&value) {
        // Minus zero is zero.
        true => Ok(value.abs()),
        false => Err(LoadReportError { what, value, max }),
    }
}
