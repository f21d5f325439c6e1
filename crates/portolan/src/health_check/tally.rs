//! Checks, counted for the `metrics` facade, where that feature is on.

use portolan_core::ServiceRef;

use super::answer::Answer;

/// Counts the checks of one balancer.
#[derive(Debug)]
pub(super) struct Tally {
    #[cfg(feature = "metrics")]
    service: metrics::SharedString,
}

impl Tally {
    #[cfg_attr(
        not(feature = "metrics"),
        allow(unused_variables, reason = "nobody is told")
    )]
    pub(super) fn of(service: &ServiceRef) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            service: service.to_string().into(),
        }
    }

    #[cfg(not(feature = "metrics"))]
    pub(super) fn count(&self, _: &Answer) {}

    #[cfg(feature = "metrics")]
    pub(super) fn count(&self, answer: &Answer) {
        use crate::metrics as names;

        let outcome = match answer {
            Answer::Well => "passed",
            Answer::Ill(_) => "failed",
            #[cfg(feature = "http")]
            Answer::NotAsked => "not_asked",
            #[cfg(feature = "grpc")]
            Answer::Unknown(_) => "unknown",
        };
        let service = self.service.clone();
        metrics::counter!(names::HEALTH_CHECKS, names::SERVICE => service, names::OUTCOME => outcome)
            .increment(1);
    }
}
