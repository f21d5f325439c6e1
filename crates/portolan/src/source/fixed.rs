//! Endpoints that are known and never change.

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use portolan_core::{Endpoint, EndpointSet, Resolution, ServiceRef, Source};

/// The same endpoints for every Service, for ever.
///
/// ```
/// use portolan::{Cluster, Endpoint, Placement, source::Fixed};
///
/// let endpoint = Endpoint::new(Placement::new("local"), "127.0.0.1:8080".parse()?);
/// let cluster = Cluster::from_source(Fixed::from_iter([endpoint]));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Fixed(EndpointSet);

impl FromIterator<Endpoint> for Fixed {
    fn from_iter<I: IntoIterator<Item = Endpoint>>(endpoints: I) -> Self {
        Self(endpoints.into_iter().collect())
    }
}

impl Source for Fixed {
    fn watch(&self, _: &ServiceRef) -> BoxStream<'static, Resolution> {
        stream::iter([Resolution::Present(self.0.clone())])
            .chain(stream::pending())
            .boxed()
    }
}
