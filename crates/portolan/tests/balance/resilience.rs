//! Settings of what keeps requests from failing that make no sense.

use std::time::Duration;

use portolan::{
    BuildError,
    health::{OutlierEjection, SlowStart},
    retry::{Retry, RetryBackoff, RetryBudget},
};

use crate::{cluster_of, moody::MS};

#[tokio::test]
async fn nonsense_is_refused_when_the_balancer_is_built() {
    let (_teller, cluster) = cluster_of([0]);
    let builder = || cluster.service("db").unwrap();
    let nan = f64::NAN;
    let cases = [
        (builder().retry(Retry::new().tries(0)), "retry.tries"),
        (
            builder().retry(Retry::new().deadline(Duration::ZERO)),
            "retry.deadline",
        ),
        (
            builder().retry(Retry::new().budget(RetryBudget::new(-0.1, 1))),
            "retry.budget.share",
        ),
        (
            builder().retry(Retry::new().backoff(RetryBackoff::new(2 * MS, MS))),
            "retry.backoff",
        ),
        (
            builder().eject_outliers(OutlierEjection::new().with_panic_threshold(nan)),
            "outlier_ejection.panic_threshold",
        ),
        (
            builder().slow_start(SlowStart::over(Duration::ZERO)),
            "slow_start.window",
        ),
    ];
    for (builder, expected) in cases {
        match builder.nodes() {
            Err(BuildError::Setting { setting, .. }) => assert_eq!(setting, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}
