//! The balanced service as a tower layer.

use std::fmt;

use tower_layer::Layer;

use super::Balance;
use crate::{MakeEndpoint, Opaque, builder::Checked};

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
pub struct BalanceLayer {
    checked: Checked,
}

impl BalanceLayer {
    pub(crate) fn new(checked: Checked) -> Self {
        Self { checked }
    }
}

impl<M: MakeEndpoint> Layer<M> for BalanceLayer {
    type Service = Balance<M::Service, Opaque>;

    fn layer(&self, make: M) -> Self::Service {
        self.checked.clone().start(make, Opaque)
    }
}

impl fmt::Debug for BalanceLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BalanceLayer").field(&self.checked).finish()
    }
}
