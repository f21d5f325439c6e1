//! When, and how often, requests are sent again: what keeps retries from making a bad moment worse.

mod backoff;
mod budget;
mod quantile;

pub use backoff::RetryBackoff;
pub use budget::{RetryBudget, RetryTokens};
pub use quantile::LatencyQuantile;
