//! The scenarios. Each takes place in an [`Arena`](crate::arena::Arena), whichever cluster that is
//! in; [`suite!`](crate::suite) lists them.

pub mod access;
pub mod crash;
pub mod discovery;
pub mod dns;
pub mod dns_answers;
pub mod dns_changes;
pub mod dns_takes_over;
pub mod failover;
pub mod outage;
pub mod readiness;
pub mod rolling;
pub mod scale;
pub mod scaling;
pub mod shard_maps;
pub mod sharded;
pub mod slices;
pub mod sticky;
pub mod subsets;
pub mod types;
pub mod watch;

use std::{fmt, time::Duration};

use tokio::time::Instant;

use crate::{
    caller::{Caller, Unanswered},
    failure::{Failure, Result},
};

/// The error, where there must be one.
fn expect_error<T: fmt::Debug>(
    result: std::result::Result<T, Unanswered>,
) -> Result<portolan::Error> {
    match result {
        Ok(answer) => Err(Failure::new(format_args!(
            "expected an error, got {answer:?}"
        ))),
        Err(Unanswered::Balancer(error)) => Ok(error),
        Err(other) => Err(other.into()),
    }
}

/// The error of a caller that does not wait: it must come at once, once the cluster has answered.
async fn expect_refusal(hasty: &Caller) -> Result<portolan::Error> {
    let asked = Instant::now();
    let error = expect_error(hasty.get().await)?;
    let took = asked.elapsed();
    if took > Duration::from_secs(3) {
        return Err(Failure::new(format_args!(
            "refused after {took:?} only: {error}"
        )));
    }
    Ok(error)
}
