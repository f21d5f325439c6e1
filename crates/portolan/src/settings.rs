//! What of a balancer can be set, whatever the protocol, and why it is as it is when it is not.

use std::time::Duration;

use portolan_core::{Location, Measurement};

use crate::{BuildError, health_check::HealthCheck, subset::Subset};

/// What a request does while there is no endpoint that could serve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// It waits for one, so long at most. A rolling restart of a single Pod, or a scale from zero,
    /// then costs time instead of failures.
    UpTo(Duration),
    /// It fails at once. Only while discovery has not said anything at all yet, right after the
    /// start, does it wait, 5 s at most. A policy that says itself for how long waiting makes sense
    /// ([`Verdict::WaitUpTo`](crate::Verdict)) goes before this.
    FailFast,
}

impl Wait {
    /// How long a request waits for the first word of the source, even if it should fail fast.
    const FIRST_WORD: Duration = Duration::from_secs(5);

    /// How long to wait, where `known` is whether the source has said anything yet.
    pub(crate) fn limit(self, known: bool) -> Duration {
        match (self, known) {
            (Self::UpTo(limit), _) => limit,
            (Self::FailFast, true) => Duration::ZERO,
            (Self::FailFast, false) => Self::FIRST_WORD,
        }
    }
}

/// Whether the client keeps to the traffic rules of the Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrafficRules {
    /// As kube-proxy does: topology hints and `internalTrafficPolicy` say which endpoints are near enough.
    #[default]
    AsService,
    /// All endpoints of the Service may be used from everywhere, whatever it says. For clients that
    /// `internalTrafficPolicy: Local` shuts out, such as a tool that looks at the agents of all Nodes.
    Ignored,
}

/// Whose name a request bears that does not bear one already: in the Host header or `:authority`, and in TLS.
///
/// It makes a difference where an endpoint is an address of another DNS name
/// ([`Endpoint::host`](crate::Endpoint::host)): that of a Service of type ExternalName, or of a load balancer.
///
/// What has been set for the client (its authority, its server name) goes before.
///
/// ```
/// use portolan::{Cluster, Endpoint, Naming, Placement, source::Fixed};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let address = Endpoint::new(Placement::new("a"), "192.0.2.1:80".parse()?).with_host("billing.example.com");
/// let cluster = Cluster::from_source(Fixed::from_iter([address]));
/// // Its requests say `Host: billing.example.com`, and not `billing.shop`.
/// let billing = cluster.service("billing.shop:80")?.http().naming(Naming::Target).build()?;
/// # Ok(())
/// # }
/// ```
#[cfg(any(feature = "http", feature = "reqwest"))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Naming {
    /// The Service's own. It is what every other client in the cluster sends that dials the Service's name, as a
    /// CNAME in DNS changes neither header nor certificate; so whatever works for them works here.
    #[default]
    Service,
    /// That of the target, where it has one: for servers outside that know nothing of the cluster, hold a
    /// certificate for their own name, and choose a site by it. An endpoint without a name of its own is called
    /// by the Service's.
    Target,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) location: Location,
    pub(crate) traffic_rules: TrafficRules,
    pub(crate) wait: Wait,
    pub(crate) max_in_flight_per_endpoint: u32,
    pub(crate) max_waiting: usize,
    pub(crate) max_attempts: usize,
    pub(crate) retry_unsent: bool,
    pub(crate) ready_timeout: Duration,
    pub(crate) measurement: Measurement,
    pub(crate) max_staleness: Option<Duration>,
    pub(crate) health_check: Option<HealthCheck>,
    pub(crate) subset: Option<Subset>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            location: Location::UNKNOWN,
            traffic_rules: TrafficRules::AsService,
            wait: Wait::UpTo(Duration::from_secs(5)),
            max_in_flight_per_endpoint: 4096,
            max_waiting: 4096,
            max_attempts: 16,
            retry_unsent: true,
            ready_timeout: Duration::from_secs(5),
            measurement: Measurement::default(),
            max_staleness: None,
            health_check: None,
            subset: None,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let refuse = |setting, value: &dyn std::fmt::Debug, expected| {
            Err(BuildError::Setting {
                setting,
                value: format!("{value:?}"),
                expected,
            })
        };
        self.subset.as_ref().map_or(Ok(()), Subset::check)?;
        let Measurement {
            decay,
            failure_latency,
            ..
        } = self.measurement;
        if self.max_in_flight_per_endpoint == 0 {
            return refuse("max_in_flight_per_endpoint", &0, "expected at least 1");
        }
        if self.max_attempts == 0 {
            return refuse("max_attempts", &0, "expected at least 1, the first");
        }
        if self.ready_timeout.is_zero() {
            return refuse(
                "ready_timeout",
                &self.ready_timeout,
                "expected more than zero",
            );
        }
        if decay.is_zero() {
            return refuse("measurement.decay", &decay, "expected more than zero");
        }
        if failure_latency.is_zero() {
            return refuse(
                "measurement.failure_latency",
                &failure_latency,
                "expected more than zero, or failing fast looks like answering fast",
            );
        }
        self.health_check
            .as_ref()
            .map_or(Ok(()), HealthCheck::check)
    }
}
