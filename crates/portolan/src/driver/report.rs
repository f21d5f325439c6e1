//! What the driver tells the `metrics` facade, where that feature is on; else nothing.

#[cfg(feature = "metrics")]
pub(super) use told::Report;
#[cfg(not(feature = "metrics"))]
pub(super) use untold::Report;

#[cfg(feature = "metrics")]
mod told {
    use std::time::Duration;

    use metrics::{SharedString, counter, gauge, histogram};
    use portolan_core::{Freshness, ServiceRef, SourceError, SourceErrorKind, Time};

    use crate::{Counters, health_check::Health, metrics as names};

    /// Tells of one balancer. Whoever records is looked up each time: programs often install their recorder
    /// after they have made their clients.
    #[derive(Debug)]
    pub(in crate::driver) struct Report {
        service: SharedString,
        /// When the Service began to be followed.
        began: Time,
        /// What has been told of these.
        told: Counters,
    }

    /// How often an age is told that grows by itself.
    const EVERY: Duration = Duration::from_secs(1);

    impl Report {
        pub(in crate::driver) fn of(service: &ServiceRef, now: Time) -> Self {
            Self {
                service: service.to_string().into(),
                began: now,
                told: Counters::default(),
            }
        }

        fn endpoints(&self, state: &'static str, count: usize) {
            gauge!(names::ENDPOINTS, names::SERVICE => self.service(), names::STATE => state)
                .set(count as f64);
        }

        fn service(&self) -> SharedString {
            self.service.clone()
        }

        /// How old the endpoints are. Returns when to tell that again, where nothing else happens.
        pub(in crate::driver) fn age(&self, freshness: &Freshness, now: Time) -> Option<Duration> {
            // What has never been heard of is as old as the balancer.
            let age = match freshness {
                Freshness::Pending => Some(now.since(self.began)),
                known => known.age(now),
            };
            gauge!(names::SOURCE_AGE, names::SERVICE => self.service())
                .set(age.unwrap_or_default().as_secs_f64());
            age.map(|_| EVERY)
        }

        pub(in crate::driver) fn source_failed(&self, error: &SourceError) {
            let kind = kind_of(error);
            counter!(names::SOURCE_ERRORS, names::SERVICE => self.service(), names::ERROR_TYPE => kind)
                .increment(1);
        }

        /// How those do that are checked.
        pub(in crate::driver) fn health(&self, health: &[Health]) {
            let unhealthy = health.iter().filter(|one| !one.is_healthy()).count();
            gauge!(names::ENDPOINTS_UNHEALTHY, names::SERVICE => self.service())
                .set(unhealthy as f64);
        }

        /// It has sent again and ejected so often.
        pub(in crate::driver) fn counted(&mut self, counters: &Counters) {
            let told = self.told;
            self.told = *counters;
            // One that was taken and not used is put back.
            self.told.retries = counters.retries.max(told.retries);
            for (name, now, told) in [
                (names::RETRIES, counters.retries, told.retries),
                (
                    names::RETRIES_REFUSED,
                    counters.retries_refused,
                    told.retries_refused,
                ),
                (names::EJECTIONS, counters.ejections, told.ejections),
                (names::RETURNS, counters.returns, told.returns),
            ] {
                if now > told {
                    counter!(name, names::SERVICE => self.service()).increment(now - told);
                }
            }
        }

        /// A snapshot was published that took so long to make.
        pub(in crate::driver) fn published(
            &self,
            generation: u64,
            (eligible, members): (usize, usize),
            took: Duration,
        ) {
            self.endpoints("eligible", eligible);
            self.endpoints("passed_over", members.saturating_sub(eligible));
            gauge!(names::SNAPSHOT_GENERATION, names::SERVICE => self.service())
                .set(generation as f64);
            histogram!(names::SNAPSHOT_BUILD, names::SERVICE => self.service()).record(took);
        }
    }

    /// What is not followed any more is not old.
    impl Drop for Report {
        fn drop(&mut self) {
            gauge!(names::SOURCE_AGE, names::SERVICE => self.service()).set(0.0);
            self.endpoints("eligible", 0);
            self.endpoints("passed_over", 0);
        }
    }

    fn kind_of(error: &SourceError) -> &'static str {
        match error.kind() {
            SourceErrorKind::Unavailable => "unavailable",
            SourceErrorKind::Forbidden => "forbidden",
            SourceErrorKind::Unauthenticated => "unauthenticated",
            SourceErrorKind::Invalid => "invalid",
            SourceErrorKind::Pending => "pending",
            SourceErrorKind::Corrupt => "corrupt",
            _ => "_OTHER",
        }
    }
}

#[cfg(not(feature = "metrics"))]
mod untold {
    use std::time::Duration;

    use portolan_core::{Freshness, ServiceRef, SourceError, Time};

    use crate::{Counters, health_check::Health};

    #[derive(Debug)]
    pub(in crate::driver) struct Report;

    impl Report {
        pub(in crate::driver) fn of(_: &ServiceRef, _: Time) -> Self {
            Self
        }

        pub(in crate::driver) fn age(&self, _: &Freshness, _: Time) -> Option<Duration> {
            None
        }

        pub(in crate::driver) fn source_failed(&self, _: &SourceError) {}

        pub(in crate::driver) fn health(&self, _: &[Health]) {}
        pub(in crate::driver) fn counted(&mut self, _: &Counters) {}

        pub(in crate::driver) fn published(&self, _: u64, _: (usize, usize), _: Duration) {}
    }
}
