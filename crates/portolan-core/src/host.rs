//! Names in DNS, for sources to which a Service is only another name.

use std::{fmt, num::NonZeroU16, pin::Pin};

use futures_core::Stream;

use crate::Resolution;

/// Follows the addresses of a DNS name.
///
/// A [`Source`](crate::Source) that finds a name where it looked for addresses (a Service of type
/// ExternalName, a load balancer with a hostname) asks one of these.
///
/// # What must hold
/// As for a [`Source`](crate::Source):
/// - The stream yields a resolution as soon as one is known, then one for each change, for ever:
///   failures are [`Resolution::Failed`], and it goes on trying by itself, with a backoff. A name that does
///   not exist is [`Resolution::Absent`].
/// - Dropping the stream stops whatever was started for it.
/// - A `Present` set is whole: all addresses of the name, with `port` as their port.
pub trait HostResolver: fmt::Debug + Send + Sync {
    /// Follows one name. Nothing is asked of anybody before the stream is polled.
    fn follow(
        &self,
        host: &str,
        port: NonZeroU16,
    ) -> Pin<Box<dyn Stream<Item = Resolution> + Send>>;
}
