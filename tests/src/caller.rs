//! The client under test: HTTP to whichever Pod the balancer chooses.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use portolan::{
    BalancerBuilder, Observer, Reach, View, Wait,
    http::{HttpBuilder, HttpClient},
};
use serde::Deserialize;

use crate::failure::{Failure, Result};

/// Which Pod answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Answer {
    /// Its name.
    pub pod: String,
    /// Its UID, which no other Pod of that name has.
    pub uid: String,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unanswered {
    /// The balancer found nobody to answer.
    #[error(transparent)]
    Balancer(#[from] portolan::Error),
    /// The answer broke off.
    #[error("the answer broke off: {0}")]
    Body(#[from] hyper::Error),
    /// Something answered that is not one of these Pods.
    #[error("a strange answer, {0}")]
    Strange(StatusCode),
}

/// A balanced HTTP client for one Service. What is idempotent, it sends again.
#[derive(Clone, Debug)]
pub struct Caller {
    client: HttpClient,
}

impl Caller {
    /// A client whose requests wait for an endpoint, 10 s at most.
    ///
    /// # Errors
    /// If the Service's name makes no sense.
    pub fn new(cluster: &portolan::Cluster, service: &str) -> Result<Self> {
        Self::waiting(cluster, service, Duration::from_secs(10))
    }

    /// The same over HTTP/2.
    ///
    /// # Errors
    /// If the Service's name makes no sense.
    pub fn over_http2(cluster: &portolan::Cluster, service: &str) -> Result<Self> {
        let wait = Wait::UpTo(Duration::from_secs(10));
        Self::build(builder(cluster, service, wait)?.http2())
    }

    /// A client whose requests wait so long for an endpoint at most.
    ///
    /// # Errors
    /// If the Service's name makes no sense.
    pub fn waiting(cluster: &portolan::Cluster, service: &str, limit: Duration) -> Result<Self> {
        Self::build(builder(cluster, service, Wait::UpTo(limit))?)
    }

    /// A client that fails at once where there is no endpoint.
    ///
    /// # Errors
    /// If the Service's name makes no sense.
    pub fn fail_fast(cluster: &portolan::Cluster, service: &str) -> Result<Self> {
        Self::build(builder(cluster, service, Wait::FailFast)?)
    }

    /// A client that reaches the Service in this way.
    ///
    /// # Errors
    /// If the Service's name makes no sense.
    pub fn by(cluster: &portolan::Cluster, service: &str, reach: Reach) -> Result<Self> {
        let balancer = cluster.service(service)?.reach(reach);
        Self::build(balancer.wait(Wait::UpTo(Duration::from_secs(10))).http())
    }

    /// A client that is set up by `adapt`, whose requests wait for an endpoint, 10 s at most.
    ///
    /// # Errors
    /// If the Service's name makes no sense.
    pub fn of(
        cluster: &portolan::Cluster,
        service: &str,
        adapt: impl FnOnce(BalancerBuilder) -> HttpBuilder,
    ) -> Result<Self> {
        let wait = Wait::UpTo(Duration::from_secs(10));
        Self::build(adapt(cluster.service(service)?.wait(wait)))
    }

    fn build(builder: HttpBuilder) -> Result<Self> {
        let client = builder.retry_idempotent().build()?;
        Ok(Self { client })
    }

    /// Asks which Pod answers.
    ///
    /// # Errors
    /// Why none did.
    pub async fn get(&self) -> std::result::Result<Answer, Unanswered> {
        self.send(Method::GET).await
    }

    /// The same by a method that may not be sent twice.
    ///
    /// # Errors
    /// Why none did.
    pub async fn post(&self) -> std::result::Result<Answer, Unanswered> {
        self.send(Method::POST).await
    }

    /// The same by any method.
    ///
    /// # Errors
    /// Why none did.
    pub async fn send(&self, method: Method) -> std::result::Result<Answer, Unanswered> {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = method;
        let response = self.client.send(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        serde_json::from_slice(&body).map_err(|_| Unanswered::Strange(status))
    }

    /// Looks at what the balancer goes by.
    #[must_use]
    pub fn observe(&self) -> Observer {
        self.client.observe()
    }

    /// Waits until the balancer goes by something that `holds`.
    ///
    /// # Errors
    /// What it goes by after 30 s.
    pub async fn until(&self, what: &str, holds: impl Fn(&View) -> bool) -> Result<View> {
        until(self.observe(), what, holds).await
    }

    /// Waits until requests go to exactly these Pods.
    ///
    /// # Errors
    /// What it goes by after 30 s.
    pub async fn until_pods(&self, pods: &[&str]) -> Result<View> {
        self.until(&format!("requests go to {pods:?}"), |view| {
            names(view) == pods
        })
        .await
    }
}

fn builder(cluster: &portolan::Cluster, service: &str, wait: Wait) -> Result<HttpBuilder> {
    Ok(cluster.service(service)?.wait(wait).http())
}

/// Waits until a balancer goes by something that `holds`.
///
/// # Errors
/// What it goes by after 30 s.
pub async fn until(
    mut observer: Observer,
    what: &str,
    holds: impl Fn(&View) -> bool,
) -> Result<View> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let last = observer.clone();
    let reached = tokio::time::timeout(PATIENCE, async {
        while let Some(view) = observer.changed().await {
            if holds(&view) {
                return Ok(view);
            }
        }
        Err(Failure::new(format_args!("{what}: the balancer is gone")))
    });
    reached.await.unwrap_or_else(|_| {
        let view = last.view();
        let (pods, freshness) = (names(&view), view.freshness());
        let message = format_args!("{what}: not in {PATIENCE:?}, but {pods:?}, {freshness:?}");
        Err(Failure::new(message))
    })
}

/// The names of the endpoints that get requests, in order.
#[must_use]
pub fn names(view: &View) -> Vec<&str> {
    view.endpoints()
        .iter()
        .map(|one| one.endpoint.placement().as_str())
        .collect()
}
