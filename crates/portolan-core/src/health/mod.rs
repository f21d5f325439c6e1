//! What the client makes of how endpoints do: who is left out for a while, and who starts slowly.
//!
//! Discovery says who is there and ready; what requests meet there, only the client knows. It is decided
//! here, without a clock, and off the request path: whoever drives it looks from time to time, and when an
//! endpoint [rings](crate::FailureAlarm), and publishes what has changed. Pickers never ask about health.

mod outlier;
mod slow_start;

pub use outlier::{Because, Decision, FailurePercentage, OutlierEjection, Outliers, SuccessRate};
pub use slow_start::{SlowStart, ramped};
