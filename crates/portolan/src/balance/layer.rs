//! The balanced service as a tower layer.

use std::fmt;

use tower_layer::Layer;
use tower_service::Service;

use super::Balance;
use crate::{BoxError, Failure, Lease, MakeEndpoint, Opaque, Protocol, Routing, builder::Checked};

/// Turns whatever makes a service for one endpoint into one service for all of them.
///
/// ```no_run
/// use portolan::{Cluster, Endpoint};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let cluster = Cluster::from_source(portolan::source::Fixed::default());
/// let greet = ServiceBuilder::new()
///     .layer(cluster.service("greeter:tcp")?.layer()?)
///     .service(|endpoint: &Endpoint| {
///         let address = endpoint.address();
///         service_fn(move |name: String| async move {
///             Ok::<_, std::io::Error>(format!("hello {name}, from {address}"))
///         })
///     });
/// println!("{}", greet.oneshot("world".into()).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct BalanceLayer<P = Opaque> {
    checked: Checked,
    protocol: P,
}

/// As [`Opaque`], for requests of which it is known what decides who serves them. It comes from
/// [`BalanceLayer::routing_by`].
#[derive(Clone, Copy)]
pub struct Routed<F> {
    rule: F,
}

impl BalanceLayer {
    pub(crate) fn new(checked: Checked) -> Self {
        Self {
            checked,
            protocol: Opaque,
        }
    }

    /// Says what of a request decides who serves it, for policies that go by that.
    ///
    /// ```
    /// use portolan::{Cluster, Endpoint, Routing, source::Fixed};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// struct Get { user: String }
    ///
    /// # async fn example(cluster: Cluster) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let layer = cluster.service("cache:tcp")?.layer()?;
    /// let cache = ServiceBuilder::new()
    ///     .layer(layer.routing_by(|get: &Get| Routing::key(get.user.as_str()).read()))
    ///     .service(|endpoint: &Endpoint| {
    ///         let address = endpoint.address();
    ///         service_fn(move |get: Get| async move {
    ///             Ok::<_, std::io::Error>(format!("{} at {address}", get.user))
    ///         })
    ///     });
    /// println!("{}", cache.oneshot(Get { user: "17".into() }).await?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn routing_by<Req, F>(self, rule: F) -> BalanceLayer<Routed<F>>
    where
        F: for<'r> Fn(&'r Req) -> Routing<'r> + Clone + Send + Sync + 'static,
    {
        BalanceLayer {
            checked: self.checked,
            protocol: Routed { rule },
        }
    }
}

impl<P> BalanceLayer<P> {
    pub(super) fn protocol(&self) -> &P {
        &self.protocol
    }

    pub(super) fn checked(&self) -> &Checked {
        &self.checked
    }
}

impl<M: MakeEndpoint, P: Clone> Layer<M> for BalanceLayer<P> {
    type Service = Balance<M::Service, P>;

    fn layer(&self, make: M) -> Self::Service {
        self.checked.clone().start(make, self.protocol.clone())
    }
}

impl<Req, S, F> Protocol<Req, S> for Routed<F>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    F: for<'r> Fn(&'r Req) -> Routing<'r> + Send + Sync + 'static,
{
    type Response = S::Response;

    fn routing<'r>(&'r self, request: &'r Req) -> Routing<'r> {
        (self.rule)(request)
    }

    fn respond(&self, response: S::Response, lease: Lease) -> S::Response {
        Protocol::<Req, S>::respond(&Opaque, response, lease)
    }

    fn fail(&self, error: S::Error) -> Failure<Req> {
        Protocol::<Req, S>::fail(&Opaque, error)
    }
}

impl<F> fmt::Debug for Routed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Routed")
    }
}

impl<P> fmt::Debug for BalanceLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BalanceLayer").field(&self.checked).finish()
    }
}
