//! What the benches share: how CPU time is measured, how contenders are compared, and how a figure
//! is printed beside its goal.
//!
//! The machines that these run on have two cores and other work to do. So what is compared runs in
//! turns within one process ([`compare`]), what is counted is CPU time rather than wall time
//! ([`Run`]), and a figure is the median of many short runs. `benches/README.md` has the figures.

mod compare;
mod endpoints;
mod figures;
mod picks;
mod retried;
mod run;
mod together;

pub use compare::{Contender, Cost, compare, criterion, short_criterion};
pub use endpoints::{candidates, endpoint, endpoints, restarts, weighted_endpoints};
pub use figures::{Figures, Goal};
pub use picks::{keyed_picks, no_picks, picks};
pub use retried::Retried;
pub use run::{Run, Watch};
pub use together::{Together, alone_and_together};

/// Whatever goes wrong ends the bench and says so.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
