//! How the endpoints of one balancer are asked.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use futures::{FutureExt, future::BoxFuture};
use portolan_core::ServiceRef;
use tokio::sync::{Notify, Semaphore};

use super::{
    Ask, HealthCheck, Kind, Monitor, Settings, answer::Answer, health::Record, monitor::Rounds,
    tally::Tally,
};
use crate::{Endpoint, happy_eyeballs};

/// A check that knows the balancer whose endpoints, of which `S` are the services, it is of.
pub(crate) struct Checker<S> {
    settings: Settings,
    places: Arc<Semaphore>,
    tally: Arc<Tally>,
    askers: Box<Askers<S>>,
}

/// Makes an asker of each endpoint, which has this service.
type Askers<S> = dyn Fn(&Arc<Endpoint>, &S) -> Asker + Send + Sync;

/// Asks one endpoint.
pub(super) enum Asker {
    /// Each answer is to one question.
    Polls(Poll),
    /// It says by itself how it is.
    #[cfg(feature = "grpc")]
    Watches(super::grpc::Watcher),
}

/// Asks once.
pub(super) type Poll = Box<dyn Fn() -> BoxFuture<'static, Answer> + Send + Sync>;

impl<S: Clone + Send + Sync + 'static> Checker<S> {
    fn new(
        check: &HealthCheck,
        service: &ServiceRef,
        askers: impl Fn(&Arc<Endpoint>, &S) -> Asker + Send + Sync + 'static,
    ) -> Self {
        Self {
            settings: check.settings,
            places: Arc::new(Semaphore::new(check.settings.at_once)),
            tally: Arc::new(Tally::of(service)),
            askers: Box::new(askers),
        }
    }

    /// Asks on connections of its own.
    pub(crate) fn apart(check: &HealthCheck, service: &ServiceRef) -> Self {
        #[cfg(feature = "http")]
        let timeout = check.settings.timeout;
        match &check.kind {
            #[cfg(feature = "http")]
            Kind::Http(http) => {
                let (http, make) = (Arc::clone(http), super::http::make_for(service));
                Self::new(check, service, move |endpoint, _| {
                    Asker::Polls(http.apart(&make, endpoint, timeout))
                })
            }
            #[cfg(feature = "grpc")]
            Kind::Grpc(name) => {
                let (name, make) = (Arc::clone(name), super::http::make_for(service).of_http2());
                Self::new(check, service, move |endpoint, _| {
                    Asker::Watches(super::grpc::Watcher::apart(&make, endpoint, &name))
                })
            }
            Kind::Tcp => Self::new(check, service, |endpoint, _| {
                Asker::Polls(connecting(endpoint))
            }),
            Kind::With(ask) => {
                let ask = Arc::clone(ask);
                Self::new(check, service, move |endpoint, _| {
                    Asker::Polls(by(&ask, endpoint))
                })
            }
        }
    }

    /// Whether new endpoints get requests before they have been asked.
    pub(crate) fn trusts_new(&self) -> bool {
        self.settings.trusts_new
    }

    /// A record for an endpoint that has not been asked yet, and passes for well until then if it is `trusted`.
    /// `changed` is told when its level changes.
    pub(crate) fn record(&self, changed: Arc<Notify>, trusted: bool) -> Arc<Record> {
        let settings = Settings {
            trusts_new: self.settings.trusts_new || trusted,
            ..self.settings
        };
        Arc::new(Record::new(&settings, changed))
    }

    /// Begins to check an endpoint, which goes on until the monitor is dropped.
    pub(crate) fn start(
        &self,
        endpoint: &Arc<Endpoint>,
        service: &S,
        record: Arc<Record>,
    ) -> Monitor {
        let rounds = Rounds {
            endpoint: Arc::clone(endpoint),
            settings: self.settings,
            places: Arc::clone(&self.places),
            tally: Arc::clone(&self.tally),
            record,
        };
        Monitor::start(rounds, (self.askers)(endpoint, service))
    }
}

#[cfg(feature = "http")]
impl Checker<crate::http::endpoint::HttpEndpoint> {
    /// Asks on the connections that requests go on, wherever that is possible.
    pub(crate) fn over_http(
        check: &HealthCheck,
        service: &ServiceRef,
        make: &crate::http::endpoint::MakeHttp,
    ) -> Self {
        let timeout = check.settings.timeout;
        match &check.kind {
            Kind::Http(http) if http.goes_elsewhere() => {
                let (http, make) = (Arc::clone(http), make.in_clear_text());
                Self::new(check, service, move |endpoint, _| {
                    Asker::Polls(http.apart(&make, endpoint, timeout))
                })
            }
            Kind::Http(http) => {
                let http = Arc::clone(http);
                Self::new(check, service, move |_, service| {
                    Asker::Polls(http.over(service, timeout))
                })
            }
            #[cfg(feature = "grpc")]
            Kind::Grpc(name) if make.is_http2() => {
                let name = Arc::clone(name);
                Self::new(check, service, move |_, service| {
                    Asker::Watches(super::grpc::Watcher::over(service, &name))
                })
            }
            #[cfg(feature = "grpc")]
            Kind::Grpc(name) => {
                let (name, make) = (Arc::clone(name), make.of_http2());
                Self::new(check, service, move |endpoint, _| {
                    Asker::Watches(super::grpc::Watcher::apart(&make, endpoint, &name))
                })
            }
            _ => Self::apart(check, service),
        }
    }
}

/// Connects, to whichever of the endpoint's addresses answers first.
fn connecting(endpoint: &Endpoint) -> Poll {
    let (address, alternate) = (endpoint.address(), endpoint.alternate());
    Box::new(move || {
        let connected = happy_eyeballs::connect(address, alternate);
        connected
            .map(|connected| match connected {
                Ok(_) => Answer::Well,
                Err(error) => Answer::Ill(format!("cannot connect: {error}")),
            })
            .boxed()
    })
}

/// Asks as the user does, who may panic.
fn by(ask: &Arc<Ask>, endpoint: &Arc<Endpoint>) -> Poll {
    let (ask, endpoint) = (Arc::clone(ask), Arc::clone(endpoint));
    Box::new(move || {
        let asked = catch_unwind(AssertUnwindSafe(|| ask(Arc::clone(&endpoint))));
        let answer = async move {
            match asked {
                Ok(answer) => AssertUnwindSafe(answer).catch_unwind().await,
                Err(panic) => Err(panic),
            }
        };
        answer
            .map(|answer| match answer {
                Ok(Ok(())) => Answer::Well,
                Ok(Err(reason)) => Answer::Ill(reason),
                Err(_) => Answer::Ill("the check panicked".into()),
            })
            .boxed()
    })
}
