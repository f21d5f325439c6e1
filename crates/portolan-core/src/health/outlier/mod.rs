//! Endpoints that fail where the others do not are left out for a while.
//!
//! An endpoint may be ready by its own word and still fail: its disk is full, its dependency out of reach
//! from its Node only, its process stuck. The cluster finds that out late or never. Three signs tell it
//! from the others (gRFC A50; Envoy's outlier detection):
//!
//! - failures *in a row*, of requests that were not answered, and apart from them of answers that say the
//!   endpoint cannot serve: seen at once;
//! - a *success rate* far below the mean of all, in units of the standard deviation: for those that fail some;
//! - a *percentage* of failures that is too high whatever the others do.
//!
//! Who is ejected comes back after a while for a *trial*: the first failure ejects it again, for twice as long,
//! and a few successes end the trial.
//!
//! What keeps this from being worse than what it mends: only a share of all may be out at a time, never
//! the last one, and where few are left whatever the reason ([`panic_threshold`]), ejections are not gone
//! by: then the fault is more likely with all of them, or with the client.
//!
//! [`panic_threshold`]: OutlierEjection::with_panic_threshold

mod detector;
mod rates;
mod settings;

pub use detector::{Because, Decision, Outliers};
pub use settings::{FailurePercentage, OutlierEjection, SuccessRate};

#[cfg(test)]
mod tests;
