//! The scenarios. Each takes place in an [`Arena`](crate::arena::Arena), whichever cluster that is
//! in; [`suite!`](crate::suite) lists them.

pub mod access;
pub mod crash;
pub mod discovery;
pub mod outage;
pub mod readiness;
pub mod rolling;
pub mod scaling;
pub mod watch;
