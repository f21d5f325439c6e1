//! Making a balancer: one line for each thing wanted.

use std::{fmt, sync::Arc, time::Duration};

use portolan_core::{
    Location, Measurement, Policy, Reach, ServiceRef, Source,
    health::{OutlierEjection, SlowStart},
    policy::default_policy,
};
use tokio::runtime::Handle;

use crate::{
    Balance, BuildError, MakeEndpoint, Nodes, TrafficRules, Wait,
    admission::Admission,
    balance::{BalanceLayer, Published},
    clock::Clock,
    driver::{Attendance, Driver},
    health_check::{Checker, HealthCheck},
    hedge::Hedge,
    retry::Retry,
    settings::Settings,
    subset::Subset,
};
#[cfg(feature = "http")]
use crate::{
    driver::Companion,
    http::endpoint::{HttpEndpoint, MakeHttp},
};

/// A balancer in the making. It comes from [`Cluster::service`](crate::Cluster::service), and ends in
/// the client that is wanted: `http`, `grpc` and `reqwest` where those features are on, a tower
/// [`layer`](Self::layer), or the bare [`nodes`](Self::nodes).
///
/// ```
/// use portolan::{Cluster, Wait, policy::PeakEwma, source::Fixed};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), portolan::BuildError> {
/// # let cluster = Cluster::from_source(Fixed::default());
/// let nodes = cluster
///     .service("orders.shop:http")?
///     .policy(PeakEwma::new())
///     .wait(Wait::UpTo(Duration::from_secs(2)))
///     .nodes()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct BalancerBuilder {
    source: Arc<dyn Source>,
    service: ServiceRef,
    /// The namespace of Services that are named without one, where the cluster has one.
    home: Option<Arc<str>>,
    policy: Arc<dyn Policy>,
    settings: Settings,
}

impl BalancerBuilder {
    pub(crate) fn new(source: Arc<dyn Source>, service: ServiceRef, location: Location) -> Self {
        Self {
            source,
            service,
            home: None,
            policy: default_policy(),
            settings: Settings {
                location,
                ..Settings::default()
            },
        }
    }

    /// The Service that is balanced.
    #[must_use]
    pub fn service_ref(&self) -> &ServiceRef {
        &self.service
    }

    /// The same, where Services that are named without a namespace are in this one.
    pub(crate) fn at_home_in(mut self, namespace: Option<Arc<str>>) -> Self {
        self.home = namespace;
        self
    }

    /// The namespace of Services that are named without one, where it is known.
    #[cfg(feature = "http")]
    pub(crate) fn home(&self) -> Option<&str> {
        self.home.as_deref()
    }

    /// How endpoints are chosen. Default: [`LeastRequest`](crate::policy::LeastRequest).
    pub fn policy(mut self, policy: impl Policy + 'static) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// In which way the Service is to be reached. Default: the Pods, wherever a client can reach them.
    pub fn reach(mut self, reach: Reach) -> Self {
        self.service = self.service.with_reach(reach);
        self
    }

    /// Whether the client keeps to the traffic rules of the Service (topology hints and
    /// `internalTrafficPolicy`), as far as it knows [where it is](crate::Cluster::with_location). Default: it
    /// does, as everybody in the cluster who goes through kube-proxy.
    pub fn traffic_rules(mut self, rules: TrafficRules) -> Self {
        self.settings.traffic_rules = rules;
        self
    }

    /// What a request does while no endpoint can serve it. Default: it waits, 5 s at most, which is
    /// longer than most Pods take to be replaced and shorter than most callers' patience. It is for each
    /// wait: where an endpoint came and failed the request as well, and it waits once more, it begins anew.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.settings.wait = wait;
        self
    }

    /// How many requests may be in flight to one endpoint. One more goes to another endpoint, or is
    /// refused with [`ErrorKind::Overloaded`](crate::ErrorKind). Default: 4096, which no healthy Pod
    /// holds; it is there so that a Pod that hangs cannot collect requests without end.
    pub fn max_in_flight_per_endpoint(mut self, max: u32) -> Self {
        self.settings.max_in_flight_per_endpoint = max;
        self
    }

    /// How many requests may wait for an endpoint at once. One more is refused with
    /// [`ErrorKind::TooManyWaiting`](crate::ErrorKind). Default: 4096.
    pub fn max_waiting(mut self, max: usize) -> Self {
        self.settings.max_waiting = max;
        self
    }

    /// How many endpoints are tried for a request at most, the first included. Default: 16. Each is tried
    /// once, and again only when it has been away and is back; where it may have processed the request, once
    /// more at most, and when nobody else is left. (A sole endpoint that broke off before it got the request
    /// is tried once more at once.)
    ///
    /// Where so many have been tried, and some could not be reached, and the last did not get it, it [waits](Self::wait) as it does where there is
    /// none, and one more is tried each time that something changes, up to four times as many: when a hundred Pods are
    /// away at once, the client may have heard of few of them.
    pub fn max_attempts(mut self, max: usize) -> Self {
        self.settings.max_attempts = max;
        self
    }

    /// Whether a request that provably was not sent is tried on another endpoint. Default: it is.
    pub fn retry_unsent(mut self, retry: bool) -> Self {
        self.settings.retry_unsent = retry;
        self
    }

    /// Sends requests again that an endpoint did not answer, or answered that it cannot serve, where that is safe: see
    /// [`retry`](mod@crate::retry). Default: only those are sent again that provably were not processed, or are marked or
    /// ruled to be idempotent and were not answered; at once, and without a budget.
    ///
    /// HTTP and reqwest clients then take requests for idempotent whose method is, as with `retry_idempotent`.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.settings.retry = Some(retry);
        self
    }

    /// How many requests are let in at once, to all endpoints together, and what becomes of the rest: see
    /// [`admission`](mod@crate::admission). Default: all are.
    pub fn admission(mut self, admission: Admission) -> Self {
        self.settings.admission = Some(admission);
        self
    }

    /// Sends a request that takes longer than most to another endpoint as well, and takes the first answer: see
    /// [`hedge`](mod@crate::hedge). Default: none is.
    pub fn hedge(mut self, hedge: Hedge) -> Self {
        self.settings.hedge = Some(hedge);
        self
    }

    #[cfg(any(feature = "http", feature = "reqwest"))]
    pub(crate) fn retries(&self) -> bool {
        self.settings.retry.is_some()
    }

    /// Leaves endpoints out for a while that fail where others do not: see [`OutlierEjection`]. Default: none is, but
    /// those that cannot be connected to.
    pub fn eject_outliers(mut self, ejection: OutlierEjection) -> Self {
        self.settings.outlier_ejection = Some(ejection);
        self
    }

    /// Gives endpoints that have just come, or come back from an ejection, less than their part at first: see
    /// [`SlowStart`]. Those that are there when the balancer begins have their whole part. Default: all have.
    pub fn slow_start(mut self, slow_start: SlowStart) -> Self {
        self.settings.slow_start = Some(slow_start);
        self
    }

    /// All that keeps a request from failing where another endpoint would have served it: [`retry`](Self::retry),
    /// [`eject_outliers`](Self::eject_outliers), and [`slow_start`](Self::slow_start) over 30 s, each by its defaults,
    /// where it has not been set otherwise. It adds next to nothing to a request that goes well.
    ///
    /// What it cannot know is how long an endpoint may take: one that hangs is found out by a time limit for each try
    /// (`response_timeout`).
    ///
    /// ```
    /// # use portolan::{Cluster, source::Fixed};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), portolan::BuildError> {
    /// # let cluster = Cluster::from_source(Fixed::default());
    /// let orders = cluster.service("orders.shop:http")?.resilient().http().build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn resilient(mut self) -> Self {
        let settings = &mut self.settings;
        settings.retry.get_or_insert_default();
        settings.outlier_ejection.get_or_insert_default();
        let window = Duration::from_secs(30);
        settings.slow_start.get_or_insert(SlowStart::over(window));
        self
    }

    /// How long the chosen endpoint's service may take to be ready before another one is chosen.
    /// Default: 5 s.
    pub fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.settings.ready_timeout = timeout;
        self
    }

    /// For how long the last good endpoints are used while discovery fails. After that nobody is: a
    /// request waits as it does when no endpoint is ready, and its error says why; as soon as discovery
    /// works again all is as before, measurements of Pods that are the same included.
    ///
    /// Default: without end. An endpoint that is gone is found out by connecting to it, while none at
    /// all is an outage for certain. Set a limit where talking to the wrong endpoint is worse than
    /// talking to none: where Pods do not prove who they are, an address may be another's by then.
    ///
    /// ```
    /// # use portolan::{Cluster, source::Fixed};
    /// # use std::time::Duration;
    /// # let cluster = Cluster::from_source(Fixed::default());
    /// let builder = cluster.service("orders.shop")?.max_staleness(Duration::from_secs(3600));
    /// # Ok::<(), portolan::BuildError>(())
    /// ```
    pub fn max_staleness(mut self, max: Duration) -> Self {
        self.settings.max_staleness = Some(max);
        self
    }

    /// Which part of the endpoints this client talks to at all. Default: all of them, which is right for up to some hundreds.
    pub fn subset(mut self, subset: impl Into<Subset>) -> Self {
        self.settings.subset = Some(subset.into());
        self
    }

    /// Checks the endpoints, apart from any request, and leaves out those that are not well: see
    /// [`health_check`](mod@crate::health_check). Default: none is checked, since Kubernetes does.
    pub fn health_check(mut self, check: HealthCheck) -> Self {
        self.settings.health_check = Some(check);
        self
    }

    /// How measurements are weighed, for policies that go by them.
    pub fn measurement(mut self, measurement: Measurement) -> Self {
        self.settings.measurement = measurement;
        self
    }

    /// A tower layer, round whatever makes a service for one endpoint.
    ///
    /// # Errors
    /// Where a setting makes no sense, or there is no tokio runtime.
    pub fn layer(self) -> Result<BalanceLayer, BuildError> {
        Ok(BalanceLayer::new(self.check()?))
    }

    /// No protocol at all: chooses endpoints, for whatever the caller wants to do with them.
    ///
    /// # Errors
    /// Where a setting makes no sense, or there is no tokio runtime.
    pub fn nodes(self) -> Result<Nodes, BuildError> {
        Ok(Nodes::new(self.check()?))
    }

    /// Any protocol of which more is known than a tower service tells: `make` makes the service of
    /// one endpoint, `protocol` reads its responses and errors.
    ///
    /// # Errors
    /// Where a setting makes no sense, or there is no tokio runtime.
    pub fn build_with<M: MakeEndpoint, P>(
        self,
        make: M,
        protocol: P,
    ) -> Result<Balance<M::Service, P>, BuildError> {
        Ok(self.check()?.start(make, protocol))
    }

    /// What it was made of, for those who only want to follow the Service.
    pub(crate) fn into_source(self) -> (Arc<dyn Source>, ServiceRef) {
        (self.source, self.service)
    }

    /// As [`build_with`](Self::build_with), for endpoints that can be checked over their own connections.
    #[cfg(feature = "http")]
    pub(crate) fn build_over_http<P>(
        self,
        make: MakeHttp,
        protocol: P,
        listener: Option<Companion<HttpEndpoint>>,
    ) -> Result<Balance<HttpEndpoint, P>, BuildError> {
        let checked = self.check()?;
        let Self {
            settings, service, ..
        } = &checked.builder;
        let check = settings.health_check.as_ref();
        let checker = check.map(|check| Checker::over_http(check, service, &make));
        let attendance = Attendance { checker, listener };
        Ok(checked.start_attended(make, protocol, attendance))
    }

    /// Everything that can be wrong with a balancer is found here, before anything is started.
    fn check(self) -> Result<Checked, BuildError> {
        self.settings.check()?;
        match Handle::try_current() {
            Ok(runtime) => Ok(Checked {
                builder: self,
                runtime,
            }),
            Err(_) => Err(BuildError::NoRuntime(self.service)),
        }
    }
}

/// A builder in which nothing is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    builder: BalancerBuilder,
    runtime: Handle,
}

impl Checked {
    /// Starts to follow the Service.
    pub(crate) fn start<M: MakeEndpoint, P>(self, make: M, protocol: P) -> Balance<M::Service, P> {
        let check = self.builder.settings.health_check.as_ref();
        let checker = check.map(|check| Checker::apart(check, &self.builder.service));
        let attendance = Attendance {
            checker,
            listener: None,
        };
        self.start_attended(make, protocol, attendance)
    }

    fn start_attended<M: MakeEndpoint, P>(
        self,
        make: M,
        protocol: P,
        attendance: Attendance<M::Service>,
    ) -> Balance<M::Service, P> {
        let Self {
            builder:
                BalancerBuilder {
                    source,
                    service,
                    policy,
                    settings,
                    ..
                },
            runtime,
        } = self;
        let _entered = runtime.enter();
        let published = Arc::new(Published::new(
            service,
            settings,
            Clock::start(),
            runtime.clone(),
        ));
        let driver = Driver::new(Arc::clone(&published), make, policy, source, attendance);
        Balance::new(published, protocol, driver.spawn(&runtime))
    }
}

impl fmt::Debug for BalancerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BalancerBuilder")
            .field("service", &self.service)
            .field("policy", &self.policy)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
