//! Following a name that is no Service's.

use std::{fmt, num::NonZeroU16, pin::Pin};

use futures_core::Stream;

use crate::Resolution;

/// Follows the addresses of a DNS name.
///
/// Some Services lead out of the cluster by name: an ExternalName, or a load balancer that is known
/// by its hostname. A [`Source`](crate::Source) that meets one leaves the name to this.
///
/// # What must hold
/// The same as for a [`Source`](crate::Source): the stream yields as soon as something is known, then
/// for each change, for ever; a failure takes nothing away; a `Present` set is whole; dropping the
/// stream stops everything. Besides:
/// - `host` is a complete name, with or without the final dot: it is looked for nowhere else.
/// - A `host` that is an IP address is answered at once, and never again.
/// - A `host` that is empty or no name is [`Resolution::Failed`], of the kind
///   [`Invalid`](crate::SourceErrorKind::Invalid).
///
/// ```
/// use futures_core::Stream;
/// use portolan_core::{Endpoint, HostResolver, Placement, Resolution, SourceError, SourceErrorKind};
/// use std::{net::{IpAddr, SocketAddr}, num::NonZeroU16, pin::Pin};
/// # use std::task::{Context, Poll};
/// # struct Once(Option<Resolution>);
/// # impl Stream for Once {
/// #     type Item = Resolution;
/// #     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Resolution>> {
/// #         self.0.take().map_or(Poll::Pending, |one| Poll::Ready(Some(one)))
/// #     }
/// # }
///
/// /// Knows no names, only addresses.
/// #[derive(Debug)]
/// struct Literal;
///
/// impl HostResolver for Literal {
///     fn follow(
///         &self,
///         host: &str,
///         port: NonZeroU16,
///     ) -> Pin<Box<dyn Stream<Item = Resolution> + Send>> {
///         let resolution = match host.parse::<IpAddr>() {
///             Ok(ip) => {
///                 let endpoint = Endpoint::new(Placement::new(host), SocketAddr::new(ip, port.get()));
///                 Resolution::Present([endpoint].into_iter().collect())
///             }
///             Err(_) => Resolution::Failed(SourceError::new(
///                 SourceErrorKind::Invalid,
///                 format!("`{host}` is a name, and there is no DNS here"),
///             )),
///         };
///         Box::pin(Once(Some(resolution)))
///     }
/// }
/// ```
pub trait HostResolver: fmt::Debug + Send + Sync {
    /// Follows one name, whose endpoints all have this port. Nothing is asked of anybody before the
    /// stream is polled.
    fn follow(
        &self,
        host: &str,
        port: NonZeroU16,
    ) -> Pin<Box<dyn Stream<Item = Resolution> + Send>>;

    /// Says that a connection to an address of this name failed, as [`Source::suspect`](crate::Source::suspect)
    /// does for a Service: whoever asks from time to time may ask again soon. Default: nothing is done.
    fn suspect_host(&self, host: &str) {
        let _ = host;
    }
}
